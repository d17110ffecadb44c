"""Nothing serialises sessions: many that wait take as long as one, and a stalled one leaves the others alone."""

from functools import partial
from time import perf_counter

import trio

from actors import Limits, Turn, agent
from scripts.benchmarks.harness import Settings, benchmark, limit, percentile, run_bounded
from scripts.benchmarks.limits_disk import BODY
from scripts.benchmarks.ours_disk import time_turns
from scripts.benchmarks.scenario import all_at_once, answer_in_pieces, create_sessions, opened

WAIT_S = 0.2


@limit("reference-wait-one", "one turn that waits 200 ms for its model", "ms", higher_is_better=False)
def wait_one(settings: Settings) -> float:
    """One session."""
    return run_bounded(partial(_wait, settings, 1))


@benchmark(
    "ours-wait-200",
    "200 such turns at once: the wall clock of one",
    "ms",
    higher_is_better=False,
    reach=[("reference-wait-one", 0.6)],
)
def wait_many(settings: Settings) -> float:
    """Two hundred sessions."""
    return run_bounded(partial(_wait, settings, 200))


async def _wait(settings: Settings, sessions: int) -> float:
    """Give the wall clock of so many turns at once."""

    async def wait_for_model(turn: Turn) -> None:
        await trio.sleep(WAIT_S)
        await turn.write("done")

    async with opened(settings, agent(wait_for_model)) as (runtime, _):
        chats = await create_sessions(runtime, sessions)

        async def one(chat: str) -> None:
            await (await runtime.send(chat, BODY)).result()

        started_s = perf_counter()
        await all_at_once([partial(one, chat) for chat in chats])
        return (perf_counter() - started_s) * 1e3


@limit("reference-beside-none", "p99 of a turn beside 50 quiet chats", "ms", higher_is_better=False)
def beside_none(settings: Settings) -> float:
    """No chat is stalled."""
    return run_bounded(partial(_beside, settings, stalled=False))


@benchmark(
    "ours-beside-stalled",
    "the same beside 50 stalled chats with full mailboxes",
    "ms",
    higher_is_better=False,
    reach=[("reference-beside-none", 0.5)],
)
def beside_stalled(settings: Settings) -> float:
    """Fifty chats whose agent never returns, and whose queue is full."""
    return run_bounded(partial(_beside, settings, stalled=True))


async def _beside(settings: Settings, *, stalled: bool) -> float:
    """Give the 99th percentile of turns in one session beside others."""

    async def stall(turn: Turn) -> None:
        if turn.text == "stall":
            await trio.sleep_forever()
        await answer_in_pieces(turn)

    async with opened(settings, agent(stall), Limits(drain_s=0)) as (runtime, _):
        chats = await create_sessions(runtime, 51)
        if stalled:
            for chat in chats[1:]:
                for _ in range(50):
                    await runtime.send(chat, "stall")
        took_ms = await time_turns(runtime, chats[0], settings.scaled(400))
    return percentile(took_ms, 99)
