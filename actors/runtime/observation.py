"""What a runtime shows of itself: one session at a glance, and every count with every bound."""

from collections import Counter

import attrs

from actors.core.lifecycle import SessionPhase
from actors.core.limits import Limits
from actors.core.state import SessionState
from actors.runtime.alarms import Alarms
from actors.runtime.ref import Ref
from actors.runtime.registry import Letters, Registry
from actors.runtime.services import Services
from actors.runtime.turn import Turn
from actors.runtime.workers import ThreadCounts


@attrs.frozen
class Inspection:
    """What a session is doing: its last committed state and the facts of its running turn."""

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


@attrs.frozen
class Quarantined:
    """A session in quarantine: the seconds until it is released by itself, and the turns that wait on disk for it."""

    chat_id: str
    left_s: float
    last_error: str
    restarts: int
    turns_open: int


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


def inspection(ref: Ref, epoch: int) -> Inspection:
    """Show what a session is doing; nothing is waited for."""
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
    )


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
