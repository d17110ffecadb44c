"""The one writer: entries of all sessions, taken together into one transaction after another.

While one group is written the next gathers, so the size of a group follows the load and no entry waits for a timer.
Whoever submitted an entry is told in commit order, before anything else can be published. A group that cannot be
written is tried again, with growing delays, for as long as the runtime lives: nothing of it is acknowledged meanwhile.
"""

import math
from collections import deque
from collections.abc import Callable, Sequence

import attrs
import trio

from actors.core.limits import Limits
from actors.errors import StoreCorruptError, StoreError, StoreFencedError, StoreUnavailableError
from actors.ports import Committed, Conflict, Entry, Journal
from actors.runtime.recorder import Recorder


@attrs.frozen
class Failed:
    """The entry was not written and will not be."""

    error: StoreError


Result = Committed | Conflict | Failed
Done = Callable[[Result], None]


@attrs.define
class CommitterStatistics:
    """What the writer has done."""

    groups: int = 0
    entries: int = 0
    entries_in_group_max: int = 0
    retries: int = 0
    pending: int = 0
    degraded: bool = False


class Committer:
    """Groups entries and writes them."""

    def __init__(self, journal: Journal, limits: Limits, recorder: Recorder, on_change: Callable[[str], None]) -> None:
        """``on_change`` is called with ``degraded``, ``recovered`` or ``fenced``."""
        self._journal = journal
        self._limits = limits
        self._recorder = recorder
        self._on_change = on_change
        self._pending: deque[tuple[Entry, int, Done]] = deque()
        self._hand: deque[tuple[Entry, int, Done]] = deque()
        self._task: trio.lowlevel.Task | None = None
        self._refusing: StoreError | None = None
        """Why nothing more is written; None while the writer is open."""
        self._busy = False
        self._slow = trio.CancelScope()
        self.statistics = CommitterStatistics()

    def submit(self, entry: Entry, size_bytes: int, done: Done) -> None:
        """Have an entry written; ``done`` is called with what became of it. Each session has at most one entry here."""
        if self._refusing is not None:
            done(Failed(self._refusing))
            return
        self._pending.append((entry, size_bytes, done))
        if self._task is not None:
            trio.lowlevel.reschedule(self._task)
            self._task = None

    @property
    def idle(self) -> bool:
        """Whether nothing is pending and nothing is being written."""
        return not self._pending and not self._busy

    @trio.lowlevel.enable_ki_protection
    async def run(self) -> None:
        """Write groups until cancelled, which closes the writer.

        When it fails instead, what it had in hand is first in line for the next run. Writing an entry twice is safe,
        since the journal knows what it has; being told twice is not, so an entry leaves the hand before its owner is
        told.
        """
        try:
            while True:
                if not self._pending:
                    self._task = trio.lowlevel.current_task()
                    await trio.lowlevel.wait_task_rescheduled(self._abort)
                self._hand = deque(self._take())
                self._busy = True
                await self._write(list(self._hand))
                self._busy = False
        except trio.Cancelled:
            self.close()
            raise
        finally:
            self._busy = False
            self._pending.extendleft(reversed(self._hand))
            self._hand.clear()

    def close(self) -> None:
        """Write nothing more; whoever still waits is told that nothing is known of its entry."""
        if self._refusing is None:
            message = "the runtime closed before it was known to be written"
            self._refusing = StoreUnavailableError(message, hint="send it again to the next life")
        left = [*self._hand, *self._pending]
        self._hand.clear()
        self._pending.clear()
        for _, _, done in left:
            done(Failed(self._refusing))

    @trio.lowlevel.enable_ki_protection
    async def watch(self) -> None:
        """Say that nothing can be written when one commit takes longer than the longest pause between two tries."""
        until_s = self._slow.deadline
        while True:
            with trio.CancelScope(deadline=until_s) as self._slow:
                await trio.sleep_forever()
            until_s = math.inf  # until the next commit
            self._degrade(TimeoutError())

    def _take(self) -> list[tuple[Entry, int, Done]]:
        """Take what is pending, within the bounds of a group."""
        group: list[tuple[Entry, int, Done]] = []
        size_bytes = 0
        while self._pending and len(group) < self._limits.commit_entries_max:
            size_bytes += self._pending[0][1]
            if group and size_bytes > self._limits.commit_bytes_max:
                break
            group.append(self._pending.popleft())
        return group

    async def _write(self, group: list[tuple[Entry, int, Done]]) -> None:
        """Write one group, however often it takes."""
        entries = [entry for entry, _, _ in group]
        delay_s = self._limits.commit_retry_first_s
        statistics = self.statistics
        results: Sequence[Result]
        while True:
            if self._refusing is not None:  # found out by another part of this group, whose owners were all told
                return
            try:
                results = await self._commit(entries)
                break
            except StoreFencedError as error:
                self._fence(error)
                return
            except StoreCorruptError as error:
                if len(group) > 1:  # one bad entry; only that one may fail
                    for one in group:
                        await self._write([one])
                    return
                results = [Failed(error)]
                break
            except BaseException as error:  # a journal may fail in any way; nothing is acknowledged
                if trio.current_effective_deadline() == -math.inf:
                    raise
                self._degrade(error)
            statistics.retries += 1
            await trio.sleep(delay_s)
            delay_s = min(delay_s * 2, self._limits.commit_retry_last_s)
        statistics.groups += 1
        statistics.entries += len(group)
        statistics.entries_in_group_max = max(statistics.entries_in_group_max, len(group))
        if statistics.degraded:
            statistics.degraded = False
            self._recorder.record("warning", "store.recovered")
            self._on_change("recovered")
        for (_, _, done), result in zip(group, results, strict=True):
            self._hand.popleft()
            done(result)

    async def _commit(self, entries: Sequence[Entry]) -> Sequence[Result]:
        """Ask the journal, and believe only an answer that fits the question."""
        self._slow.deadline = trio.current_time() + self._limits.commit_retry_last_s
        try:
            outcomes: object = await self._journal.commit(entries)
        finally:
            self._slow.deadline = math.inf
        if isinstance(outcomes, Sequence) and len(outcomes) == len(entries):
            known = [outcome for outcome in outcomes if isinstance(outcome, Committed | Conflict)]
            if len(known) == len(entries):
                return known
        message = f"the journal answered {type(outcomes).__name__} to {len(entries)} entries"
        raise StoreUnavailableError(message, hint="mend the journal; its port says what commit returns")

    def _degrade(self, error: BaseException) -> None:
        """Say, once per outage, that nothing can be written."""
        if not self.statistics.degraded:
            self.statistics.degraded = True
            self._recorder.record("error", "store.degraded", error=type(error).__name__)
            self._on_change("degraded")

    def _fence(self, error: StoreFencedError) -> None:
        """Write nothing more: another life owns the store."""
        self._refusing = error
        self._recorder.record("error", "store.fenced")
        self._on_change("fenced")
        self.close()

    def _abort(self, _: object) -> trio.lowlevel.Abort:
        """Stop waiting."""
        self._task = None
        return trio.lowlevel.Abort.SUCCEEDED
