"""A session given another id while it does whatever it does: one entry, and then everybody knows it under that id.

The running turn, the queue, the prompts, the mailbox, the subscribers and who waits belong to the session's ref, which
stays what it is; only the names by which it is found change, in the step in which the entry is known to be on disk.
"""

from collections.abc import Callable

import trio

from actors.core.events import Event
from actors.core.ids import DropReason
from actors.ports import Conflict, Rename
from actors.runtime.committer import Result
from actors.runtime.control import MigrateTo
from actors.runtime.group import Group
from actors.runtime.ref import Ref
from actors.runtime.refusals import refused
from actors.runtime.services import Services

Written = Callable[[Group, tuple[Event, ...], Result], None]


def migrate(ref: Ref, services: Services, signal: MigrateTo, written: Written) -> None:
    """Have the session given its new id; to be called in its own task, while it writes nothing else.

    ``written`` hears what became of it. If the journal says that the id is taken, only whoever asked hears it: the
    session goes on under its old id.
    """
    assert ref.state is not None, "a session has recovered before it takes anything from the control lane"
    seq, new_id, reply = ref.state.seq, signal.command.new_id, signal.reply
    group = Group(ref.state)
    refusal = group.add(signal.command, services.policy, services.clock.wall_s())
    if refusal is not None or not group.bodies:
        reply.set(refusal)
        return
    group.answers.append((reply, None))
    at_s = services.clock.wall_s()
    events = tuple(Event(new_id, seq + n, services.epoch, at_s, body) for n, body in enumerate(group.bodies, 1))
    task = trio.lowlevel.current_task()

    def done(result: Result) -> None:
        if isinstance(result, Conflict) and result.seq == seq:
            ref.writing = False
            reply.fail(refused(DropReason.CONFLICT, chat_id=ref.chat_id))
            ref.mailbox.wake()
            return
        written(group, events, result)
        task.name = ref.chat_id

    ref.writing = True
    services.committer.submit(Rename(ref.chat_id, new_id, seq, events), group.size_bytes, done)
