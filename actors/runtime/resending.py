"""Dead letters sent again, as anything is sent: validated, admitted or refused anew, and counted as newly sent."""

import attrs

from actors.core.dead_letter import DeadLetter
from actors.core.envelope import Origin
from actors.core.ids import DropReason
from actors.errors import RefusedError
from actors.runtime.ref import Accepted, Ref
from actors.runtime.refusals import refused
from actors.runtime.router import Router
from actors.runtime.services import Services


@attrs.frozen
class Resending:
    """Sends dead letters again; one that is taken is a dead letter no more."""

    _services: Services
    _router: Router
    _going: set[int] = attrs.field(factory=set, init=False)
    """Letters that are on their way: somebody else who asks for one is too late, or it would arrive twice."""

    async def one(self, number: int) -> tuple[Ref, Accepted] | None:
        """Send a letter again, by its number; return the session and the receipt if it is one of ``send``.

        A question of ``ask`` is told, since nobody waits for the answer any more. Raises RefusedError if there is no
        such letter, if its payload was not kept, or with the reason why it is refused again.
        """
        letter = await self._find(number)
        accepted = await self._send(letter)
        self._services.accounts.dead_letters.discard([number])
        return accepted

    async def many(self, chat_id: str | None, reason: str | None) -> tuple[int, ...]:
        """Send every letter in memory again that is of this address and reason; return the numbers that were taken.

        One that is refused again is a new dead letter beside the old one.
        """
        taken: list[int] = []
        try:
            for letter in self._services.accounts.dead_letters.select(chat_id, reason):
                if not letter.whole:
                    continue
                try:
                    await self._send(letter)
                except RefusedError:
                    continue
                taken.append(letter.number)
        finally:  # or what was taken would be sent once more by whoever goes on with the rest
            self._services.accounts.dead_letters.discard(taken)
        return tuple(taken)

    async def _send(self, letter: DeadLetter) -> tuple[Ref, Accepted] | None:
        """Send a letter again through the door it came to, unless somebody else is at it."""
        if letter.number in self._going:
            raise refused(DropReason.NOT_RUNNING, f"dead letter {letter.number} is being sent", letter.chat_id)
        self._going.add(letter.number)
        try:
            return await self._deliver(letter)
        finally:
            self._going.discard(letter.number)

    async def _deliver(self, letter: DeadLetter) -> tuple[Ref, Accepted] | None:
        """Give a letter to the router."""
        if not letter.whole:
            detail = f"the payload of dead letter {letter.number} was not kept"
            raise refused(DropReason.INVALID_PAYLOAD, detail, letter.chat_id, "send the message itself")
        if letter.kind == "accept":
            key = letter.message_id or None
            return await self._router.accept(letter.chat_id, letter.payload, message_id=key, sender=letter.sender)
        origin = Origin(letter.sender, message_id=letter.message_id) if letter.sender or letter.message_id else None
        await self._router.tell(letter.chat_id, letter.payload, origin=origin, kind=letter.message_kind, key=letter.key)
        return None

    async def _find(self, number: int) -> DeadLetter:
        """Find a letter, in memory or on disk."""
        letters = self._services.accounts.dead_letters
        found = [letter for letter in letters if letter.number == number]
        if not found and letters.storing and type(number) is int:
            found = list(await self._services.journal.dead_letters(None, number - 1, 1))
        if not found or found[0].number != number:
            message = f"there is no dead letter {number!r:.40}"
            raise refused(DropReason.NOT_RUNNING, message, hint="give a number that dead_letters() shows")
        return found[0]
