"""Every error that leaves the package, drawn as one tree.

    ActorsError
    ├── RefusedError              an envelope was not delivered; carries the reason
    │   ├── InvalidEnvelopeError  the id or the payload cannot be right
    │   ├── UnknownChatError      no session has this id, or it was deleted
    │   ├── ConflictError         an id belongs to another session
    │   ├── OverloadedError       a bound was reached; try again later
    │   └── UnavailableError      stopping, quarantined, fenced
    ├── AskError                  an ask ended without a reply; carries the outcome class
    │   ├── AskTimeoutError       the deadline passed
    │   ├── HandlerError          the session's handler raised
    │   └── DeadlockError         the callee already waits for the caller
    ├── TurnOverError             something was written to a turn that has ended
    ├── GuardError                a turn has broken a bound of its loop guards; carries which
    ├── PromptExpiredError        nobody answered a question in time, and it has no default
    ├── DriftError                code of one session spoke for another
    ├── SubscriptionError         a subscription cannot start or go on
    │   ├── CursorAheadError      the number to resume after does not exist yet
    │   └── LaggedError           the reader was too slow and was cut
    ├── StoreError                the store cannot do what was asked
    │   ├── StoreInUseError       another process owns the file
    │   ├── StoreFencedError      another process has taken the file over
    │   ├── StoreSchemaError      the file was written by a newer version, or by something else
    │   ├── StoreCorruptError     rows of the file contradict each other
    │   └── StoreUnavailableError the disk is full, read-only, locked or failing
    ├── ServiceLostError          a service of the runtime failed too often; the runtime has stopped
    ├── RecordingError            a recorded conversation cannot be read
    └── ConfigurationError        an option or a limit is out of its range

``Reject`` stands outside the tree: an agent raises it to say no, and nothing has failed.
"""

from typing import Literal

OutcomeClass = Literal["not_enqueued", "not_started", "unknown"]
"""What is known of a message that was not answered: never accepted, accepted but never run, or unknowable."""


class ActorsError(Exception):
    """The root of the tree; catch it to catch all of them.

    ``chat_id`` is the address as the caller gave it (any type, since a bad one is reported too), and ``hint``
    says what to do about it.
    """

    def __init__(self, message: str, *, chat_id: object = None, hint: str = "") -> None:
        """Build the text from its fields: what happened, in which chat, what to do."""
        where = "" if chat_id is None else f" [chat {_shown(chat_id)}]"
        super().__init__(f"{message}{where}{'; ' + hint if hint else ''}")
        self.chat_id = chat_id
        self.hint = hint


class RefusedError(ActorsError):
    """An envelope was refused: it was not enqueued and nothing was touched.

    ``reason`` is one of the closed set in ``actors.core.ids.DropReason``.
    """

    def __init__(self, reason: str, message: str, *, chat_id: object = None, hint: str = "") -> None:
        """Keep the reason beside the text."""
        super().__init__(f"refused as {reason}: {message}", chat_id=chat_id, hint=hint)
        self.reason = reason
        self.outcome: OutcomeClass = "not_enqueued"


class InvalidEnvelopeError(RefusedError):
    """The caller's fault: the id, a field or the payload can never be right."""


class UnknownChatError(RefusedError):
    """The caller's fault: no session has this id, or it was deleted. Create it first."""


class ConflictError(RefusedError):
    """Nobody's fault, or a race: the id that a session was to have belongs to another, or did. Nothing was changed."""


class OverloadedError(RefusedError):
    """Nobody's fault: a bound was reached. The same envelope may be accepted later."""


class UnavailableError(RefusedError):
    """The session or the runtime takes nothing now: stopping, quarantined, fenced."""


class AskError(ActorsError):
    """An ask ended without a reply; ``outcome`` says whether the handler can have run."""

    def __init__(self, message: str, *, outcome: OutcomeClass, chat_id: object = None, hint: str = "") -> None:
        """Keep the outcome class beside the text."""
        super().__init__(f"{message} (outcome: {outcome})", chat_id=chat_id, hint=hint)
        self.outcome = outcome


class AskTimeoutError(AskError):
    """The deadline of an ask passed; with outcome ``unknown`` the handler may still run to its end."""


class HandlerError(AskError):
    """The handler raised; the cause is attached, and the session was judged by its supervisor."""


class DeadlockError(AskError):
    """The caller's fault: the callee is already waiting, directly or not, for the caller."""


class TurnOverError(ActorsError):
    """The agent's fault: it used a turn after the turn had ended; the output went nowhere."""


class GuardError(ActorsError):
    """The agent's or the model's fault: a turn did too much of something, and may do no more.

    ``guard`` is the word with which its turn ends, whatever the agent does now.
    """

    def __init__(self, guard: str, message: str, *, chat_id: object = None, hint: str = "") -> None:
        """Keep the word beside the text."""
        super().__init__(message, chat_id=chat_id, hint=hint)
        self.guard = guard


class PromptExpiredError(ActorsError):
    """Nobody's fault: the time to answer a question is over, and it has no default. Catch it around ``turn.ask``."""


class DriftError(ActorsError):
    """The agent's fault: code of one session spoke for another, and was stopped; nothing was written or sent.

    It used a turn or a session that it was not given, or named another session as the sender.
    """


class SubscriptionError(ActorsError):
    """A subscription cannot start or go on."""


class CursorAheadError(SubscriptionError):
    """The caller's fault: it asked to resume after a number the session has not reached."""


class LaggedError(SubscriptionError):
    """The reader's fault: it was too slow. Resume with ``after=resume_after`` and nothing is missed."""

    def __init__(self, *, chat_id: str, resume_after: int) -> None:
        """Keep the number to resume after."""
        super().__init__(
            "the subscriber was too slow and was cut",
            chat_id=chat_id,
            hint=f"subscribe again with after={resume_after}",
        )
        self.resume_after = resume_after


class StoreError(ActorsError):
    """The store cannot do what was asked."""


class StoreInUseError(StoreError):
    """Another process owns the file; stop it, or open with ``takeover=True`` to fence it."""


class StoreFencedError(StoreError):
    """Another process has taken the file over; this runtime writes nothing more."""


class StoreSchemaError(StoreError):
    """The file was written by a newer version of the package, or is not one of ours."""


class StoreCorruptError(StoreError):
    """Rows of the file contradict each other; the named session is kept out, the others run."""


class StoreUnavailableError(StoreError):
    """The disk is full, read-only, locked or failing; what was acknowledged is safe."""


class ServiceLostError(ActorsError):
    """A bug of ours or a faulty adapter: a service of the runtime failed too often, and the runtime has stopped.

    What was acknowledged is on disk; the cause is attached.
    """


class RecordingError(ActorsError):
    """A recorded conversation cannot be read; the text names file, conversation, message and field."""


class ConfigurationError(ActorsError):
    """The host's fault: an option or a limit is out of its range."""


class Reject(Exception):  # noqa: N818 - not an error: an agent's way of saying no
    """Raised by an agent or handler to refuse a message: no failure, no restart, no change of state.

    The text is kept with the turn, so it must not hold what the host would not store.
    """


def _shown(chat_id: object) -> str:
    """Show an id of any type in at most 80 characters, with what could break a log line escaped."""
    try:
        shown = ascii(chat_id)
    except Exception:  # noqa: BLE001 - a value that cannot be shown is still a bad address
        shown = f"<{type(chat_id).__name__}>"
    return shown if len(shown) <= 80 else shown[:77] + "..."  # noqa: PLR2004 - the line above says it
