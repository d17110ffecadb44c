"""An owner that hangs loses its store, and writes nothing when it wakes up."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
import trio

from actors import open_runtime
from actors.core.audit import check_history
from actors.runtime.clock import Threads
from actors.store.sqlite import SQLiteJournal
from actors.testing import Say, ScriptedAgent, histories
from tests.e2e.processes import ROOT, WAIT_S

OWNER = """
import sys, trio
from actors import open_runtime
from actors.testing import Say, ScriptedAgent

async def main():
    async with open_runtime(sys.argv[1], agent=ScriptedAgent([Say("ok")])) as runtime:
        await runtime.create("live:a")
        print("open", flush=True)
        number = 0
        while True:
            try:
                await runtime.send("live:a", "tick", message_id=f"old.{number}")
            except Exception as error:
                print(type(error).__name__, flush=True)
                return
            number += 1
            await trio.sleep(0.01)

trio.run(main)
"""


def start_owner(path: Path) -> subprocess.Popen[str]:
    """Start a process that owns a store and writes to it until it is told that it may not."""
    return subprocess.Popen(
        [sys.executable, "-c", OWNER, str(path)], env={"PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, text=True
    )


@pytest.mark.slow
@pytest.mark.rule("J4", "promise_storage_10", "pitfall_18")
async def test_pitfall_19_an_owner_that_hangs_does_not_keep_its_store(tmp_path: Path) -> None:
    """It is stopped in the middle of its work, taken over at once, and told when it goes on; nothing of it is added."""
    path = tmp_path / "chats.db"
    owner = start_owner(path)
    assert owner.stdout is not None
    try:
        with trio.fail_after(WAIT_S):
            assert await trio.to_thread.run_sync(owner.stdout.readline) == "open\n"
            await trio.sleep(0.3)
            owner.send_signal(signal.SIGSTOP)
            async with open_runtime(path, agent=ScriptedAgent([Say("new")]), takeover=True) as runtime:
                assert runtime.epoch == 2
                assert (await (await runtime.send("live:a", "hello", message_id="new")).result()).text == "new"
                owner.send_signal(signal.SIGCONT)
                told = await trio.to_thread.run_sync(owner.stdout.readline)
                assert told.strip() in {"StoreFencedError", "UnavailableError", "StoreError"}
                assert (await (await runtime.send("live:a", "bye", message_id="last")).result()).ok
    finally:
        owner.kill()
        with owner:
            pass
    journal = SQLiteJournal(path, Threads())
    await journal.open_reader()
    try:
        events = (await histories(journal))["live:a"]
    finally:
        await journal.close()
    assert check_history(events, settled=True) == []
    assert {event.epoch for event in events} == {1, 2}
