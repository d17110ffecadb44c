"""Event bodies as hypothesis draws them: every kind, every field, whether or not such a thing could happen."""

from typing import get_args

from hypothesis import strategies as st

from actors.core.events import EventBody, MessageAccepted, PromptOpened, ReminderFired, ReminderSet, ReminderSkipped

KINDS: tuple[type[EventBody], ...] = get_args(EventBody)
"""The classes of the closed union."""

_SECONDS = st.floats(allow_nan=False, allow_infinity=False)  # JSON has neither
_FIELDS: dict[type[EventBody], tuple[str, ...]] = {
    MessageAccepted: ("deadline_s",),
    PromptOpened: ("expires_at_s",),
    ReminderSet: ("first_s", "every_s"),
    ReminderFired: ("due_s", "next_s"),
    ReminderSkipped: ("next_s",),
}
"""The fields that hold seconds."""
_ALWAYS = {"first_s", "due_s"}


def bodies_of(kind: type[EventBody]) -> st.SearchStrategy[EventBody]:
    """Draw bodies of one kind."""
    seconds = {name: _SECONDS if name in _ALWAYS else st.none() | _SECONDS for name in _FIELDS.get(kind, ())}
    return st.builds(kind, **seconds) if seconds else st.from_type(kind)


BODIES: st.SearchStrategy[EventBody] = st.one_of(*(bodies_of(kind) for kind in KINDS))
"""Bodies of every kind."""
