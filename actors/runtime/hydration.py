"""What a session reads of the store: what is open when it begins, its history when somebody needs it."""

import trio

from actors.core.state import SessionState
from actors.core.transcript import Transcript
from actors.errors import StoreUnavailableError
from actors.runtime.ref import Ref
from actors.runtime.services import Services


async def load_state(ref: Ref, services: Services) -> SessionState | None:
    """Read what is open in a session, so many sessions at once; None if the journal has no such session.

    Nothing else is done when a session begins, so that it cannot be its own fault when this takes too long: raises
    StoreUnavailableError after ``init_s``, and what else the journal raises.
    """
    async with services.activations:
        with trio.move_on_after(services.limits.init_s):
            return await services.journal.load(ref.chat_id)
    message = f"the session was not read within {services.limits.init_s} s"
    raise StoreUnavailableError(message, chat_id=ref.chat_id, hint="see whether the disk answers; it is tried again")


async def load_history(ref: Ref, services: Services) -> None:
    """Read the history of a session, once; nothing is written meanwhile, since only its own task writes.

    Raises StoreError if it cannot be read.
    """
    journal, limits = services.journal, services.limits
    assert ref.state is not None, "a session has recovered before its history is asked for"
    if ref.transcript is not None:
        return
    page = await journal.messages(ref.chat_id, None, limits.history_messages_max)
    first_turn = page.before_turn or 0
    transcript = Transcript(page.messages, messages_max=limits.history_messages_max, first_turn=first_turn)
    open_turns = {queued.turn: queued.seq for queued in ref.state.open_turns}
    after = min(open_turns.values(), default=ref.seq + 1) - 1
    while after < ref.seq:
        events = await journal.events(ref.chat_id, after, limits.page_rows_max)
        for event in events:
            if event.seq <= ref.seq and getattr(event.body, "turn", 0) in open_turns:
                transcript.add(event)
        after = events[-1].seq if events else ref.seq
    ref.transcript = transcript
