"""Tasks, mailboxes and cancellation: the shell that carries out what the core decides.

Its primitives are ``Runtime`` (the facade a host holds), ``Ref`` (all that others may hold of a session), ``Mailbox``
(its two doors), ``Actor`` (one incarnation), ``Supervisor`` (which alone starts them) and ``Committer`` (which alone
writes). It must not know SQL, files or formats.
"""
