"""The pure core: values in, values out.

Its primitives are ``ids`` and ``limits``, the two closed unions ``commands`` (may be refused) and ``events`` (has
happened), the ``lifecycle`` tables, and four decisions: ``session.decide`` and ``session.evolve``,
``routing.route`` and ``supervision.judge``. It must not know tasks, clocks, files, threads or chance.
"""
