"""A message that kills its process does so a bounded number of times, whatever the program around it does."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.processes import WAIT_S, environment, finished

pytestmark = pytest.mark.slow

PROGRAM = """
import os
import signal
import sys

import trio

from actors import Turn, agent, open_runtime


@agent(on_interrupted=sys.argv[2], attempts_max=3)
async def assistant(turn: Turn) -> None:
    await turn.write(f"attempt {turn.attempt}")
    if turn.text == "poison":
        await trio.sleep(0.5)
        os.kill(os.getpid(), signal.SIGKILL)


async def main() -> None:
    async with open_runtime(sys.argv[1], agent=assistant) as runtime:
        chat_id = await runtime.create("live:42")
        poison = await runtime.send(chat_id, "poison", message_id="poison")
        result = await poison.result()
        print(result.status, result.reason)
        print([letter.reason.value for letter in runtime.dead_letters()])
        other = await runtime.send(chat_id, "hello", message_id="other")
        print((await other.result()).status)


trio.run(main)
"""


@pytest.mark.parametrize(("policy", "deaths"), [("mark", 1), ("retry", 3), ("continue", 3)])
def test_pitfall_11_a_message_that_kills_its_process_is_poison_in_the_end(
    policy: str, deaths: int, tmp_path: Path
) -> None:
    """The attempt is on disk before it runs, so a death that nothing can catch is counted; the session goes on."""
    store, program = tmp_path / "s.db", tmp_path / "program.py"
    program.write_text(PROGRAM, "utf-8")
    lives = [
        subprocess.run(
            [sys.executable, str(program), str(store), policy],
            env=environment(), capture_output=True, text=True, timeout=WAIT_S, check=False,
        )
        for _ in range(deaths + 1)
    ]  # fmt: skip
    done = lives[-1]
    assert [life.returncode for life in lives] == [-9] * deaths + [0], done.stderr
    reason, letters = ("process_ended", "[]") if policy == "mark" else ("attempts", "[]")
    status, dead, other = done.stdout.splitlines()
    assert (status, other) == (f"interrupted {reason}", "completed")
    assert dead == (letters if policy == "mark" else "['poison']")
    assert finished("doctor", "--store", str(store))[0] == 0
    exported = [json.loads(line) for line in finished("export", "--store", str(store))[1].splitlines()]
    assert [line["role"] for line in exported][:2] == ["user", "assistant"]
