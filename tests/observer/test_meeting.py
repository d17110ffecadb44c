"""The socket stands beside its store, for its owner alone; what a dead or fenced process left there is replaced."""

import os
import socket
import stat
from pathlib import Path

import pytest

from actors.observer.meeting import PATH_BYTES_MAX, Place, connect, meeting_path


def deep(folder: Path) -> Path:
    """Name a store whose path is longer than that of any socket may be."""
    place = folder / ("long" * 20) / ("path" * 10)
    place.mkdir(parents=True)
    return place / "s.db"


def met(store: Path) -> bool:
    """Say whether somebody listens at a store."""
    found = connect(store, 1.0)
    if found is not None:
        found.close()
    return found is not None


@pytest.mark.parametrize("long", [False, True], ids=["short", "long"])
def test_who_looks_finds_who_listens(long: bool, tmp_path: Path) -> None:  # noqa: FBT001 - a row of the matrix
    """Also where the path is too long for a socket; and no more once it has closed."""
    store = deep(tmp_path) if long else tmp_path / "s.db"
    assert (len(os.fsencode(meeting_path(store))) > PATH_BYTES_MAX) is long
    place = Place(store)
    with place.listen():
        assert met(store)
        if long:
            assert meeting_path(store).is_file()
            target = Path(meeting_path(store).read_text("utf-8"))
            assert stat.S_IMODE(target.parent.stat().st_mode) == 0o700
        else:
            assert stat.S_ISSOCK(meeting_path(store).stat().st_mode)
        assert stat.S_IMODE(meeting_path(store).stat().st_mode) == 0o600
    place.close()
    place.close()
    assert not met(store)
    assert list(store.parent.iterdir()) == []


@pytest.mark.parametrize("long", [False, True], ids=["short", "long"])
def test_what_a_dead_process_left_is_replaced(long: bool, tmp_path: Path) -> None:  # noqa: FBT001 - as above
    """A socket that nobody listens at says that nobody does, and is in nobody's way."""
    store = deep(tmp_path) if long else tmp_path / "s.db"
    dead = Place(store)
    dead.listen().close()
    assert meeting_path(store).exists()
    assert not met(store)
    place = Place(store)
    with place.listen():
        assert met(store)
        dead.close()
        assert met(store), "it took only its own away"
    place.close()
    assert not met(store)


@pytest.mark.parametrize("content", [b"", b"/nowhere/at/all", b"\0", b"x" * 300, b"relative"])
def test_a_file_that_names_no_socket_is_nobody(content: bytes, tmp_path: Path) -> None:
    """It is not an error to find nobody; and it is replaced as well."""
    store = tmp_path / "s.db"
    meeting_path(store).write_bytes(content)
    assert not met(store)
    place = Place(store)
    with place.listen():
        assert met(store)
    place.close()


def test_a_store_is_met_by_whatever_link_it_is_reached(tmp_path: Path) -> None:
    """One file has one socket."""
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "s.db").touch()
    (tmp_path / "link.db").symlink_to(tmp_path / "real" / "s.db")
    place = Place(tmp_path / "real" / "s.db")
    with place.listen():
        assert met(tmp_path / "link.db")
    place.close()


def test_a_folder_that_cannot_be_written_is_an_error_that_leaves_nothing(tmp_path: Path) -> None:
    """Whoever wants to listen is told, and may go on without."""
    place = Place(tmp_path / "missing" / "s.db")
    with pytest.raises(OSError, match="No such file"):
        place.listen()
    place.close()
    long = Place(tmp_path / ("missing" * 20) / "s.db")
    with pytest.raises(OSError, match="No such file"):
        long.listen()
    assert long._folder is None  # noqa: SLF001 - what was made for it is gone again


def test_the_new_owner_of_a_store_takes_the_place_over(tmp_path: Path) -> None:
    """A process that was fenced and lives on does not answer for the store any more."""
    store = tmp_path / "s.db"
    old, new = Place(store), Place(store)
    with old.listen() as first, new.listen() as second:
        found = connect(store, 1.0)
        assert found is not None
        second.setblocking(True)  # noqa: FBT003 - the socket's own signature
        second.accept()[0].close()
        found.close()
        with pytest.raises(BlockingIOError):
            first.accept()
    old.close()
    assert meeting_path(store).exists()
    new.close()
    assert not meeting_path(store).exists()
    assert isinstance(socket.AF_UNIX, int)
