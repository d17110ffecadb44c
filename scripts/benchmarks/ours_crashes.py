"""Crashes cost those who crash: one turn in a hundred raises, and the rate of all of them hardly falls."""

from collections import Counter
from functools import partial
from time import perf_counter

from actors import Turn, agent
from scripts.benchmarks.harness import Figures, Settings, benchmark, limit, run_bounded
from scripts.benchmarks.limits_disk import BODY
from scripts.benchmarks.scenario import all_at_once, answer_in_pieces, create_sessions, opened

SESSIONS = 1000
TURNS = 10
CRASH_EVERY = 100


class HandlerFailedError(Exception):
    """What one turn in a hundred raises."""


@limit("reference-turns-sound", "whole turns, 1,000 sessions at once, none crashes", "turns/s", higher_is_better=True)
def turns_sound(settings: Settings) -> Figures:
    """No turn raises."""
    return run_bounded(partial(_turns, settings, crash_every=0))


@benchmark(
    "ours-turns-crashing",
    "the same, 1 % of the messages crash their handler: none is lost, no other session restarts",
    "turns/s",
    higher_is_better=True,
    reach=[("reference-turns-sound", 0.7)],
)
def turns_crashing(settings: Settings) -> Figures:
    """One turn in a hundred raises, and its session restarts."""
    return run_bounded(partial(_turns, settings, crash_every=CRASH_EVERY))


async def _turns(settings: Settings, *, crash_every: int) -> Figures:
    """Give the rate of turns of many sessions, each with one message after another."""

    async def handle(turn: Turn) -> None:
        if turn.text == "crash":
            raise HandlerFailedError
        await answer_in_pieces(turn)

    async with opened(settings, agent(handle)) as (runtime, _):
        chats = await create_sessions(runtime, settings.scaled(SESSIONS))
        ended: Counter[str] = Counter()
        crashed: Counter[str] = Counter()

        async def converse(chat: str, number: int) -> None:
            for turn in range(number * TURNS, (number + 1) * TURNS):
                crashes = bool(crash_every) and turn % crash_every == crash_every // 2
                result = await (await runtime.send(chat, "crash" if crashes else BODY)).result()
                ended[result.status] += 1
                crashed[chat] += crashes

        started_s = perf_counter()
        await all_at_once([partial(converse, chat, number) for number, chat in enumerate(chats)])
        took_s = perf_counter() - started_s
        crashes = sum(crashed.values())
        lost = len(chats) * TURNS - ended.total()
        assert not lost, f"{lost} messages were lost"
        assert ended["failed"] == crashes, f"{ended} for {crashes} crashes"
        touched = [chat for chat in chats if not crashed[chat] and runtime.inspect(chat).incarnation != 1]
        assert not touched, f"{len(touched)} sessions restarted without a crash of their own"
        return Figures(ended.total() / took_s, {"crashes": float(crashes), "lost": float(lost)})
