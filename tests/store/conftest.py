"""What the tests of the store stand on."""

from collections.abc import Iterator

import apsw
import pytest

from tests.store.faulty_disk import FaultyDisk

# Helpers whose asserts should explain themselves, though pytest does not collect them.
pytest.register_assert_rewrite("tests.store.places")


@pytest.fixture
def disk() -> Iterator[FaultyDisk]:
    """Put a disk that can fail below every connection of the test."""
    disk = FaultyDisk()
    yield disk
    disk.unregister()


@pytest.fixture
def connections() -> Iterator[list[apsw.Connection]]:
    """Collect the connections that the test opens; a journal opens its writer first."""
    made: list[apsw.Connection] = []
    collect = made.append
    apsw.connection_hooks.append(collect)
    yield made
    apsw.connection_hooks.remove(collect)
