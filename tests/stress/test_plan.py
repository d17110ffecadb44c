"""A load is drawn from its seed alone, and says what must come of every message."""

import itertools

import pytest

from actors.core.ids import ChatId, parse_chat_id
from actors.errors import ConfigurationError
from actors.stress.plan import (
    ALL_FAULTS,
    Load,
    Role,
    answer_of,
    calls_tool,
    chance,
    key_of,
    kill_moments,
    message_of,
    number_of,
    roles_of,
    shares_of,
    transcript_of,
)


def test_chance_depends_on_the_seed_and_the_names_alone() -> None:
    """In whatever order it is asked; evenly from 0 up to 1."""
    assert chance(1, "a", 2) == chance(1, "a", 2)
    assert len({chance(1, "a", 2), chance(2, "a", 2), chance(1, "b", 2), chance(1, "a", 3)}) == 4
    draws = [chance(0, number) for number in range(2000)]
    assert all(0.0 <= draw < 1.0 for draw in draws)
    assert sum(draws) / len(draws) == pytest.approx(0.5, abs=0.05)


def test_each_role_gets_its_share_and_the_rest_is_healthy() -> None:
    """At least one session where there is any share; the same ones for the same seed."""
    load = Load(sessions=100, crashing=0.1, hanging=0.001, duplicate=0.2)
    roles = roles_of(load)
    counts = {role: sum(given is role for given in roles.values()) for role in Role}
    assert counts == {
        **dict.fromkeys(Role, 0),
        Role.CRASHING: 10,
        Role.HANGING: 1,
        Role.DUPLICATE: 20,
        Role.HEALTHY: 69,
    }
    assert roles == roles_of(load)
    assert roles != roles_of(Load(sessions=100, crashing=0.1, hanging=0.001, duplicate=0.2, seed=1))
    assert all(parse_chat_id(chat_id) == chat_id for chat_id in roles)
    assert Role.HEALTHY in roles_of(Load(sessions=1, crashing=0.9)).values()


def test_every_fault_at_once_is_a_load() -> None:
    """With four of five sessions healthy."""
    load = Load(**ALL_FAULTS)  # type: ignore[arg-type]  # each by its name
    assert all(share > 0 for _, share in shares_of(load))
    assert sum(role is Role.HEALTHY for role in roles_of(load).values()) / load.sessions > 0.7


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"sessions": 0}, "--sessions is 0"),
        ({"rate": float("nan")}, "--rate is nan"),
        ({"message_bytes": 1}, "--message-bytes is 1"),
        ({"duration_s": -1.0}, "--duration is -1.0"),
        ({"crashing": 1.5}, "--crashing is 1.5"),
        ({"kills": -1}, "--kills is -1"),
        ({"crashing": 0.5, "hanging": 0.5}, "the shares of faulty sessions come to 1.00"),
    ],
)
def test_a_load_that_makes_no_sense_is_refused_by_its_option(options: dict[str, float], named: str) -> None:
    """With its name on the command line."""
    with pytest.raises(ConfigurationError, match=named):
        Load(**options)  # type: ignore[arg-type]  # numbers


@pytest.mark.parametrize("kills", [0, 1, 7])
def test_kills_are_spread_over_the_load(kills: int) -> None:
    """In their order, none at the very beginning or end."""
    moments = kill_moments(Load(duration_s=100.0, kills=kills))
    assert len(moments) == kills
    assert list(moments) == sorted(moments)
    assert all(10.0 <= moment <= 90.0 for moment in moments)
    assert all(later - earlier > 0.0 for earlier, later in itertools.pairwise(moments))


@pytest.mark.parametrize("size", [32, 200, 5000])
def test_a_message_has_its_number_and_its_size(size: int) -> None:
    """And no two are alike."""
    load = Load(message_bytes=size)
    texts = [message_of(load, chat_id, number) for chat_id in ("live:a", "live:b") for number in range(1, 50)]
    assert len(set(texts)) == len(texts)
    assert all(len(text.encode()) == size for text in texts)
    assert [number_of(text) for text in texts] == [*range(1, 50), *range(1, 50)]
    assert key_of(3) == "m3"


def test_the_transcript_of_a_turn_is_its_message_and_its_answer() -> None:
    """With a call and its result where a tool takes part."""
    load, chat_id = Load(), ChatId("live:a")
    for number in range(1, 30):
        parts = transcript_of(load, chat_id, number)
        assert parts[0] == ("user", "text", message_of(load, chat_id, number))
        said = [text for role, kind, text in parts if (role, kind) == ("assistant", "text")]
        assert "".join(said) == "".join(answer_of(load, chat_id, number))
        kinds = [kind for _, kind, _ in parts]
        assert ("tool_call" in kinds) == ("tool_result" in kinds) == calls_tool(number)
