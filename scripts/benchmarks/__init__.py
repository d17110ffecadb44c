"""The benchmarks: each of our figures beside a limit measured in the same run.

A **limit** is the fastest sound code we could write for the same work without our promises
(``limits_memory``, ``limits_disk``). A **benchmark** is ours (``ours``) and names the limits it is
held against, with the share of each it has to reach. ``harness`` runs both in alternating rounds,
``report`` shows what came out, ``peers`` does the same work with other libraries. Nothing here is
imported by the package, and only ``ours`` may import the package.
"""
