# mypy: ignore-errors
# The package is installed in an environment of its own, where no type checker looks.
"""Messages between actors of Pykka, each of which is a thread."""

from time import perf_counter

import pykka
from messages import ACTORS, seconds, tell_figures


class Counter(pykka.ThreadingActor):
    """Counts what it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def on_receive(self, message: object) -> int:
        """Count one message, and give the count to whoever asks."""
        self.count += message is not None
        return self.count


def main() -> None:
    """Tell for half of the time, ask for a tenth."""
    actors = [Counter.start() for _ in range(ACTORS)]
    started_s = perf_counter()
    until_s = started_s + seconds() / 2
    sent = 0
    while perf_counter() < until_s:
        for actor in actors:
            actor.tell(1)
        sent += ACTORS
    assert sum(actor.ask(None) for actor in actors) == sent  # behind everything told
    took_s = perf_counter() - started_s
    asks_us = []
    until_s = perf_counter() + seconds() / 10
    while perf_counter() < until_s:
        asked_s = perf_counter()
        actors[0].ask(1)
        asks_us.append((perf_counter() - asked_s) * 1e6)
    pykka.ActorRegistry.stop_all()
    tell_figures("pykka", sent / took_s, asks_us)


main()
