"""Measure ours and its limits in alternating rounds, and say what share of the limit was reached.

A machine changes its speed from second to second, so a figure by itself says little. Rounds
alternate (A B A B), a ratio is made of the medians, and its spread is that of the rounds, each
compared with the one next to it. A share of 1.0 means as good as the limit, whichever way is better.

Registering:

- ``@limit(name, what, unit, higher_is_better=...)`` for a bar;
- ``@benchmark(name, what, unit, higher_is_better=..., reach=[("limit name", 0.3)])`` for ours; a
  third item, ``("limit name", 0.3, "p99 µs")``, compares one of ``Figures.more`` instead.

Both take a function of ``Settings`` that runs one round and returns a float or ``Figures``.
"""

import faulthandler
import gc
import statistics
import time
import traceback
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import attrs
import trio

Value = TypeVar("Value")

ROUND_S_MAX = 120.0
"""A round that takes longer hangs: the stacks are printed and the command ends."""

SERIES_S_MAX = 60.0
"""No new round begins once a series has used this much, if it has one round at least."""

QUICK_DIVISOR = 5
"""How much smaller the work of a round is with ``--quick``."""


@attrs.frozen
class Settings:
    """What a round may know: where its files go, and whether it should be short."""

    directory: Path
    quick: bool = False

    def scaled(self, count: int) -> int:
        """Give the amount of work of a round: this count, or less when it should be short."""
        return max(1, count // QUICK_DIVISOR) if self.quick else count


@attrs.frozen
class Figures:
    """What a round measured: the value compared, and whatever else is worth showing."""

    value: float
    more: Mapping[str, float] = attrs.field(factory=dict)

    def named(self, figure: str) -> float:
        """Give the value (for an empty name) or one of the further figures."""
        return self.more[figure] if figure else self.value


Run = Callable[[Settings], float | Figures]


@attrs.frozen
class Reach:
    """A bar: the share of a limit that has to be reached, by the value or by another figure."""

    limit: str
    share: float
    figure: str = ""


@attrs.frozen
class Candidate:
    """Something that can be measured: a limit, or one of ours with what it has to reach."""

    name: str
    what: str
    unit: str
    higher_is_better: bool
    run: Run
    reach: tuple[Reach, ...] = ()


@attrs.frozen
class Group:
    """Candidates measured in alternating rounds, because they are compared with each other."""

    limits: tuple[Candidate, ...]
    ours: tuple[Candidate, ...]


@attrs.define
class Series:
    """The rounds of one candidate; ``error`` says why there are no more of them."""

    candidate: Candidate
    rounds: list[Figures] = attrs.field(factory=list)
    error: str = ""
    spent_s: float = 0.0

    def median(self, figure: str = "") -> float:
        """Give the median of a figure over the rounds."""
        return statistics.median(figures.named(figure) for figures in self.rounds)

    def spread(self, figure: str = "") -> tuple[float, float]:
        """Give the least and the greatest of a figure."""
        values = [figures.named(figure) for figures in self.rounds]
        return min(values), max(values)

    def figures(self) -> tuple[str, ...]:
        """Name the further figures that every round gave."""
        if not self.rounds:
            return ()
        return tuple(key for key in self.rounds[0].more if all(key in r.more for r in self.rounds))


@attrs.frozen
class Comparison:
    """Ours beside one limit: the share reached, over the medians and round by round."""

    ours: Series
    limit: Series
    reach: Reach
    share: float
    share_min: float
    share_max: float

    @property
    def reached(self) -> bool:
        """Tell whether the share of the medians is as large as it has to be."""
        return self.share >= self.reach.share


@attrs.frozen
class Result:
    """The series of a group, and what they say about each other."""

    limits: tuple[Series, ...]
    ours: tuple[Series, ...]

    def comparisons(self) -> list[Comparison]:
        """Hold each of ours against its limits; what did not finish a round is left out."""
        measured = {series.candidate.name: series for series in self.limits if series.rounds}
        return [
            _comparison(series, measured[reach.limit], reach)
            for series in self.ours
            if series.rounds
            for reach in series.candidate.reach
            if reach.limit in measured
        ]

    def errors(self) -> list[str]:
        """Name every candidate that failed, and why."""
        return [f"{s.candidate.name}: {s.error}" for s in self.limits + self.ours if s.error]


@attrs.define
class Registry:
    """Everything that can be measured, by name."""

    limits: dict[str, Candidate] = attrs.field(factory=dict)
    ours: dict[str, Candidate] = attrs.field(factory=dict)

    def limit(self, name: str, what: str, unit: str, *, higher_is_better: bool) -> Callable[[Run], Run]:
        """Register a limit: the best sound code for the same work without our promises."""

        def register(run: Run) -> Run:
            assert name not in self.limits, f"two limits are called {name}"
            self.limits[name] = Candidate(name, what, unit, higher_is_better, run)
            return run

        return register

    def benchmark(
        self,
        name: str,
        what: str,
        unit: str,
        *,
        higher_is_better: bool,
        reach: Sequence[tuple[str, float] | tuple[str, float, str]] = (),
    ) -> Callable[[Run], Run]:
        """Register one of ours, with the share of each limit it has to reach.

        A round of ours returns the same unit as the limits it names, or the share means nothing.
        """

        def register(run: Run) -> Run:
            assert name not in self.ours, f"two benchmarks are called {name}"
            bars = tuple(Reach(*bar) for bar in reach)
            self.ours[name] = Candidate(name, what, unit, higher_is_better, run, bars)
            return run

        return register

    def select(self, words: Sequence[str]) -> list[Group]:
        """Group what the words name (a part of a name is enough; no words name everything).

        A benchmark brings its limits along, and benchmarks that share a limit are one group.
        Limits that nothing of ours is held against are measured together, after the others.

        Raises:
            LookupError: a word that names nothing, or a benchmark whose limit does not exist.
        """
        everything = list(self.ours.values()) + list(self.limits.values())
        for word in words:
            if not any(word in candidate.name for candidate in everything):
                names = ", ".join(sorted(candidate.name for candidate in everything))
                message = f"nothing is called {word!r}; there are: {names}"
                raise LookupError(message)
        chosen = [c for c in self.ours.values() if _is_named(c, words)]
        groups = self._grouped(chosen)
        held = {limit.name for group in groups for limit in group.limits}
        alone = tuple(c for c in self.limits.values() if _is_named(c, words) and c.name not in held)
        return [*groups, Group(alone, ())] if alone else groups

    def _grouped(self, chosen: Iterable[Candidate]) -> list[Group]:
        """Put benchmarks that share a limit into one group."""
        groups: list[Group] = []
        for ours in chosen:
            missing = [bar.limit for bar in ours.reach if bar.limit not in self.limits]
            if missing:
                message = f"{ours.name} names limits that do not exist: {', '.join(missing)}"
                raise LookupError(message)
            limits = {bar.limit: self.limits[bar.limit] for bar in ours.reach}
            members = [ours]
            for group in [g for g in groups if any(one.name in limits for one in g.limits)]:
                groups.remove(group)
                limits = {one.name: one for one in group.limits} | limits
                members = [*group.ours, *members]
            groups.append(Group(tuple(limits.values()), tuple(members)))
        return groups


REGISTRY = Registry()
limit = REGISTRY.limit
benchmark = REGISTRY.benchmark


def measure(group: Group, settings: Settings, rounds: int, progress: Callable[[str], None]) -> Result:
    """Run the rounds of a group in turn: one of each, then the next of each.

    The collector is left as its host set it; what earlier rounds left behind is collected before
    each round, so that nobody pays for another's garbage. What fails is kept with its reason.
    """
    result = Result(
        tuple(Series(candidate) for candidate in group.limits),
        tuple(Series(candidate) for candidate in group.ours),
    )
    for number in range(rounds):
        for series in result.limits + result.ours:
            if not series.error and (number == 0 or series.spent_s < SERIES_S_MAX):
                progress(f"{series.candidate.name}, round {number + 1} of {rounds}")
                _run_round(series, settings)
    return result


def run_bounded(function: Callable[[], Awaitable[Value]], seconds: float = ROUND_S_MAX) -> Value:
    """Run an async function in a trio of its own; one that hangs is an error, not a wait.

    Raises:
        trio.TooSlowError: the function took longer than the seconds given.
    """

    async def bounded() -> Value:
        with trio.fail_after(seconds):
            return await function()

    return trio.run(bounded)


def percentile(values: Sequence[float], percent: float) -> float:
    """Give the value that this percentage of the values does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def _run_round(series: Series, settings: Settings) -> None:
    """Run one round, and keep what it measured or why it failed."""
    gc.collect()
    faulthandler.dump_traceback_later(ROUND_S_MAX + 10, exit=True)
    started_s = time.perf_counter()
    try:
        figures = series.candidate.run(settings)
    except Exception as error:  # noqa: BLE001  # a failure is a result: shown, never hidden
        series.error = "".join(traceback.format_exception_only(error)).strip()
    else:
        series.rounds.append(figures if isinstance(figures, Figures) else Figures(figures))
    finally:
        series.spent_s += time.perf_counter() - started_s
        faulthandler.cancel_dump_traceback_later()


def _comparison(ours: Series, limit_series: Series, reach: Reach) -> Comparison:
    """Hold one series against one limit."""
    better = ours.candidate.higher_is_better

    def share(mine: float, bar: float) -> float:
        return mine / bar if better else bar / mine

    by_round = [
        share(mine.named(reach.figure), bar.named(reach.figure))
        for mine, bar in zip(ours.rounds, limit_series.rounds, strict=False)
    ]
    return Comparison(
        ours,
        limit_series,
        reach,
        share(ours.median(reach.figure), limit_series.median(reach.figure)),
        min(by_round),
        max(by_round),
    )


def _is_named(candidate: Candidate, words: Sequence[str]) -> bool:
    """Tell whether a part of the name is among the words, or there are none."""
    return not words or any(word in candidate.name for word in words)
