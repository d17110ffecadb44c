"""A program whose sessions are reminded many times a second, and whose turns have children: to be killed.

Prints a line once it is open, and goes on until somebody ends it.
"""

import sys

import trio

from actors import Limits, Turn, open_runtime

SESSIONS = 5
PERIOD_S = 0.02


async def answer(turn: Turn) -> str:
    """Answer a tick with the help of a child."""
    if turn.parent is not None:
        return "looked"
    return (await (await turn.spawn("look")).result()).text


async def main(path: str) -> None:
    """Set the reminders, which stand already but for the first time, and wait for the end."""
    async with open_runtime(path, agent=answer, limits=Limits(reminder_period_s=PERIOD_S)) as runtime:
        for number in range(SESSIONS):
            chat_id = await runtime.create(f"live:{number}")
            await runtime.remind(chat_id, "tick", "Look.", every_s=PERIOD_S, missed="all")
        print("open", flush=True)  # noqa: T201 - whoever started it waits for this
        await trio.sleep_forever()


if __name__ == "__main__":
    trio.run(main, sys.argv[1])
