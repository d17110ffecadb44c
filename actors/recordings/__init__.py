"""Recorded conversations, read from files.

Primitives:

- ``model``: what a recording holds, as values: ``Conversation``, ``RecordedTurn``, ``RecordedMessage``.
- ``reader``: the seam: ``read_conversations`` finds the format of a file and checks what it holds;
  ``FORMATS`` is the list to extend.
- ``tau``: the formats of the tau-bench and tau2-bench benchmarks.
- ``canonical``: one text and one ``Digest`` per conversation, whatever the format or the store it lies in.

Must not know of the runtime, the store, the journal or any task: values out of files, nothing else.
"""
