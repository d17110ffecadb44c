"""Event bodies as hypothesis draws them: every kind, every field, whether or not such a thing could happen."""

from typing import get_args

from hypothesis import strategies as st

from actors.core.events import EventBody, MessageAccepted

KINDS: tuple[type[EventBody], ...] = get_args(EventBody)
"""The classes of the closed union."""

_SECONDS = st.none() | st.floats(allow_nan=False, allow_infinity=False)  # JSON has neither


def bodies_of(kind: type[EventBody]) -> st.SearchStrategy[EventBody]:
    """Draw bodies of one kind."""
    return st.builds(kind, deadline_s=_SECONDS) if kind is MessageAccepted else st.from_type(kind)


BODIES: st.SearchStrategy[EventBody] = st.one_of(*(bodies_of(kind) for kind in KINDS))
"""Bodies of every kind."""
