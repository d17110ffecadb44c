"""One life of a runtime under load, in a process of its own: ``python -m actors.stress.life``.

Its job comes on standard input, and what it does goes to standard output line by line, as it is done, since it may be
killed at any moment. It ends by itself: every wait in it has a bound.
"""

import os
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

import msgspec
import trio

from actors.core.ids import ChatId
from actors.core.lifecycle import SessionPhase
from actors.core.limits import Limits
from actors.host import open_runtime
from actors.runtime.agent import agent
from actors.runtime.clock import SystemClock
from actors.runtime.facade import Runtime
from actors.stress.agents import LoadAgent
from actors.stress.plan import Load, Role, roles_of
from actors.stress.records import AnyLine, Begun, Closed, Job, Measured, Sampled, Settled, Wrong, encode_line
from actors.stress.senders import Senders

SAMPLES: Final = 200
SAMPLE_S_MAX: Final = 0.5
DRAIN_S: Final = 90.0
"""How long senders may take to come to their ends."""
REST_S: Final = 30.0
"""How long the runtime may take to come to rest after them, beside the turns that nobody waits for any more."""
REST_LOOK_S: Final = 0.1
RESTLESS_MAX: Final = 10
STATM: Final = Path("/proc/self/statm")
DESCRIPTORS: Final = Path("/proc/self/fd")

LIMITS: Final = Limits(
    # Small enough to be full, and flat, after the warm-up.
    history_messages_max=30,
    dead_letters_max=1000,
    # Short enough to be met often in a minute.
    cancel_grace_s=0.5,
    turn_s=20.0,
    quarantine_s=5.0,
    backoff_last_s=1.0,
)
"""The bounds of the runtime under load; those that are not named are the defaults."""
ATTEMPTS_MAX: Final = 1000
"""A kill may meet the same turn several times."""


async def live(job: Job, tell: Callable[[AnyLine], None]) -> None:
    """Live one life, and tell of it."""
    load = job.load_of()
    roles = roles_of(load)
    before = _census()
    performer = LoadAgent(load, roles, job.sabotage)
    performing = agent(performer.answer, receive=performer.receive, on_interrupted="retry", attempts_max=ATTEMPTS_MAX)
    async with open_runtime(
        job.store,
        agent=performing,
        limits=LIMITS,
        clock=SystemClock(load.seed * 1000 + job.life),
        log=job.log,
        observe=True,
    ) as runtime:
        tell(Begun(runtime.epoch))
        senders = Senders(load, runtime, tell, sabotage=job.sabotage)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_sample, runtime, senders, job, tell)
            await _bear(job, load, roles, senders, tell)
            nursery.cancel_scope.cancel()
        await _settle(runtime, job, tell)
        tell(_sampled(runtime, senders, trio.current_time()))
    if job.sabotage == "stray":
        trio.lowlevel.spawn_system_task(trio.sleep_forever)
        await trio.lowlevel.checkpoint()
    after = _census()
    tasks, descriptors, threads = zip(before, after, strict=True)
    tell(Closed(tasks, descriptors, threads))


async def _bear(
    job: Job, load: Load, roles: dict[ChatId, Role], senders: Senders, tell: Callable[[AnyLine], None]
) -> None:
    """Have everybody send for as long as the job says, then let them come to their ends."""
    healthy = tuple(chat_id for chat_id, role in roles.items() if role is Role.HEALTHY)
    done = trio.Event()
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:

            async def end() -> None:
                with trio.move_on_after(job.seconds):
                    await done.wait()
                senders.over.set()
                scope.deadline = trio.current_time() + DRAIN_S

            nursery.start_soon(end)
            for number in range(load.subscribers):
                nursery.start_soon(senders.watch, healthy, number)
            for number in range(round(load.invalid * load.sessions) or int(load.invalid > 0)):
                nursery.start_soon(senders.offend, number)
            for chat_id in (chat_id for chat_id, role in roles.items() if role is Role.FLOODED):
                nursery.start_soon(senders.flood, chat_id)
            if load.passivating:
                nursery.start_soon(senders.put_away, tuple(roles))
            left = {chat_id: job.unsettled.get(chat_id, ()) for chat_id in (*job.doomed, *job.unsettled)}
            left = {chat_id: numbers for chat_id, numbers in left.items() if chat_id not in roles}
            if load.churn or left:
                nursery.start_soon(senders.come_and_go, job.life, left)
            async with trio.open_nursery() as conversations:
                for chat_id, role in roles.items():
                    following, unsettled = job.following.get(chat_id, 1), job.unsettled.get(chat_id, ())
                    conversations.start_soon(senders.converse, chat_id, role, following, unsettled)
            done.set()
    if scope.cancelled_caught:
        tell(Wrong(f"senders had not come to their ends {DRAIN_S:.0f} s after the load"))


def rest_s(life: int) -> float:
    """Say how long a life may take to come to rest: each kill may leave a session one more turn that hangs."""
    return REST_S + life * LIMITS.turn_s


async def _settle(runtime: Runtime, job: Job, tell: Callable[[AnyLine], None]) -> None:
    """Wait until the runtime is at rest, and tell its sums, and what keeps it from its rest."""
    restless = await _restless(runtime)
    with trio.move_on_after(rest_s(job.life)):
        while restless:
            await trio.sleep(REST_LOOK_S)
            restless = await _restless(runtime)
    for what in restless[:RESTLESS_MAX]:
        tell(Wrong(f"{what} {rest_s(job.life):.0f} s after the load"))
    statistics = runtime.statistics()
    letters = statistics.letters
    sums = {
        "sent": statistics.sent + (job.sabotage == "miscount"),
        "refused": statistics.refused,
        "given up": statistics.given_up,
        "admitted": letters.admitted,
        "executed": letters.executed,
        "dead": letters.dead,
        "queued": letters.queued,
        "withdrawn": letters.withdrawn,
    }
    placed = sums["refused"] + sums["given up"] + sums["admitted"]
    tell(Settled(statistics.closed and sums["sent"] == placed, sums))


async def _restless(runtime: Runtime) -> list[str]:
    """List the sessions that have something under way; turns of one in quarantine wait on disk until it is released."""
    found: list[str] = []
    after = ""
    while page := await runtime.sessions(after=after):
        for chat_id in page:
            session = runtime.inspect(chat_id)
            turns = session.queued_turns + (session.running_turn is not None)
            if session.phase != SessionPhase.QUARANTINED and (turns or session.mailbox_messages):
                found.append(f"{chat_id} ({session.phase}) has {turns} turns and {session.mailbox_messages} messages")
        after = page[-1]
    return found


async def _sample(runtime: Runtime, senders: Senders, job: Job, tell: Callable[[AnyLine], None]) -> None:
    """Tell at equal distances how far this life is."""
    began_s = trio.current_time()
    every_s = min(job.seconds / SAMPLES, SAMPLE_S_MAX)
    while True:
        await trio.sleep(every_s)
        tell(_sampled(runtime, senders, trio.current_time() - began_s))


def _sampled(runtime: Runtime, senders: Senders, at_s: float) -> Sampled:
    """Take a sample."""
    statistics = runtime.statistics()
    counts = senders.counts | {
        "sent": statistics.sent,
        "refused": statistics.refused,
        "events": statistics.events,
        "crashes": statistics.crashes,
        "restarts": statistics.restarts,
        "quarantines": statistics.quarantines,
        "abandoned": statistics.abandoned,
        "interrupted": statistics.interrupted,
        "lagged": statistics.lagged,
    }
    latencies = {
        name: Measured(dict(histogram.buckets), histogram.longest_s) for name, histogram in senders.latencies.items()
    }
    return Sampled(at_s, memory_bytes(), counts, latencies)


def memory_bytes() -> int:
    """Say how much memory this process has now; 0 where that cannot be read."""
    try:
        return int(STATM.read_text("ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def _census() -> tuple[int, int, int]:
    """Count trio's tasks, and the descriptors and threads of this process."""
    try:
        descriptors = len(list(DESCRIPTORS.iterdir()))
    except OSError:
        descriptors = 0
    return trio.lowlevel.current_statistics().tasks_living, descriptors, threading.active_count()


def main() -> None:
    """Read a job and live."""
    job = msgspec.json.decode(sys.stdin.buffer.read(), type=Job)
    write = partial(os.write, sys.stdout.fileno())

    def tell(line: AnyLine) -> None:
        left = encode_line(line)
        while left:
            left = left[write(left) :]

    trio.run(live, job, tell)


if __name__ == "__main__":
    main()
