"""The command line: the composition root, and the only place that chooses adapters.

Primitives:

- ``app``: the commands and their options; ``main`` turns what they come to, or raise, into a line and an exit code.
- ``run``: recorded conversations hosted as live sessions, all at once, and compared with what the store then holds;
  ``table`` draws how far that has come.
- ``chat``: a conversation in a terminal, with a demo agent.
- ``export``, ``inspection``, ``doctor``: what a store holds, how its sessions stand, and whether it is sound; they only
  read, also while another process owns the store.

Must not know SQL: what is asked of a store beyond its port stands in ``actors.store.checks``.
"""
