"""Looking into a running runtime from another process: a socket beside the store that answers questions, and asks none.

Primitives: a request and its answers as lines of JSON (``wire``, pure), the door to a runtime (``server``), the side of
who looks (``client``), and where the two meet (``meeting``). Nothing here changes a session, and none of it is on the
network: a Unix domain socket that only the owner of the process may open.
"""
