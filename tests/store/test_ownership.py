"""One life at a time owns a store, and the kernel gives it back when that life ends, however it ends."""

import fcntl
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from actors.errors import StoreInUseError, StoreUnavailableError
from actors.store.ownership import Ownership
from tests.store.doomed_writer import CHATS, FENCED, READY, groups_in, start
from tests.store.histories import created
from tests.store.places import FilePlace, fill, numbers, opened


@pytest.mark.rule("promise_storage_9")
def test_the_second_owner_is_refused_until_the_first_has_gone(tmp_path: Path) -> None:
    """In one process as in two; the error names the process that has to be stopped."""
    path = tmp_path / "chats.db"
    first, second = Ownership(path), Ownership(path)
    first.acquire(takeover=False)
    for owner in (second, first):
        with pytest.raises(StoreInUseError, match=f"another runtime owns the store .process {os.getpid()}."):
            owner.acquire(takeover=False)
    first.release()
    first.release()
    second.acquire(takeover=False)
    second.release()


def test_a_file_has_one_owner_by_whatever_link_it_is_reached(tmp_path: Path) -> None:
    """Two names of one file lead to one lock."""
    path, link, folder = tmp_path / "chats.db", tmp_path / "link.db", tmp_path / "folder"
    path.touch()
    link.symlink_to(path)
    folder.symlink_to(tmp_path)
    owner = Ownership(path)
    owner.acquire(takeover=False)
    for other in (link, folder / "link.db", tmp_path / "folder" / ".." / tmp_path.name / "chats.db"):
        with pytest.raises(StoreInUseError):
            Ownership(other).acquire(takeover=False)
    owner.release()


def test_who_takes_over_holds_a_lock_that_the_one_before_cannot_give_up(tmp_path: Path) -> None:
    """The one that was taken over may end whenever it likes."""
    path = tmp_path / "chats.db"
    first, second, third = (Ownership(path) for _ in range(3))
    first.acquire(takeover=False)
    second.acquire(takeover=True)
    first.release()
    with pytest.raises(StoreInUseError):
        third.acquire(takeover=False)
    second.release()
    third.acquire(takeover=False)
    third.release()


def test_a_lock_file_that_was_replaced_before_it_was_locked_is_no_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between opening and locking another may take over: then its lock counts, not the one on a file that is gone."""
    path = tmp_path / "chats.db"
    first, second, flock = Ownership(path), Ownership(path), fcntl.flock

    def late(descriptor: int, operation: int) -> None:
        monkeypatch.setattr(fcntl, "flock", flock)
        second.acquire(takeover=True)
        flock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", late)
    with pytest.raises(StoreInUseError, match="another runtime owns the store"):
        first.acquire(takeover=False)
    second.release()

    def always_late(descriptor: int, operation: int) -> None:
        path.with_name("chats.db.lock").unlink()
        flock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", always_late)
    with pytest.raises(StoreInUseError, match="replaced 100 times in a row"):
        first.acquire(takeover=False)


def test_a_lock_file_that_cannot_be_made_says_why(tmp_path: Path) -> None:
    """No folder, something else in its place, or a disk that takes nothing: never a bare OSError, never a leak."""
    (tmp_path / "taken.db.lock").mkdir()
    (tmp_path / "full.db.lock").symlink_to("/dev/full")
    before = descriptors()
    for name in ("missing/chats.db", "taken.db", "full.db"):
        for takeover in (False, True):
            if name == "full.db" and takeover:
                continue  # it takes the file away and makes a sound one
            with pytest.raises(StoreUnavailableError, match="cannot be locked") as caught:
                Ownership(tmp_path / name).acquire(takeover=takeover)
            assert caught.value.hint == "put the store in a writable folder of a local disk"
    assert descriptors() == before


def test_a_program_that_the_owner_starts_does_not_inherit_the_lock(tmp_path: Path) -> None:
    """A tool that outlives its runtime must not keep the store from the next one."""
    owner = Ownership(tmp_path / "chats.db")
    owner.acquire(takeover=False)
    cat = shutil.which("cat") or "cat"
    with subprocess.Popen([cat], stdin=subprocess.PIPE, close_fds=False) as tool:
        owner.release()
        owner.acquire(takeover=False)
        assert tool.poll() is None
        assert tool.stdin is not None
        tool.stdin.close()
    owner.release()


@pytest.mark.slow
async def test_the_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    """While it lives it is named; killed without a chance to tidy up, it leaves a store that opens at once."""
    place = FilePlace(tmp_path)
    with start(place.path, seed=1) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline().strip() == READY
        with pytest.raises(StoreInUseError, match=f"process {owner.pid}"):
            await place.journal().open(takeover=False)
        owner.kill()
    async with opened(place) as (journal, said):
        assert said.epoch == 2
        assert list(await groups_in(journal)) in ([], [1])


@pytest.mark.rule("promise_storage_10", "J4", "pitfall_18")
@pytest.mark.slow
async def test_a_process_that_is_taken_over_is_fenced_at_its_next_write(tmp_path: Path) -> None:
    """It is not killed: it finds out, writes nothing more, and what it had written stays."""
    place = FilePlace(tmp_path)
    with start(place.path, seed=2) as owner:
        assert owner.stdout is not None
        assert [owner.stdout.readline().strip() for _ in range(3)] == [READY, "0", "1"]
        async with opened(place, takeover=True) as (journal, said):
            assert said.epoch == 2
            left = await groups_in(journal)
            await fill(journal, created())
            *written, last = owner.stdout.read().split()
            assert last == FENCED
            assert owner.wait() == 0
            assert await groups_in(journal) == left == {1: list(range(len(written) + 2))}
            assert await numbers(journal, created().chat_id) == [1]
            assert created().chat_id not in CHATS


def descriptors() -> int:
    """Count the open files of this process, where the system tells."""
    folder = Path("/proc/self/fd")
    return len(list(folder.iterdir())) if folder.is_dir() else 0
