"""A load with faults on a runtime of its own, and a verdict for which nothing is taken on trust.

``plan`` says who sends what to whom, from a seed; ``life`` is one life of a runtime under that load, in a process of
its own, which ``lives`` starts, kills and starts again; ``ledger`` keeps what every sender was told, ``evidence`` reads
what the store holds, and ``verdict`` says whether the two agree. What is killed tells its parent everything beforehand,
a line at a time (``records``). Nothing here knows the command line.
"""
