"""Sessions in which something falls due: each is brought up for it when its moment comes, and not before."""

from collections.abc import Iterable
from functools import partial
from typing import Final, NoReturn, get_args

import attrs

from actors.core.commands import DropReminder, ResetBudget, SetReminder
from actors.core.effects import Refusal
from actors.core.envelope import check_text
from actors.core.events import Missed
from actors.core.ids import ChatId, DropReason, parse_message_id
from actors.core.lifecycle import SessionPhase
from actors.core.limits import Limits
from actors.errors import RefusedError
from actors.ports import Appointment
from actors.runtime.control import Due, Order
from actors.runtime.mailbox import Reply
from actors.runtime.ref import Ref
from actors.runtime.refusals import refused
from actors.runtime.registry import Registry
from actors.runtime.router import Router
from actors.runtime.services import Services

_SECONDS_MAX: Final = 1e11
"""Beyond it a number of seconds names no moment that a calendar has."""


@attrs.frozen
class Appointments:
    """Wakes sessions at their moments, whether or not they are in memory."""

    _services: Services
    _registry: Registry
    _router: Router

    def expect(self, appointments: Iterable[Appointment]) -> None:
        """Wait for the moments that an earlier life left; those that have passed come at once."""
        for appointment in appointments:
            self._at(appointment.chat_id, appointment.due_s)

    def fall_due(self, chat_id: ChatId) -> None:
        """Have a session look what is due in it, bringing it up if need be.

        One that is quarantined, or about to end, is asked again a little later. So is every session: should its life
        end before it has looked, nothing is forgotten.
        """
        services, registry = self._services, self._registry
        chat_id = registry.resolve(chat_id)
        if services.stopping or chat_id in registry.deleted or chat_id not in registry.known:
            return
        self._at(chat_id, services.clock.wall_s() + services.limits.expiry_look_s)
        ref = registry.get(chat_id)
        if ref is not None and (ref.phase is SessionPhase.STOPPING or self._is_kept_out(ref)):
            return
        try:
            self._router.reach(chat_id).mailbox.post_control(Due, Due())
        except RefusedError:
            return  # accounted for; it is asked again

    def _is_kept_out(self, ref: Ref) -> bool:
        """Say whether a session is in a quarantine that is not over."""
        return ref.phase is SessionPhase.QUARANTINED and self._services.clock.now_s() < ref.quarantined_until_s

    def _at(self, chat_id: ChatId, due_s: float) -> None:
        """Wait for a moment of a session."""
        self._services.expiries.at(chat_id, due_s, partial(self.fall_due, chat_id))


async def order(router: Router, chat_id: object, command: SetReminder | DropReminder | ResetBudget) -> Refusal | None:
    """Have a session decide a command and write what comes of it; return why it does not.

    Raises RefusedError for an address that leads to no session that takes anything, StoreError if it cannot be written.
    """
    ref = router.reach(chat_id)
    reply = Reply()
    ref.mailbox.post_control(reply, Order(command, reply))
    refusal = await reply.wait()
    assert refusal is None or isinstance(refusal, Refusal), "an order is refused, or it is on disk"
    return refusal


def reminder_of(  # noqa: PLR0913 - what a reminder is made of
    chat_id: object,
    key: object,
    text: object,
    limits: Limits,
    *,
    at_s: float | None,
    every_s: float | None,
    missed: Missed,
) -> SetReminder:
    """Check what a reminder is to be made of. Raises InvalidEnvelopeError with the field and the remedy."""

    def refuse(detail: str, hint: str) -> NoReturn:
        raise refused(DropReason.INVALID_PAYLOAD, detail, chat_id, hint)

    parsed = parse_message_id(key)
    if isinstance(parsed, DropReason):
        refuse(f"key is {type(key).__name__}", "give 1 to 128 characters of [A-Za-z0-9_.:-] as key")
    size = check_text(text, limits.message_bytes_max)
    if not isinstance(size, int):
        refuse(f"{size.field} is {size.found}", size.remedy)
    assert isinstance(text, str), "the check above refuses anything else"
    if at_s is None and every_s is None:
        refuse("neither at_s nor every_s is given", "give the moment, the period, or both")
    if at_s is not None and not _is_seconds(at_s):
        refuse(f"at_s is {at_s!r:.40} of type {type(at_s).__name__}", "give seconds since 1970")
    shortest_s = limits.reminder_period_s
    if every_s is not None and not (_is_seconds(every_s) and every_s >= shortest_s):
        found = f"every_s is {every_s!r:.40} of type {type(every_s).__name__}"
        refuse(found, f"give seconds from {shortest_s}, the limit reminder_period_s")
    if missed not in get_args(Missed):
        refuse(f"missed is {missed!r:.40}", f"give one of {', '.join(get_args(Missed))}")
    return SetReminder(
        parsed, text, None if at_s is None else float(at_s), None if every_s is None else float(every_s), missed
    )


def _is_seconds(value: object) -> bool:
    """Say whether a value is a number of seconds that a clock can come to."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _SECONDS_MAX
