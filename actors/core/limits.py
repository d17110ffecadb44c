"""Every bound of the runtime, each with its unit and its precedent.

A limit is an option of the host, checked when it is given, and shown again by ``statistics()``.
"""

from collections.abc import Callable
from typing import Any, Final

import attrs

from actors.errors import ConfigurationError

KIB: Final = 1024
MIB: Final = 1024 * KIB


def _within(low: float, high: float, *, whole: bool) -> Callable[[object, "attrs.Attribute[Any]", object], None]:
    """Refuse what is no number, or no whole one, or outside ``low`` to ``high``, both included."""

    def check(_: object, attribute: "attrs.Attribute[Any]", value: object) -> None:
        refused = bool | float if whole else bool  # True is an int to Python, and NaN is within nothing
        if not isinstance(value, int | float) or isinstance(value, refused) or not low <= value <= high:
            message = f"limit {attribute.name} is {value!r} of type {type(value).__name__}"
            raise ConfigurationError(message, hint=f"give a {'whole ' if whole else ''}number from {low} to {high}")

    return check


def _limit(default: float, low: float, high: float) -> float:
    """Declare one limit with its default and its range."""
    value: float = attrs.field(default=default, validator=_within(low, high, whole=False))
    return value


def _count(default: int, low: int, high: int) -> int:
    """Declare one limit that counts things."""
    value: int = attrs.field(default=default, validator=_within(low, high, whole=True))
    return value


@attrs.frozen(kw_only=True)
class Limits:
    """All bounds of one runtime; every field has a default that was measured or has a precedent.

    Raises ConfigurationError for a value out of its range.
    """

    # One mailbox. 64 messages is Kameo's default; a byte bound stops few large ones from doing what many small may not.
    mailbox_messages_max: int = _count(64, 1, 1_000_000)
    mailbox_bytes_max: int = _count(1 * MIB, 1 * KIB, 1024 * MIB)
    # Messages that a handler has set aside; one more fails (Pekko's stash overflow, but of the message alone).
    stash_messages_max: int = _count(64, 0, 1_000_000)
    # All mailboxes together, checked first (Orleans' memory watermark, as a number).
    memory_bytes_max: int = _count(256 * MIB, 1 * MIB, 64 * 1024 * MIB)
    # One message or tool result.
    message_bytes_max: int = _count(1 * MIB, 1, 64 * MIB)
    # Accepted messages that wait for their turn in one session.
    queue_turns_max: int = _count(100, 1, 100_000)
    # A session gives way after this long without a suspension: 100 µs costs a tenth of the throughput and cuts the
    # neighbours' p99 beside a hot session from 1.3 ms to 0.3 ms.
    quantum_s: float = _limit(100e-6, 0.0, 1.0)
    # A sender of volatile messages that always finds room gives way after this long: waking a session costs as much as
    # ten messages, so batches are what makes them cheap.
    sender_s: float = _limit(0.05, 0.0, 60.0)

    # Text that only signals have shown so far: by age, by size, and the most a writer may run ahead of the disk.
    checkpoint_s: float = _limit(0.25, 0.001, 60.0)
    checkpoint_bytes_max: int = _count(4 * KIB, 1, 16 * MIB)
    unsaved_bytes_max: int = _count(256 * KIB, 1, 64 * MIB)

    # One group commit.
    commit_entries_max: int = _count(1000, 1, 100_000)
    commit_bytes_max: int = _count(8 * MIB, 1 * KIB, 512 * MIB)
    # A failed commit is tried again, doubling from the first delay to the last, for as long as the runtime lives.
    commit_retry_first_s: float = _limit(0.05, 0.001, 60.0)
    commit_retry_last_s: float = _limit(5.0, 0.001, 600.0)

    # One subscriber's buffer; whoever falls behind it is cut and told where to resume.
    subscriber_items_max: int = _count(1024, 1, 1_000_000)
    subscriber_bytes_max: int = _count(1 * MIB, 1 * KIB, 1024 * MIB)
    subscribers_max: int = _count(10_000, 1, 1_000_000)
    # One page of history or of events read from the store.
    page_rows_max: int = _count(500, 1, 100_000)
    # Messages of one session kept in memory while it is active; older ones are read in pages.
    history_messages_max: int = _count(2000, 1, 1_000_000)
    # Messages that a fork may begin with. They are one commit and are folded at once, some ten microseconds each.
    fork_messages_max: int = _count(10_000, 1, 1_000_000)

    # Supervision: Kameo's budget per child, Pekko's back-off with full jitter.
    restarts_max: int = _count(5, 0, 1000)
    restart_window_s: float = _limit(30.0, 0.001, 86_400.0)
    backoff_first_s: float = _limit(0.2, 0.0, 3600.0)
    backoff_last_s: float = _limit(30.0, 0.0, 86_400.0)
    stable_s: float = _limit(60.0, 0.0, 86_400.0)
    quarantine_s: float = _limit(600.0, 0.0, 86_400.0)
    # The fleet breaker: when more than this share of the active sessions, and at least so many, fail within the window,
    # the cause is taken to be shared and restarts pause. Erlang's add-on supervisors delay rather than give up.
    fleet_percent_max: int = _count(20, 1, 100)
    fleet_sessions_min: int = _count(10, 2, 1_000_000)
    fleet_window_s: float = _limit(10.0, 0.001, 3600.0)
    # The runtime's own services, restarted together (OTP's rest_for_one): three in five seconds is its usual intensity.
    service_restarts_max: int = _count(3, 0, 1000)
    service_window_s: float = _limit(5.0, 0.001, 3600.0)
    # A turn that was interrupted by the end of a process is begun at most this often under the policy ``retry``.
    attempts_max: int = _count(3, 1, 1000)

    # Time: an ask has a deadline (OTP's five seconds), a cancelled turn has a grace before it is abandoned.
    ask_s: float = _limit(5.0, 0.0, 86_400.0)
    cancel_grace_s: float = _limit(5.0, 0.0, 3600.0)
    # A task that was told to end and has not is a zombie after this long, and is taken out of the way.
    kill_s: float = _limit(5.0, 0.001, 3600.0)
    # A handler of volatile messages that runs longer is a crash of its session: while it runs, nothing else is heard.
    handler_s: float = _limit(30.0, 0.001, 86_400.0)
    turn_s: float = _limit(3600.0, 0.001, 86_400.0)
    # A session that begins reads its state within this time, or is tried again: one that hangs must not keep its place
    # among those that begin. Orleans' activation timeout is as long.
    init_s: float = _limit(30.0, 0.001, 3600.0)
    activations_max: int = _count(50, 1, 10_000)
    # Wall time may jump: it is looked at so often while something waits for a moment of it; and so many moments that
    # have come are called at once before others run.
    expiry_look_s: float = _limit(10.0, 0.01, 3600.0)
    expiry_batch_max: int = _count(100, 1, 100_000)
    # Shutdown: how long queued and running turns may go on, and how long each later phase may take.
    drain_s: float = _limit(5.0, 0.0, 3600.0)
    phase_s: float = _limit(5.0, 0.0, 3600.0)

    # Passivation: Orleans' idle time and residency; the bound on memory has a high and a low mark.
    idle_s: float = _limit(900.0, 0.001, 31_536_000.0)
    sessions_live_max: int = _count(1_000_000, 1, 100_000_000)
    sessions_bytes_max: int = _count(1024 * MIB, 1 * MIB, 1024 * 1024 * MIB)
    sessions_high_share: float = _limit(0.80, 0.0, 1.0)
    sessions_low_share: float = _limit(0.75, 0.0, 1.0)
    residency_s: float = _limit(30.0, 0.0, 86_400.0)
    # Open questions of one session: the oldest of turns that were interrupted are closed for newer ones.
    prompts_max: int = _count(100, 1, 10_000)

    # Looking in: records of what sessions did, hooks on one of them, and who is shown that has stopped.
    recent_records_max: int = _count(10_000, 0, 10_000_000)
    trace_records_max: int = _count(100_000, 1, 10_000_000)
    hooks_max: int = _count(8, 0, 1000)
    observers_max: int = _count(16, 0, 1000)
    observer_s: float = _limit(10.0, 0.001, 3600.0)
    stopped_shown_max: int = _count(100, 0, 100_000)
    stopped_shown_s: float = _limit(300.0, 0.0, 86_400.0)

    # Reminders of one session, as many as may wait in its queue; the shortest period; a tick that is later was missed
    # (Orleans has a minute for both); and the most missed ticks that are made up for.
    reminders_max: int = _count(100, 0, 100_000)
    reminder_period_s: float = _limit(1.0, 0.001, 86_400.0)
    reminder_late_s: float = _limit(60.0, 0.0, 86_400.0)
    reminder_missed_max: int = _count(1000, 1, 1_000_000)

    # Volatile timers of one incarnation, and the shortest time between two ticks.
    timers_max: int = _count(100, 0, 100_000)
    timer_period_s: float = _limit(0.001, 0.0001, 86_400.0)
    # Children that one turn may spawn, as many as may wait in its queue, and how many ancestors a session may have.
    children_max: int = _count(100, 0, 100_000)
    children_depth_max: int = _count(8, 0, 100)

    # Loop guards of one turn: rounds of its model; calls that are the same, or fail; replies without text or call.
    hops_max: int = _count(50, 1, 100_000)
    failing_calls_max: int = _count(3, 1, 100_000)
    same_calls_max: int = _count(5, 1, 100_000)
    empty_replies_max: int = _count(2, 0, 100_000)
    tool_calls_max: int = _count(200, 1, 100_000)

    # Threads for the host's blocking calls; trio's own default is 40, and these are the host's besides.
    offload_threads_max: int = _count(20, 1, 10_000)
    # Alarms: how often the runtime is looked at, how long a fact must be at rest before its alarm is cleared, and over
    # which window rates are taken. Thresholds: a full mailbox is overload, a message that waits half a minute is stuck.
    alarm_s: float = _limit(1.0, 0.01, 3600.0)
    alarm_rest_s: float = _limit(10.0, 0.0, 3600.0)
    alarm_window_s: float = _limit(60.0, 0.1, 86_400.0)
    alarm_queue_percent_max: int = _count(80, 1, 100)
    alarm_age_s: float = _limit(30.0, 0.01, 86_400.0)
    alarm_restarts_max: int = _count(20, 1, 1_000_000)
    alarm_churn_max: int = _count(100, 1, 1_000_000)
    alarm_dead_letters_max: int = _count(100, 1, 1_000_000_000)
    # A turn that has done nothing for so long (Dramatiq's soft limit, Orleans' report of a blocked activation).
    soft_turn_s: float = _limit(30.0, 0.01, 86_400.0)
    # A step that holds the loop for so long is a stall: a tenth of a second is what a person begins to notice.
    stall_s: float = _limit(0.1, 0.001, 3600.0)
    # Crash reports kept in memory, and the last events whose kinds each names.
    crash_reports_max: int = _count(100, 0, 100_000)
    crash_events_max: int = _count(20, 1, 1000)
    # Dead letters: in memory by number and size, on disk by number and age (where they are kept there at all), and how
    # often their reasons may speak in the log.
    dead_letters_max: int = _count(10_000, 0, 1_000_000)
    dead_letters_bytes_max: int = _count(16 * MIB, 0, 1024 * MIB)
    dead_letters_stored_max: int = _count(100_000, 1, 100_000_000)
    dead_letter_s: float = _limit(604_800.0, 1.0, 315_360_000.0)
    # How long the id of an erased session stays refused as deleted; afterwards it is unknown.
    tombstone_s: float = _limit(2_592_000.0, 1.0, 315_360_000.0)
    log_repeats_max: int = _count(10, 1, 1_000_000)
    log_window_s: float = _limit(300.0, 0.001, 86_400.0)
    log_records_max: int = _count(100_000, 1, 10_000_000)
