"""What falls due in one session: the moment it waits for next, the ticks of reminders, the questions that expire."""

from functools import partial
from typing import Final

from actors.core.commands import Expire, Remind
from actors.core.effects import StartTurn
from actors.core.envelope import Origin
from actors.core.events import Event, MessageAccepted, ReminderFired, ReminderSkipped
from actors.core.reminding import due_message_ids
from actors.core.state import due_s_of
from actors.runtime.group import Group
from actors.runtime.hydration import load_history
from actors.runtime.ref import Ref
from actors.runtime.services import Services

TICKS_IN_GROUP_MAX: Final = 16
"""Ticks of one session fired in one transaction; so many messages are accepted in one, too."""


def arm(ref: Ref, services: Services) -> None:
    """Wait for the moment at which something falls due in a session first, or for none if nothing does."""
    due_s = None if ref.state is None else due_s_of(ref.state)
    if due_s is None:
        services.expiries.forget(ref.chat_id)
    else:
        services.expiries.at(ref.chat_id, due_s, partial(services.fall_due, ref.chat_id))


def reminders_changed(ref: Ref, services: Services, events: tuple[Event, ...]) -> None:
    """Count the ticks that are on disk now, and wait for the next one."""
    for event in events:
        body = event.body
        if isinstance(body, ReminderFired):
            services.accounts.counts.ticks += 1
        elif isinstance(body, ReminderSkipped):
            services.accounts.counts.ticks_skipped += body.count
            services.recorder.record(
                "info", "reminder.skipped", chat_id=ref.chat_id, epoch=event.epoch, seq=event.seq, count=body.count
            )
    arm(ref, services)


async def remind(ref: Ref, services: Services) -> Group:
    """Decide what the due ticks of a session come to, and its questions that expire; whoever asked has it written.

    A tick whose message is in the journal already is not sent a second time. What could not be accepted now is tried
    again a little later. Raises StoreError if the journal cannot be read.
    """
    assert ref.state is not None, "a session has recovered before it hears of anything"
    now_s = services.clock.wall_s()
    known = set()
    for message_id in due_message_ids(ref.state, services.limits, now_s, TICKS_IN_GROUP_MAX):
        if await services.journal.find(ref.chat_id, message_id) is not None:
            known.add(message_id)
    group = Group(ref.state)
    group.add(Remind(TICKS_IN_GROUP_MAX, frozenset(known)), services.policy, now_s)
    if any(type(effect) is StartTurn for effect in group.effects):
        await load_history(ref, services)  # before the start is on disk: a turn that cannot run is not begun
    reminders = ref.state.standing.reminders
    for prompt in ref.state.open_prompts:
        group.add(Expire(prompt.turn, prompt.prompt), services.policy, now_s)
    if group.bodies:
        group.size_bytes = sum(len(reminder.text) for reminder in reminders)
        for body in group.bodies:
            if isinstance(body, MessageAccepted):
                ref.note_origin(body.turn, Origin(body.sender, causation_id=body.message_id))
    else:
        arm(ref, services)
        due_s = due_s_of(ref.state)
        if due_s is not None and due_s <= now_s:
            later_s = now_s + services.limits.expiry_look_s
            services.expiries.at(ref.chat_id, later_s, partial(services.fall_due, ref.chat_id))
    return group
