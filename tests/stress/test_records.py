"""Lines come back as they were, and a job carries the whole load."""

import attrs
import msgspec
import pytest

from actors.stress.plan import ALL_FAULTS, Load
from actors.stress.records import (
    AnyLine,
    Begun,
    Buried,
    Closed,
    Dooms,
    Job,
    Measured,
    Refused,
    Sampled,
    Sent,
    Settled,
    Took,
    Wrong,
    decode_line,
    encode_line,
    job_of,
)

LINES: list[AnyLine] = [
    Begun(3),
    Sent("live:a", 1),
    Took("live:a", 1),
    Refused("live:a", 2, "busy"),
    Dooms("live:a"),
    Buried("live:a"),
    Wrong("a line\nin two"),
    Sampled(1.5, 1000, {"turns": 3}, {"turn healthy": Measured({4: 2}, 0.5)}),
    Settled(closed=True, sums={"sent": 3}),
    Closed((3, 3), (9, 10), (2, 2)),
]


@pytest.mark.parametrize("line", LINES, ids=lambda line: type(line).__name__)
def test_a_line_comes_back_as_it_was_and_is_one_line(line: AnyLine) -> None:
    """Whatever it tells."""
    encoded = encode_line(line)
    assert encoded.count(b"\n") == 1
    assert decode_line(encoded.strip()) == line


def test_what_is_no_line_is_an_error() -> None:
    """A process that says something else is not believed."""
    for bad in (b"", b"hello", b'["s"]', b'["other", 1]'):
        with pytest.raises(msgspec.MsgspecError):
            decode_line(bad)


def test_a_job_carries_the_whole_load() -> None:
    """Over a pipe, to the last option."""
    load = Load(seed=7, **ALL_FAULTS)  # type: ignore[arg-type]  # each by its name
    job = msgspec.json.decode(msgspec.json.encode(job_of(load, "x.db", 2, 1.5)), type=Job)
    assert job.load_of() == load
    assert attrs.asdict(load) == job.load
    assert (job.store, job.life, job.seconds) == ("x.db", 2, 1.5)
