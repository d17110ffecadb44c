"""``actors run``: recorded conversations hosted as live sessions, all at once, then compared with what was stored.

The users of a recording send their messages, an agent plays the recorded assistant, and everything in between is the
runtime as any host uses it. At the end each transcript is read back from the store and held against its recording.
"""

import resource
import shlex
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final

import attrs
import msgspec
import trio
from cyclopts import Parameter, validators

from actors.cli.export import add_message
from actors.cli.playback import Pace, Player, Recording, Script, gap_s, parse_pace, slug_of, write_scripts
from actors.cli.stopping import Stop
from actors.cli.table import LiveTable, Sample, plain_console, summary_table
from actors.core.ids import ChatId
from actors.core.limits import Limits
from actors.core.transcript import Message
from actors.errors import ConfigurationError, RefusedError, StoreFencedError, StoreUnavailableError
from actors.host import open_runtime
from actors.recordings.canonical import Digest
from actors.recordings.reader import read_conversations, read_sample, sample_path
from actors.runtime.agent import agent
from actors.runtime.clock import SystemClock
from actors.runtime.facade import Runtime
from actors.runtime.observation import Statistics
from actors.store.checks import holds_sessions, list_sessions

ATTEMPTS_MAX: Final = 1000
"""A turn is begun again after every crash; a test that kills the process often must not use up its attempts."""
TURN_S_MAX: Final = 86_400.0
HOPS_MAX: Final = 100_000  # a recording takes as many rounds as it has
"""A turn played in real time lasts as long as it did."""
REFRESH_S: Final = 0.25
DEGRADED_S_MAX: Final = 60.0
"""How long a store may refuse to be written before the run gives up; what was acknowledged is safe either way."""
READS_AT_ONCE: Final = 4
"""As many as the store has threads for (``actors.runtime.clock.Threads``)."""
MISMATCHES_SHOWN_MAX: Final = 20
POSITIVE: Final = validators.Number(gte=1)


@Parameter(name="*")
@attrs.frozen(kw_only=True)
class RunOptions:
    """How recorded conversations are hosted: the options of ``actors run``."""

    store: Annotated[
        Path | None, Parameter(help="The file of the store; a new one in a temporary folder if none is given.")
    ] = None
    log: Annotated[Path | None, Parameter(help="Append log records to this file, as lines of JSON.")] = None
    sessions: Annotated[
        int | None,
        Parameter(validator=POSITIVE, help="How many conversations to host; from the first again if there are fewer."),
    ] = None
    repeat: Annotated[int, Parameter(validator=POSITIVE, help="How often to host each of them.")] = 1
    pace: Annotated[
        str, Parameter(help="max: no waiting; real: the recorded gaps; a number: so many times faster than real.")
    ] = "max"
    seed: Annotated[int, Parameter(help="What the sizes of streamed pieces are drawn from.")] = 0
    as_json: Annotated[bool, Parameter(name="--json", negative="", help="Print the summary as JSON.")] = False
    resume: Annotated[
        bool, Parameter(negative="", help="Go on with a store that an earlier run with these options left.")
    ] = False
    format_name: Annotated[
        str | None, Parameter(name="--format", help="The format of the files; found from their content if not given.")
    ] = None


@attrs.frozen(kw_only=True)
class Mismatch:
    """A session that did not come to what its recording says, and why."""

    chat_id: str
    reason: str


@attrs.frozen(kw_only=True)
class Summary:
    """What a run came to.

    ``turns``, ``messages`` and ``tool_calls`` are those read back from the store; a run that was stopped reads nothing
    back and counts what it saw. The other counts are of this life of the store only.
    """

    store: str
    log: str | None
    sessions: int
    turns: int
    messages: int
    tool_calls: int
    events: int
    signals: int
    turns_by_status: dict[str, int]
    dropped: dict[str, int]
    mismatches: int
    mismatched: tuple[Mismatch, ...]
    seconds: float
    peak_memory_bytes: int
    sum_closed: bool
    interrupted: int
    retried: int
    log_written: int
    log_lost: int
    stopped_by_signal: int
    exit_code: int


@attrs.define
class Tally:
    """What has been seen so far of the sessions of a run."""

    sessions: int
    seconds: float = 0.0
    sessions_done: int = 0
    turns_done: int = 0
    turns: int = 0
    messages: int = 0
    tool_calls: int = 0
    mismatches: dict[ChatId, str] = attrs.Factory(dict)

    def differs(self, chat_id: ChatId, reason: str) -> None:
        """Note that a session is not as recorded; the first reason counts."""
        self.mismatches.setdefault(chat_id, reason)


async def run(files: Sequence[Path], options: RunOptions) -> int:
    """Host recorded conversations, print what that came to, and return the exit code.

    That is 0 only if every transcript is as recorded and the sum of all envelopes is right, 1 if not, and that of the
    signal for a run that was stopped.

    Raises RecordingError for a file that cannot be read, ConfigurationError for an option out of its range or a store
    that has these conversations already, StoreError if the store cannot be used.
    """
    pace = Pace(parse_pace(options.pace))
    notices = plain_console(sys.stderr)

    def on_stop() -> None:
        pace.hurry()  # so that running turns come to their end while the runtime drains
        notices.print(
            "stopping; a second signal ends at once, and nothing that was acknowledged is lost", soft_wrap=True
        )

    stop = Stop(on_stop)
    summary: Summary | None = None
    async with trio.open_nursery() as nursery:
        await nursery.start(stop.listen)
        limits = Limits(turn_s=TURN_S_MAX, hops_max=HOPS_MAX)
        scripts: dict[ChatId, Script] = {}
        with stop.cancels():
            scripts = await trio.to_thread.run_sync(prepare, files, options, limits, abandon_on_cancel=True)
        if not stop.signal_number:
            summary = await _host(scripts, options, limits, pace, stop)
        nursery.cancel_scope.cancel()
    if summary is None:
        return stop.exit_code
    _print(summary, options)
    return summary.exit_code


def prepare(files: Sequence[Path], options: RunOptions, limits: Limits) -> dict[ChatId, Script]:
    """Read the files and see that the store can take what they hold; nothing is written.

    Raises RecordingError, ConfigurationError and StoreError.
    """
    scripts = write_scripts(
        read_recordings(files, options.format_name), limits, sessions=options.sessions, repeat=options.repeat
    )
    if options.store is not None and holds_sessions(options.store):
        _check_store(options.store, scripts, resume=options.resume)
    return scripts


def read_recordings(files: Sequence[Path], format_name: str | None) -> list[Recording]:
    """Read the files in their order, or the shipped sample if there are none. Raises RecordingError."""
    if not files:
        return [Recording("the sample", slug_of(sample_path(), ()), read_sample())]
    recordings: list[Recording] = []
    for path in files:
        slug = slug_of(path, [recording.slug for recording in recordings])
        recordings.append(Recording(str(path), slug, read_conversations(path, format_name=format_name)))
    return recordings


def _check_store(store: Path, scripts: Mapping[ChatId, Script], *, resume: bool) -> None:
    """Refuse a store in which a run would add to what is there, or end what is not its own."""
    sessions = list_sessions(store)
    here = [session.chat_id for session in sessions if session.chat_id in scripts]
    if here and not resume:
        message = f"the store holds {len(here)} of these {len(scripts)} conversations already"
        raise ConfigurationError(message, chat_id=here[0], hint="add --resume to go on, or give another --store")
    others = [session.chat_id for session in sessions if session.open_turns and session.chat_id not in scripts]
    if others:
        message = f"the store has unfinished turns of {len(others)} sessions that are not of these files"
        raise ConfigurationError(message, chat_id=others[0], hint="give another --store")


async def _host(scripts: dict[ChatId, Script], options: RunOptions, limits: Limits, pace: Pace, stop: Stop) -> Summary:
    """Open a runtime, host every script on it, and sum up once it is closed."""
    store = options.store or Path(await trio.to_thread.run_sync(tempfile.mkdtemp, "", "actors-run-"), "run.db")
    began_s = trio.current_time()
    tally = Tally(len(scripts))
    player = agent(Player(scripts, pace, options.seed).answer, on_interrupted="retry", attempts_max=ATTEMPTS_MAX)
    async with open_runtime(
        store,
        agent=player,
        limits=limits,
        log=options.log,
        log_level="debug",
        clock=SystemClock(options.seed),
        observe=True,
    ) as runtime:
        driver = Driver(runtime, scripts, pace, tally)
        with LiveTable(quiet=options.as_json) as table:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(driver.watch, table)
                with stop.cancels():
                    await driver.host_all()
                    await driver.compare_all()
                nursery.cancel_scope.cancel()
    tally.seconds = trio.current_time() - began_s
    return _sum_up(store, options, tally, runtime.statistics(), stop.signal_number)


class Driver:
    """The users of a run: a task for each conversation, which sends a message once the turn before has ended."""

    def __init__(self, runtime: Runtime, scripts: Mapping[ChatId, Script], pace: Pace, tally: Tally) -> None:
        """Host these scripts on this runtime."""
        self._runtime = runtime
        self._scripts = scripts
        self._pace = pace
        self._tally = tally

    async def host_all(self) -> None:
        """Host every script, all at once. Raises StoreError if the store breaks."""
        async with trio.open_nursery() as nursery:
            for script in self._scripts.values():
                nursery.start_soon(self._host, script)

    async def compare_all(self) -> None:
        """Read every transcript back and hold it against its recording. Raises StoreError."""
        scripts = iter(self._scripts.values())
        async with trio.open_nursery() as nursery:
            for _ in range(READS_AT_ONCE):
                nursery.start_soon(self._compare, scripts)

    async def watch(self, table: LiveTable) -> None:
        """Draw how far the run is, and say when the store cannot be written; give up if that lasts.

        Raises StoreUnavailableError after ``DEGRADED_S_MAX`` seconds of it.
        """
        notices = plain_console(sys.stderr)
        turns = sum(len(script.conversation.turns) for script in self._scripts.values())
        degraded_since_s: float | None = None
        while True:
            now_s, tally, statistics = trio.current_time(), self._tally, self._runtime.statistics()
            table.update(Sample(now_s, len(self._scripts), tally.sessions_done, turns, tally.turns_done, statistics))
            if not statistics.degraded:
                degraded_since_s = None
            elif degraded_since_s is None:
                degraded_since_s = now_s
                notices.print("degraded: the store cannot be written; what was accepted waits", soft_wrap=True)
            elif now_s - degraded_since_s > DEGRADED_S_MAX:
                message = f"the store could not be written for {DEGRADED_S_MAX:.0f} seconds"
                raise StoreUnavailableError(message, hint="mend the disk and run again with --resume")
            await trio.sleep(REFRESH_S)

    async def _host(self, script: Script) -> None:
        """Create one session and send its messages, each under a key of its own, so that sending again is harmless."""
        chat_id, tally = script.chat_id, self._tally
        before = script.conversation.opening[-1] if script.conversation.opening else None
        known = False
        with self._refusals(chat_id):
            await self._runtime.create(chat_id, history=script.seeds)
            for number, turn in enumerate(script.conversation.turns):
                if self._pace.waits and not known:
                    await self._pace.wait(gap_s(before, turn.user))
                receipt = await self._runtime.send(chat_id, turn.user.text, message_id=f"u{number}")
                known = receipt.duplicate  # of an earlier life: what comes next was waited for then
                result = await receipt.result()
                tally.turns_done += 1
                if not result.ok:
                    why = " ".join(filter(None, (result.reason, result.error)))
                    tally.differs(chat_id, f"turn {result.turn} ended {result.status}{f' ({why})' if why else ''}")
                before = turn.steps[-1] if turn.steps else turn.user
        tally.sessions_done += 1

    @contextmanager
    def _refusals(self, chat_id: ChatId) -> Iterator[None]:
        """Take a refusal as a mismatch of one session, unless the runtime has lost its store."""
        try:
            yield
        except RefusedError as error:
            if self._runtime.statistics().stopping:  # nobody else stops it while sessions are hosted
                message = "another process has taken the store over"
                raise StoreFencedError(message, hint="run again with --resume once it has ended") from error
            self._tally.differs(chat_id, str(error))

    async def _compare(self, scripts: Iterator[Script]) -> None:
        """Compare one session after another, sharing the iterator with the tasks beside."""
        for script in scripts:
            with self._refusals(script.chat_id):
                messages = await self._stored(script.chat_id)
                digest = Digest()
                for message in messages:
                    add_message(digest, message)
                self._tally.turns += sum(message.role == "user" and message.turn > 0 for message in messages)
                self._tally.messages += len(messages)
                self._tally.tool_calls += digest.tool_calls
                if digest.canonical_sha256 != script.sha256:
                    self._tally.differs(script.chat_id, "the stored transcript is not the recorded one")

    async def _stored(self, chat_id: ChatId) -> list[Message]:
        """Read all pages of a transcript, and put them into their order."""
        page = await self._runtime.history(chat_id)
        pages = [page.messages]
        while page.before_turn is not None:
            page = await self._runtime.history(chat_id, before_turn=page.before_turn)
            pages.append(page.messages)
        return [message for messages in reversed(pages) for message in messages]


def peak_memory_bytes() -> int:
    """Say how much memory the process has held at most; the unit of the system's answer differs between systems."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _sum_up(store: Path, options: RunOptions, tally: Tally, statistics: Statistics, signal_number: int) -> Summary:
    """Put together what a run came to."""
    stopped = signal_number > 0
    failed = bool(tally.mismatches) or not statistics.closed
    mismatched = [Mismatch(chat_id=chat_id, reason=reason) for chat_id, reason in sorted(tally.mismatches.items())]
    return Summary(
        store=str(store),
        log=None if options.log is None else str(options.log),
        sessions=tally.sessions,
        turns=tally.turns_done if stopped else tally.turns,
        messages=tally.messages,
        tool_calls=statistics.tool_calls if stopped else tally.tool_calls,
        events=statistics.events,
        signals=statistics.signals,
        turns_by_status=statistics.turns,
        dropped=statistics.dropped,
        mismatches=len(mismatched),
        mismatched=tuple(mismatched[:MISMATCHES_SHOWN_MAX]),
        seconds=round(tally.seconds, 3),
        peak_memory_bytes=peak_memory_bytes(),
        sum_closed=statistics.closed,
        interrupted=statistics.interrupted,
        retried=statistics.turns.get("retried", 0),
        log_written=statistics.log_written,
        log_lost=statistics.log_lost,
        stopped_by_signal=signal_number,
        exit_code=128 + signal_number if stopped else int(failed),
    )


def _print(summary: Summary, options: RunOptions) -> None:
    """Print a summary: an object of JSON for machines, a table and what to do next for people."""
    if options.as_json:
        sys.stdout.buffer.write(msgspec.json.encode(summary) + b"\n")
        sys.stdout.buffer.flush()
        return
    console = plain_console()
    apart = {"mismatched", "turns_by_status", "dropped"}
    shown = attrs.asdict(summary, filter=lambda field, _: field.name not in apart)
    rows = [(name.replace("_", " "), str(value)) for name, value in shown.items()]
    rows += [(f"turns {status}", str(count)) for status, count in sorted(summary.turns_by_status.items())]
    rows += [(f"dropped: {reason}", str(count)) for reason, count in sorted(summary.dropped.items())]
    rows += [(mismatch.chat_id, mismatch.reason) for mismatch in summary.mismatched]
    console.print(summary_table(rows, title="actors run"))
    store = shlex.quote(summary.store)
    for command in ("inspect", "export", "export --canonical", "doctor"):
        verb, _, flag = command.partition(" ")
        console.print(f"actors {verb} --store {store} {flag}".rstrip(), soft_wrap=True)
