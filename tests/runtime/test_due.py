"""What waits for its moment holds its item no longer than the item wants to be held."""

import weakref

from actors.runtime.due import Due


class Item:
    """Something that can be looked at after it is gone."""


def test_an_item_that_is_let_go_of_is_gone_at_once_and_not_called() -> None:
    """Though its place in the order is still there, nothing keeps it in memory."""
    item = Item()
    seen = weakref.ref(item)
    due = Due(1.0, item, lambda _: None)
    del item
    assert due.item is seen() is not None
    due.let_go()
    assert [due.item, seen()] == [None, None]
