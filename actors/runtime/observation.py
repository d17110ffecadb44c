"""What a runtime shows of itself: one session at a glance, and every count with every bound."""

import heapq
import math
from collections import Counter
from typing import Final

import attrs
import trio

from actors.core.alarms import Alarm
from actors.core.lifecycle import SessionPhase
from actors.core.limits import Limits
from actors.core.state import SessionState
from actors.runtime.alarms import Alarms
from actors.runtime.mailbox import Request
from actors.runtime.ref import Ref
from actors.runtime.registry import Letters, Registry
from actors.runtime.services import Services
from actors.runtime.turn import Turn
from actors.runtime.workers import ThreadCounts

_WAITING: Final = frozenset({"trio", "outcome"})
"""Packages whose frames only say that something waits."""


@attrs.frozen
class Inspection:
    """What a session is doing: its last committed state and the facts of its running turn.

    Ages are in seconds, on the monotonic clock; None where there is nothing to have an age.
    """

    chat_id: str
    phase: str
    status: str
    epoch: int
    incarnation: int
    seq: int
    turns: int
    running_turn: int | None
    running_attempt: int | None
    cancelling: bool
    queued_turns: int
    paused: bool
    steering: int
    open_calls: int
    open_prompts: int
    tokens: int
    cost: float
    mailbox_messages: int
    mailbox_bytes: int
    waiting_senders: int
    subscribers: int
    restarts: int
    last_error: str
    parent: str | None
    children: int
    reminders: int
    last_exit: str
    overlap: str
    suspended: bool
    kept: int
    turn_age_s: float | None
    oldest_message_age_s: float | None
    idle_s: float | None
    waits_at: str
    executed: int
    dead_letters: int
    memory_bytes: int


@attrs.frozen
class Quarantined:
    """A session in quarantine: the seconds until it is released by itself, and the turns that wait on disk for it."""

    chat_id: str
    left_s: float
    last_error: str
    restarts: int
    turns_open: int


@attrs.frozen
class ServiceView:
    """One of the runtime's own services, and whether its task runs."""

    name: str
    running: bool


@attrs.frozen
class SessionView:
    """One session of the tree at a glance; ages are in seconds."""

    chat_id: str
    phase: str
    status: str
    incarnation: int
    turn: int | None
    turn_age_s: float | None
    mailbox_messages: int
    mailbox_bytes: int
    oldest_message_age_s: float | None
    idle_s: float | None
    subscribers: int
    restarts: int
    last_error: str
    waits_at: str


@attrs.frozen
class StoppedView:
    """A session that left memory lately, so many seconds ago, and in which phase."""

    chat_id: str
    phase: str
    ago_s: float
    incarnation: int
    restarts: int
    last_error: str


@attrs.frozen
class Tree:
    """The supervision tree at one moment: services above, sessions below, and who was among them lately.

    ``sessions`` are those that do something first, then those that did something last; ``sessions_total`` counts all
    that are in memory. A session with a turn has the task of the turn below it. ``alarms`` are those that are on;
    ``stalls`` counts the steps that held the loop for too long, the longest of them ``stall_longest_s`` seconds, the
    latest in the session and at the place of ``stall_last`` (empty if there was none).
    """

    epoch: int
    stopping: bool
    degraded: bool
    services: tuple[ServiceView, ...]
    sessions: tuple[SessionView, ...]
    sessions_total: int
    sessions_known: int
    stopped: tuple[StoppedView, ...]
    alarms: tuple[Alarm, ...]
    stalls: int
    stall_longest_s: float
    stall_last: str


@attrs.frozen
class Statistics:
    """Every count and every bound of a runtime, at one moment."""

    epoch: int
    stopping: bool
    degraded: bool
    sessions_known: int
    aliases: int
    sessions_live: int
    phases: dict[str, int]
    sent: int
    refused: int
    given_up: int
    letters: Letters
    dropped: dict[str, int]
    dead_letters: int
    dead_letters_stored: int
    dead_letters_lost: int
    children: int
    spawned: int
    timers: int
    timer_ticks: int
    reminders: int
    ticks: int
    ticks_skipped: int
    duplicates: int
    turns: dict[str, int]
    turns_open: int
    events: int
    signals: int
    tool_calls: int
    interrupted: int
    late_output: int
    drift: int
    late_replies: int
    activations: int
    crashes: int
    restarts: int
    quarantines: int
    passivations: int
    churn: int
    fleet_pauses: int
    service_restarts: int
    zombies: int
    crash_reports: int
    crash_reports_lost: int
    threads: ThreadCounts
    monitors: int
    alarms: int
    alarms_raised: int
    stalls: int
    stall_longest_s: float
    suspensions: int
    abandoned: int
    subscribers: int
    lagged: int
    mailbox_bytes: int
    commit_groups: int
    commit_entries: int
    commit_entries_in_group_max: int
    commit_retries: int
    log_written: int
    log_lost: int
    log_failed: int
    limits: Limits

    @property
    def closed(self) -> bool:
        """Whether the sums are right: every envelope was refused, given up, or has its place among the letters."""
        return self.letters.closed and self.sent == self.refused + self.given_up + self.letters.admitted


def inspection(ref: Ref, epoch: int, now_s: float) -> Inspection:
    """Show what a session is doing at ``now_s``; nothing is waited for."""
    state = ref.state or SessionState(ref.chat_id)
    running = state.running
    live = ref.turn
    return Inspection(
        chat_id=ref.chat_id,
        phase=str(ref.phase),
        status=state.status,
        epoch=epoch,
        incarnation=ref.incarnation,
        seq=ref.seq,
        turns=state.turns,
        running_turn=None if running is None else running.turn,
        running_attempt=None if running is None else running.attempt,
        cancelling=isinstance(live, Turn) and bool(live.cancel_reason),
        queued_turns=len(state.queue),
        paused=state.standing.paused,
        steering=0 if running is None else len(running.steering),
        open_calls=0 if running is None else len(running.calls),
        open_prompts=len(state.open_prompts),
        tokens=state.standing.usage.tokens,
        cost=state.standing.usage.cost,
        mailbox_messages=ref.mailbox.queued,
        mailbox_bytes=ref.mailbox.bytes_held,
        waiting_senders=ref.mailbox.waiting,
        subscribers=len(ref.broadcast),
        restarts=ref.restarts,
        last_error=ref.last_error,
        parent=None if state.standing.parent is None else state.standing.parent.chat_id,
        children=len(live.children) if isinstance(live, Turn) else 0,
        reminders=len(state.standing.reminders),
        last_exit=str(ref.last_exit or ""),
        overlap=state.standing.overlap,
        suspended=ref.suspended,
        kept=ref.kept,
        turn_age_s=now_s - live.began_s if isinstance(live, Turn) else None,
        oldest_message_age_s=oldest_message_age_s(ref, now_s),
        idle_s=_idle_s(ref, now_s),
        waits_at=_waits_at(ref),
        executed=ref.executed,
        dead_letters=ref.dead,
        memory_bytes=0 if ref.phase is SessionPhase.ABSENT and state.seq == 0 else ref.size_bytes,
    )


def tree(
    services: Services, registry: Registry, now_s: float, sessions_max: int, alarms: tuple[Alarm, ...] = ()
) -> Tree:
    """Show the supervision tree, with at most so many sessions; the work is one look at each that is in memory."""
    refs = heapq.nlargest(sessions_max, registry.refs.values(), key=_interest)
    shown_s, last = services.limits.stopped_shown_s, services.watchdog.last
    return Tree(
        epoch=services.epoch,
        stopping=services.stopping,
        degraded=services.committer.statistics.degraded,
        services=tuple(ServiceView(name, running=runs) for name, runs in services.group.running().items()),
        sessions=tuple(_session_view(ref, now_s) for ref in refs),
        sessions_total=len(registry.refs),
        sessions_known=len(registry.known),
        stopped=tuple(
            StoppedView(one.chat_id, one.phase, now_s - one.at_s, one.incarnation, one.restarts, one.last_error)
            for one in registry.stopped
            if now_s - one.at_s <= shown_s and one.chat_id not in registry.refs
        ),
        alarms=alarms,
        stalls=services.watchdog.stalls,
        stall_longest_s=services.watchdog.longest_s,
        stall_last="" if last is None else f"{last.chat_id} {last.place}".strip(),
    )


def oldest_message_age_s(ref: Ref, now_s: float) -> float | None:
    """Say for how long the oldest message in a mailbox has waited, or None if there is none.

    A plain volatile message carries no time, since reading a clock would be a twentieth of what it costs. Its age is
    that of what waited behind it when somebody last looked, so it is right from the second look on, and never too high.
    """
    box = ref.mailbox
    if not box.messages:
        ref.mark = None
        return None
    head = box.messages[0]
    if isinstance(head, Request) and head.sent_s >= 0.0:
        return now_s - head.sent_s
    number = box.admitted - len(box.messages)
    if ref.mark is None or number >= ref.mark[1]:
        ref.mark = now_s, box.admitted
    return now_s - ref.mark[0]


def _interest(ref: Ref) -> tuple[bool, float]:
    """Order the sessions that do something before those that rest, and those that did last before the others."""
    return not ref.at_rest, ref.active_s


def _session_view(ref: Ref, now_s: float) -> SessionView:
    """Show one session at a glance."""
    state = ref.state or SessionState(ref.chat_id)
    live = ref.turn
    return SessionView(
        chat_id=ref.chat_id,
        phase=str(ref.phase),
        status=state.status,
        incarnation=ref.incarnation,
        turn=None if state.running is None else state.running.turn,
        turn_age_s=now_s - live.began_s if isinstance(live, Turn) else None,
        mailbox_messages=len(ref.mailbox.messages),
        mailbox_bytes=ref.mailbox.bytes_held,
        oldest_message_age_s=oldest_message_age_s(ref, now_s),
        idle_s=_idle_s(ref, now_s),
        subscribers=len(ref.broadcast),
        restarts=ref.restarts,
        last_error=ref.last_error,
        waits_at=_waits_at(ref),
    )


def _idle_s(ref: Ref, now_s: float) -> float | None:
    """Say for how long a session has done nothing, or None if it does something or is not in memory."""
    return now_s - ref.active_s if ref.resident_s >= 0.0 and ref.at_rest else None


def _waits_at(ref: Ref) -> str:
    """Name the line at which the turn of a session waits, or its handler; nothing if neither runs."""
    live = ref.turn
    if isinstance(live, Turn):
        return line_of(live.task)
    return line_of(ref.task) if ref.handling_since_s != math.inf else ""


def line_of(task: trio.lowlevel.Task | None) -> str:
    """Name the innermost line of a task that is not trio's own: what the host's code waits for."""
    place = ""
    for frame, line in () if task is None else task.iter_await_frames():
        if frame.f_globals.get("__name__", "").partition(".")[0] not in _WAITING:
            place = f"{frame.f_code.co_filename.rpartition('/')[2]}:{line} {frame.f_code.co_name}"
    return place


def statistics(services: Services, registry: Registry, *, sent: int, live: int, alarms: Alarms) -> Statistics:
    """Show every count and every bound.

    ``sent`` is what the router was given, ``live`` the sessions with a task, ``alarms`` those of the runtime.
    """
    counts, writer, recorder = services.accounts.counts, services.committer.statistics, services.recorder
    refs = list(registry)
    return Statistics(
        epoch=services.epoch,
        stopping=services.stopping,
        degraded=writer.degraded,
        sessions_known=len(registry.known),
        aliases=len(registry.aliases),
        sessions_live=live,
        phases=dict(Counter(str(ref.phase) for ref in refs)),
        sent=sent + counts.timer_ticks,
        refused=counts.refused,
        given_up=counts.given_up,
        letters=registry.letters(),
        dropped=dict(counts.dropped),
        dead_letters=len(services.accounts.dead_letters),
        dead_letters_stored=services.accounts.dead_letters.stored,
        dead_letters_lost=services.accounts.dead_letters.lost,
        children=len(services.kin),
        spawned=counts.spawned,
        timers=len(services.timers),
        timer_ticks=counts.timer_ticks,
        reminders=len(services.expiries),
        ticks=counts.ticks,
        ticks_skipped=counts.ticks_skipped,
        duplicates=counts.duplicates,
        turns=dict(counts.turns),
        turns_open=sum(0 if ref.state is None else len(ref.state.open_turns) for ref in refs),
        events=counts.events,
        signals=counts.signals,
        tool_calls=counts.tool_calls,
        interrupted=counts.interrupted,
        late_output=counts.late_output,
        drift=counts.drift,
        late_replies=counts.late_replies,
        activations=counts.activations,
        crashes=counts.crashes,
        restarts=counts.restarts,
        quarantines=counts.quarantines,
        passivations=counts.passivations,
        churn=services.accounts.churn.per_minute(services.clock.now_s()),
        fleet_pauses=services.breaker.pauses,
        service_restarts=services.group.restarts,
        zombies=len(services.zombies.alive()),
        crash_reports=len(services.crash_reports.kept),
        crash_reports_lost=services.crash_reports.lost,
        threads=services.workers.counts(),
        monitors=len(services.monitors),
        alarms=len(alarms.current),
        alarms_raised=alarms.raised,
        stalls=services.watchdog.stalls,
        stall_longest_s=services.watchdog.longest_s,
        suspensions=services.watchdog.suspensions,
        abandoned=counts.abandoned,
        subscribers=sum(len(ref.broadcast) for ref in refs),
        lagged=counts.lagged,
        mailbox_bytes=registry.budget.bytes_reserved,
        commit_groups=writer.groups,
        commit_entries=writer.entries,
        commit_entries_in_group_max=writer.entries_in_group_max,
        commit_retries=writer.retries,
        log_written=recorder.written,
        log_lost=recorder.lost,
        log_failed=recorder.failed,
        limits=services.limits,
    )


def quarantined(services: Services, registry: Registry) -> tuple[Quarantined, ...]:
    """Show the sessions in quarantine."""
    now_s = services.clock.now_s()
    return tuple(
        Quarantined(
            chat_id=ref.chat_id,
            left_s=max(0.0, ref.quarantined_until_s - now_s),
            last_error=ref.last_error,
            restarts=ref.restarts,
            turns_open=0 if ref.state is None else len(ref.state.open_turns),
        )
        for ref in registry
        if ref.phase is SessionPhase.QUARANTINED
    )
