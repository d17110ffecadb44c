"""One life after another on one store, each in a process that is killed when the plan says so; then the verdict.

Only processes that were started here are ended here, by their own handles, and none outlives the call.
"""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import attrs
import msgspec
import trio

from actors.core.ids import ChatId
from actors.stress.evidence import read_store
from actors.stress.ledger import Ledger, Sums
from actors.stress.life import DRAIN_S, rest_s
from actors.stress.measures import Growth, Latencies, growth_of, worst
from actors.stress.plan import Load, Role, kill_moments, roles_of
from actors.stress.records import Begun, Closed, Sampled, Settled, Wrong, decode_line, job_of
from actors.stress.verdict import Evidence, Finding, judge

CLOSE_S: Final = 60.0
"""How long a process may take to begin and to close its runtime, on a machine that does other things."""
LINE_BYTES: Final = 65_536
STDERR_SHOWN: Final = 400
WRONG_MAX: Final = 1000
"""So many complaints are kept; the first says what is wrong."""

Watch = Callable[[float, Sampled], None]
"""Hears how far the load is, in seconds since it began, with the latest sample."""


@attrs.frozen(kw_only=True)
class Report:
    """What a load came to: the findings, and the figures beside them.

    ``latencies`` are of all lives, by name; ``counts`` sums of the last samples of all lives; ``memory_bytes`` the most
    that any life held.
    """

    findings: tuple[Finding, ...]
    sums: Sums
    counts: dict[str, int]
    latencies: dict[str, Latencies]
    roles: dict[str, int]
    lives: int
    seconds: float
    memory_bytes: int
    growth: Growth | None

    @property
    def held(self) -> bool:
        """Whether everything held."""
        return all(finding.held for finding in self.findings)


@attrs.define
class _Life:
    """What was heard of one life."""

    began_s: float
    epoch: int = 0
    samples: list[Sampled] = attrs.Factory(list)
    settled: Settled | None = None
    closed: Closed | None = None
    killed: bool = False


class Lives:
    """Runs a load through all its lives."""

    def __init__(
        self, load: Load, store: Path, *, watch: Watch | None = None, log: Path | None = None, sabotage: str = ""
    ) -> None:
        """Run a load on the file of a store, which must be new; ``sabotage`` is what a test has go wrong."""
        self._load = load
        self._store = store
        self._watch = watch or (lambda _, __: None)
        self._log = log
        self._sabotage = sabotage
        self._roles: dict[ChatId, Role] = roles_of(load)
        self._ledger = Ledger()
        self._lives: list[_Life] = []
        self._wrong: list[str] = []
        self._began_s = 0.0

    async def run(self) -> Report:
        """Live all lives, look at what they left, and judge it. Raises StoreError if the store cannot be read."""
        self._began_s = trio.current_time()
        moments = [*kill_moments(self._load), self._load.duration_s]
        for number, (begin_s, end_s) in enumerate(zip([0.0, *moments], moments, strict=False), 1):
            await self._live(number, end_s - begin_s, last=number == len(moments))
        seconds = trio.current_time() - self._began_s
        found = await read_store(self._store, self._load, self._roles, self._ledger)
        last = self._lives[-1]
        growth = worst(growth_of([sample.memory_bytes for sample in life.samples]) for life in self._lives)
        sums = self._ledger.sums(found.stored)
        healthy = sum(role is Role.HEALTHY for role in self._roles.values())
        evidence = Evidence(
            sums=sums, healthy=healthy, touched=found.touched, histories=found.histories, wrong=self._wrong,
            growth=growth, settled=last.settled, closed=last.closed,
        )  # fmt: skip
        return self._report(judge(evidence), sums, growth, seconds)

    async def _live(self, number: int, seconds: float, *, last: bool) -> None:
        """Live one life, to its end or until it is killed."""
        life = _Life(trio.current_time())
        self._lives.append(life)
        job = msgspec.structs.replace(
            job_of(self._load, str(self._store), number, seconds if last else self._load.duration_s),
            following=self._ledger.following(), unsettled=self._ledger.unsettled(), doomed=self._ledger.doomed(),
            log=None if self._log is None else str(self._log), sabotage=self._sabotage,
        )  # fmt: skip
        with trio.CancelScope(deadline=life.began_s + seconds + DRAIN_S + rest_s(number) + CLOSE_S) as patience:
            await self._run(life, msgspec.json.encode(job), None if last else seconds)
        if patience.cancelled_caught:
            self._wrong.append(f"life {number} did not end and had to be killed")

    async def _run(self, life: _Life, job: bytes, kill_after_s: float | None) -> None:
        """Start a process, hear it out, and kill it when it is time; it has ended when this returns."""
        process = await trio.lowlevel.open_process(
            [sys.executable, "-m", "actors.stress.life"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        said: list[bytes] = []
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._give, process, job)
                nursery.start_soon(_gather, process, said)
                begun = trio.Event()
                if kill_after_s is not None:
                    nursery.start_soon(self._kill, life, process, begun, kill_after_s)
                await self._hear(life, process, begun)
                await process.wait()
                nursery.cancel_scope.cancel()
        finally:
            with trio.CancelScope(shield=True):
                if process.returncode is None:
                    process.kill()
                await process.wait()
        if process.returncode != 0 and not life.killed:
            end = b"".join(said).decode("utf-8", "replace").strip()[-STDERR_SHOWN:]
            self._wrong.append(f"life {len(self._lives)} ended with exit code {process.returncode}: {end}")

    async def _give(self, process: trio.Process, job: bytes) -> None:
        """Give a process its job."""
        assert process.stdin is not None, "it was opened with a pipe"
        try:
            async with process.stdin:
                await process.stdin.send_all(job)
        except trio.BrokenResourceError:
            self._wrong.append(f"life {len(self._lives)} did not take its job")

    async def _kill(self, life: _Life, process: trio.Process, begun: trio.Event, after_s: float) -> None:
        """Kill a process so many seconds after its load began."""
        await begun.wait()
        await trio.sleep(after_s)
        if process.returncode is None:
            life.killed = True
            process.kill()

    async def _hear(self, life: _Life, process: trio.Process, begun: trio.Event) -> None:
        """Take every line of a process; the last one may be cut off by a kill."""
        assert process.stdout is not None, "it was opened with a pipe"
        rest = b""
        async for chunk in process.stdout:
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                self._take(life, line, begun)

    def _take(self, life: _Life, line: bytes, begun: trio.Event) -> None:
        """Take one line."""
        told = decode_line(line)
        match told:
            case Begun(epoch=epoch):
                life.epoch = epoch
                begun.set()
            case Sampled():
                life.samples.append(told)
                self._watch(trio.current_time() - self._began_s, told)
            case Settled():
                life.settled = told
            case Closed():
                life.closed = told
            case Wrong(what=what):
                if len(self._wrong) < WRONG_MAX:
                    self._wrong.append(what)
            case _:
                self._ledger.add(told)

    def _report(self, findings: tuple[Finding, ...], sums: Sums, growth: Growth | None, seconds: float) -> Report:
        """Put the figures together."""
        counts: dict[str, int] = {}
        latencies: dict[str, Latencies] = {}
        for life in self._lives:
            if life.samples:
                for name, count in life.samples[-1].counts.items():
                    counts[name] = counts.get(name, 0) + count
                for name, measured in life.samples[-1].latencies.items():
                    latencies.setdefault(name, Latencies()).merge(measured.buckets, measured.longest_s)
        roles: dict[str, int] = {}
        for role in self._roles.values():
            roles[str(role)] = roles.get(str(role), 0) + 1
        memory = max((sample.memory_bytes for life in self._lives for sample in life.samples), default=0)
        return Report(
            findings=findings, sums=sums, counts=counts, latencies=latencies, roles=roles, lives=len(self._lives),
            seconds=seconds, memory_bytes=memory, growth=growth,
        )  # fmt: skip


async def _gather(process: trio.Process, said: list[bytes]) -> None:
    """Keep the last of what a process says on standard error."""
    assert process.stderr is not None, "it was opened with a pipe"
    async for chunk in process.stderr:
        said.append(bytes(chunk))
        del said[:-10]
