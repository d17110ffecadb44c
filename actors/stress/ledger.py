"""What every sender was told, kept outside the process that may be killed, and held against what the store has.

A message is known by its session and its number. Its sender is told that it was taken, or that it was refused and why;
when neither was heard before a kill, or the sender gave up, the message is in doubt until it is sent again under the
same key. A refusal of a message that was in doubt leaves it to the store to say what became of it.
"""

from collections import Counter
from collections.abc import Mapping

import attrs

from actors.stress.records import AnyLine, Buried, Dooms, Refused, Sent, Took

EXAMPLES_MAX = 5
"""So many cases of one kind are named; the rest is a number."""


@attrs.define
class _Session:
    """What the senders of one session were told."""

    sent: set[int] = attrs.Factory(set)
    taken: set[int] = attrs.Factory(set)
    refused: dict[int, str] = attrs.Factory(dict)
    doubtful: set[int] = attrs.Factory(set)


@attrs.frozen
class Stored:
    """What a store has of one session: the numbers of messages whose turns have ended, and of those that are open."""

    ended: frozenset[int]
    open: frozenset[int] = frozenset()


@attrs.frozen
class Sums:
    """What became of everything that was sent; ``sent`` is the sum of the others.

    ``erased`` were taken by a session that was deleted afterwards. ``unknown``, ``lost`` (taken, and not in the store)
    and ``uncalled`` (in the store though refused or never sent) are nought if all is well; ``examples`` names some.
    """

    sent: int
    executed: int
    queued: int
    erased: int
    refused: dict[str, int]
    unknown: int
    lost: int
    uncalled: int
    examples: tuple[str, ...] = ()

    @property
    def closed(self) -> bool:
        """Whether everything that was sent has its place, and nothing else has one."""
        known = self.executed + self.queued + self.erased + sum(self.refused.values())
        return self.sent == known and not (self.unknown or self.lost or self.uncalled)


class Ledger:
    """What was sent, and what its senders heard."""

    def __init__(self) -> None:
        """Start with nothing sent."""
        self._sessions: dict[str, _Session] = {}
        self._doomed: set[str] = set()
        self.buried: set[str] = set()

    def add(self, line: AnyLine) -> None:
        """Take a line of a life, in the order in which it was told."""
        match line:
            case Sent(chat_id=chat_id, number=number):
                session = self._sessions.setdefault(chat_id, _Session())
                if number in session.sent and number not in session.taken:
                    session.doubtful.add(number)
                session.sent.add(number)
            case Took(chat_id=chat_id, number=number):
                session = self._sessions[chat_id]
                session.taken.add(number)
                session.refused.pop(number, None)
                session.doubtful.discard(number)
            case Refused(chat_id=chat_id, number=number, reason=reason):
                self._sessions[chat_id].refused[number] = reason
            case Dooms(chat_id=chat_id):
                self._doomed.add(chat_id)
            case Buried(chat_id=chat_id):
                self._doomed.discard(chat_id)
                self.buried.add(chat_id)
            case _:
                pass

    def following(self) -> dict[str, int]:
        """Say which number the next message of each session has."""
        return {chat_id: max(session.sent) + 1 for chat_id, session in self._sessions.items() if session.sent}

    def unsettled(self) -> dict[str, tuple[int, ...]]:
        """Say which messages have to be sent again, since nobody heard what became of them."""
        found = {
            chat_id: tuple(sorted(session.sent - session.taken - session.refused.keys()))
            for chat_id, session in self._sessions.items()
        }
        return {chat_id: numbers for chat_id, numbers in found.items() if numbers}

    def doomed(self) -> tuple[str, ...]:
        """Say which sessions somebody had begun to delete."""
        return tuple(sorted(self._doomed))

    def taken_by(self, chat_id: str) -> frozenset[int]:
        """Say which messages a session took, as far as their senders heard."""
        session = self._sessions.get(chat_id)
        return frozenset() if session is None else frozenset(session.taken)

    def sums(self, store: Mapping[str, Stored]) -> Sums:
        """Hold what senders heard against what a store has."""
        places: Counter[str] = Counter()
        refused: Counter[str] = Counter()
        examples: list[str] = []
        for chat_id, session in self._sessions.items():
            stored = store.get(chat_id, Stored(frozenset()))
            erased = chat_id in self.buried and chat_id not in store
            for number in session.sent:
                place = _place(session, number, stored, erased=erased)
                if place == "refused":
                    refused[session.refused[number]] += 1
                else:
                    places[place] += 1
                if place in {"lost", "unknown", "uncalled"}:
                    examples.append(f"{chat_id} message {number} is {place}")
        for chat_id, stored in store.items():
            known = self._sessions.get(chat_id, _Session()).sent
            never_sent = (stored.ended | stored.open) - known
            places["uncalled"] += len(never_sent)
            examples += [f"{chat_id} has message {number}, which nobody sent" for number in sorted(never_sent)]
        return Sums(
            sent=sum(len(session.sent) for session in self._sessions.values()),
            executed=places["executed"],
            queued=places["queued"],
            erased=places["erased"],
            refused=dict(sorted(refused.items())),
            unknown=places["unknown"],
            lost=places["lost"],
            uncalled=places["uncalled"],
            examples=tuple(sorted(examples)[:EXAMPLES_MAX]),
        )


def _place(session: _Session, number: int, stored: Stored, *, erased: bool) -> str:
    """Say what became of one message."""
    refused = number in session.refused
    if refused and number not in session.doubtful:
        return "uncalled" if number in stored.ended | stored.open else "refused"
    if number in stored.ended:
        return "executed"
    if number in stored.open:
        return "queued"
    if refused:  # it was in doubt, and the store says that it was never taken
        return "refused"
    if erased:
        return "erased"
    return "lost" if number in session.taken else "unknown"
