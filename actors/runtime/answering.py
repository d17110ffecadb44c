"""A person's answer on its way to the question: checked, handed to the session, and told why if it is refused."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from actors.core.commands import Answer
from actors.core.effects import Refusal
from actors.core.envelope import check_text
from actors.core.ids import ChatId, DropReason, parse_prompt_id
from actors.core.lifecycle import PromptStatus
from actors.errors import RefusedError
from actors.runtime.control import AnswerPrompt
from actors.runtime.mailbox import Reply
from actors.runtime.refusals import refused
from actors.runtime.router import Router
from actors.runtime.services import Services

_ENDED: Final[Mapping[PromptStatus, DropReason]] = MappingProxyType(
    {
        PromptStatus.ANSWERED: DropReason.PROMPT_ANSWERED,
        PromptStatus.EXPIRED: DropReason.PROMPT_EXPIRED,
        PromptStatus.CLOSED: DropReason.PROMPT_CLOSED,
    }
)
"""Why a question that is not open takes no answer."""


async def answer_prompt(
    router: Router,
    services: Services,
    resolve: Callable[[ChatId], ChatId],
    chat_id: ChatId,
    prompt_id: object,
    answer: object,
) -> None:
    """Have a question of a session answered, durably; ``resolve`` gives the id that a session has now.

    Raises RefusedError with the reason if the answer does not count; whatever it is, the question stays as it was.
    StoreError says that the outcome is unknown.
    """
    named = parse_prompt_id(prompt_id)
    if isinstance(named, DropReason):
        detail = "the prompt_id names no prompt" if isinstance(prompt_id, str) else "the prompt_id is not a str"
        raise _refuse(services, chat_id, named, detail, "give the prompt_id of the event or the snapshot")
    if resolve(named.chat_id) != chat_id:
        raise _refuse(services, chat_id, DropReason.PROMPT_CROSSED)
    size = check_text(answer, services.limits.message_bytes_max, field="answer")
    if not isinstance(size, int) or not isinstance(answer, str):
        assert not isinstance(size, int), "text has a size"
        raise _refuse(services, chat_id, size.reason, f"{size.field} is {size.found}", size.remedy)
    ref = router.reach(chat_id)
    reply = Reply()
    ref.mailbox.post_control(reply, AnswerPrompt(Answer(named.turn, named.prompt, answer), reply))
    refusal = await reply.wait()
    if not isinstance(refusal, Refusal):
        return
    reason, detail = refusal.reason, refusal.detail
    if reason is DropReason.PROMPT_UNKNOWN:
        status = await services.journal.find_prompt(ref.chat_id, named.turn, named.prompt)
        reason, detail = DropReason.PROMPT_UNKNOWN if status is None else _ENDED[status], ""
    raise _refuse(services, chat_id, reason, detail)


def _refuse(services: Services, chat_id: ChatId, reason: DropReason, detail: str = "", hint: str = "") -> RefusedError:
    """Account for an answer that does not count, and build its error."""
    services.accounts.drop(chat_id, reason, "answer")
    return refused(reason, detail, chat_id, hint)
