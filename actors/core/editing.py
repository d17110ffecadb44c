"""An edit from a message: the history is cut there, what came of it is cancelled, and the new text is sent once.

All of it is one decision and so one commit. The turn that runs at this moment, if it stands behind the cut, is being
cancelled from then on and leaves the transcript when its agent does, whatever that still makes of it.
"""

from actors.core.commands import Edit
from actors.core.decision import Decision, Policy, begin, refuse_spent
from actors.core.effects import Effect, Refusal, StopTurn
from actors.core.events import EventBody, HistoryTruncated, PromptClosed, TurnEnded, TurnSuperseded
from actors.core.ids import DropReason
from actors.core.lifecycle import TurnStatus
from actors.core.overlap import accepted, refuse_full
from actors.core.state import ROLLED_BACK, SessionState, fold


def decide_edit(state: SessionState, command: Edit, policy: Policy, now_s: float) -> Decision | Refusal:
    """Cut the history before a turn, and give the new message a turn of its own behind what is left."""
    message = command.message
    if message.deadline_s is not None and message.deadline_s <= now_s:
        return Refusal(DropReason.EXPIRED, "its deadline had passed before it was accepted")
    if state.standing.closed:
        return Refusal(DropReason.PARENT_ENDED, "the turn that spawned this session has ended")
    if not 0 < command.turn <= state.turns:
        return Refusal(DropReason.INVALID_PAYLOAD, f"there is no turn {command.turn}")
    is_open = any(item.turn == command.turn for item in state.open_turns)
    gone = {*command.turns, *(item.turn for item in state.queue if item.place >= command.place)}
    bodies: list[EventBody] = [
        PromptClosed(prompt.turn, prompt.prompt) for prompt in state.standing.prompts if prompt.turn in gone
    ]
    bodies += [
        TurnEnded(item.turn, item.ended_attempt, TurnStatus.CANCELLED, ROLLED_BACK, hidden=True)
        for item in state.queue
        if item.place >= command.place
    ]
    effects: tuple[Effect, ...] = ()
    running = state.running
    if running is not None and running.queued.place >= command.place and running.ending != ROLLED_BACK:
        bodies.append(TurnSuperseded(running.turn, running.attempt, hidden=True))
        effects = (StopTurn(running.turn, ROLLED_BACK),)
    # No open turn has saved anything yet, so before each of them the state is what it is now.
    saved = state.saved if is_open else command.state
    bodies.append(HistoryTruncated(command.turn, command.place, state.turns, saved))
    cut = fold(state, tuple(bodies))
    refusal = refuse_full(cut, policy) or refuse_spent(state, policy)
    if refusal is not None:
        return refusal
    bodies.append(accepted(message, state.turns + 1))
    begun, starts = begin(fold(cut, (bodies[-1],)), now_s)
    return Decision((*bodies, *begun), (*effects, *starts))
