"""The pure core: values in, values out.

Its primitives are ``ids`` and ``limits``, the two closed unions ``commands`` (may be refused) and ``events`` (has
happened), the ``lifecycle`` tables, and the decisions: ``session.decide`` and ``state.evolve``, ``routing.route`` and
``supervision.judge``. It must not know tasks, clocks, files, threads or chance. Every module belongs to one of these
rooms:

- words: ids, limits, lifecycle, commands, events, effects, envelope, stream, codec
- what is open: state, turns, transcript, draft
- decisions: session, decision, overlap, queueing, prompts, recovery, sealing, reminding, branching, editing
- bounds of a turn and a session: guards, spending
- between sessions: routing, overflow, identity, dead_letter
- judging: supervision, passivation, alarms, reminder, audit
"""
