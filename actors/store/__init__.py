"""The journal behind its port: ``sqlite`` for programs, ``memory`` for tests and for what need not last.

Its primitives are one transaction per group of entries and read-only readers. It must not know sessions' tasks,
mailboxes or subscribers; it knows events, and the projections that are written with them.
"""
