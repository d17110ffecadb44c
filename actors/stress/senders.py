"""Who sends: a task for each session, and those that send what is invalid, floods, watches, or makes sessions go.

Each knows what must be true of what it is told, and says so when it is not.
"""

import itertools
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, Final

import trio

from actors.core.events import Event
from actors.core.ids import ChatId
from actors.core.stream import Gap, SessionReady
from actors.errors import ActorsError, ConflictError, LaggedError, RefusedError, SubscriptionError
from actors.runtime.facade import Runtime
from actors.runtime.receipt import Receipt
from actors.stress.measures import Latencies
from actors.stress.plan import (
    Load,
    Role,
    answer_of,
    chance,
    draft_of,
    key_of,
    message_of,
)
from actors.stress.records import AnyLine, Buried, Dooms, Refused, Sent, Took, Wrong

PATIENCE_S: Final = 60.0
"""How long anybody waits for what must come."""
COPIES: Final = 3
"""How often a duplicate sender sends each message at once."""
FLOOD_BURST: Final = 200
FLOOD_EVERY_S: Final = 0.04
ASK_EVERY: Final = 5
REFUSED_PAUSE_S: Final = 0.25
INVALID_EVERY_S: Final = 0.02
DRAFT_EVERY: Final = 3
WATCH_ITEMS: Final = 40

Tell = Callable[[AnyLine], None]


class Senders:
    """Everybody who sends in one life."""

    def __init__(self, load: Load, runtime: Runtime, tell: Tell, *, sabotage: str = "") -> None:
        """Send to a runtime, and tell of it."""
        self._load = load
        self._runtime = runtime
        self._tell = tell
        self._sabotage = sabotage
        self._interval_s = load.sessions / load.rate
        self.over = trio.Event()
        """Set when nobody shall begin anything any more."""
        self.latencies: dict[str, Latencies] = {
            f"{what} {whose}": Latencies() for what in ("accept", "turn") for whose in ("healthy", "faulty")
        }
        self.counts: dict[str, int] = dict.fromkeys(
            (
                "turns",
                "receipts",
                "refusals",
                "flooded",
                "flood refused",
                "invalid",
                "asks",
                "items",
                "resumes",
                "migrations",
                "put away",
            ),
            0,
        )

    # ── one session ──────────────────────────────────────────────────────────────────────────────

    async def converse(self, chat_id: ChatId, role: Role, following: int, unsettled: tuple[int, ...]) -> None:
        """Send one message after another to a session, those first of which nobody knows what became."""
        await self._runtime.create(chat_id)
        for number in unsettled:
            await self._say(chat_id, role, number)
        await trio.sleep(self._interval_s * chance(self._load.seed, chat_id, following, "first"))
        numbers = itertools.count(following)
        while not self.over.is_set():
            number = next(numbers)
            if self._load.count and number > self._load.count:
                return
            began_s = trio.current_time()
            await self._say(chat_id, role, number)
            if role is Role.HEALTHY and number % ASK_EVERY == 0:
                await self._ask(chat_id, number)
            await self._pause(began_s + self._interval_s - trio.current_time())

    async def _say(self, chat_id: ChatId, role: Role, number: int) -> None:
        """Send one message, wait for its end, and judge what comes of it."""
        self._tell(Sent(chat_id, number))
        if self._sabotage == "lose" and number == 2:  # noqa: PLR2004 - one message of each session
            self._tell(Took(chat_id, number))
            return
        whose = "healthy" if role is Role.HEALTHY else "faulty"
        began_s = trio.current_time()
        try:
            receipt = await self._send(chat_id, role, number)
        except RefusedError as error:
            self._refused(chat_id, role, number, error)
            await self._pause(REFUSED_PAUSE_S)
            return
        self._tell(Took(chat_id, number))
        self.counts["receipts"] += 1
        self.latencies[f"accept {whose}"].add(trio.current_time() - began_s)
        try:
            await self._result(receipt, role, number)
        except RefusedError as error:  # the session ended first; the message is on disk all the same
            if role is Role.HEALTHY:
                self._tell(Wrong(f"{chat_id} message {number} has no result: {error}"))
        else:
            self.counts["turns"] += 1
            self.latencies[f"turn {whose}"].add(trio.current_time() - began_s)

    async def _send(self, chat_id: ChatId, role: Role, number: int) -> Receipt:
        """Send a message as its role does: once, thrice at once, or given up and sent again."""
        if role is Role.DUPLICATE:
            return await self._send_copies(chat_id, number)
        if role is Role.CANCELLING:
            with trio.move_on_after(0.01 * chance(self._load.seed, chat_id, number, "give up")):
                return await self._send_once(chat_id, number)
            self._tell(Sent(chat_id, number))  # given up: nobody knows until it is sent again
        return await self._send_once(chat_id, number)

    async def _send_once(self, chat_id: ChatId, number: int) -> Receipt:
        """Send a message under the key that it always has."""
        text = message_of(self._load, chat_id, number)
        return await self._runtime.send(chat_id, text, message_id=key_of(number))

    async def _send_copies(self, chat_id: ChatId, number: int) -> Receipt:
        """Send the same message several times at once; all of them must get the one receipt."""
        receipts: list[Receipt] = []
        refusals: list[RefusedError] = []

        async def send() -> None:
            try:
                receipts.append(await self._send_once(chat_id, number))
            except RefusedError as error:
                refusals.append(error)

        async with trio.open_nursery() as nursery:
            for _ in range(COPIES):
                nursery.start_soon(send)
        places = {(receipt.turn, receipt.seq) for receipt in receipts}
        if len(places) > 1:
            self._tell(Wrong(f"{chat_id} message {number} was taken {len(places)} times"))
        if not receipts:
            raise refusals[0]
        return receipts[0]

    async def _result(self, receipt: Receipt, role: Role, number: int) -> None:
        """Wait for the end of a turn as its role does, and judge it."""
        draw = chance(self._load.seed, receipt.chat_id, number, "patience")
        patience_s = PATIENCE_S
        if role is Role.HANGING:
            patience_s = 0.2 + draw
        elif role in {Role.CANCELLING, Role.SHIELDED}:
            patience_s = 0.05 * draw
        with trio.move_on_after(patience_s) as scope:
            result = await receipt.result()
            if role in {Role.HEALTHY, Role.DUPLICATE}:
                said = "".join(answer_of(self._load, receipt.chat_id, number))
                if not result.ok or result.text != said:
                    self._tell(Wrong(f"{receipt.chat_id} message {number} came to {result.status} {result.reason}"))
        if not scope.cancelled_caught:
            return
        if patience_s == PATIENCE_S:
            self._tell(Wrong(f"{receipt.chat_id} message {number} had no end in {PATIENCE_S:.0f} s"))
        await receipt.cancel()

    async def _ask(self, chat_id: ChatId, number: int) -> None:
        """Ask a healthy session something; it must answer with the same."""
        payload = f"ask {number}"
        try:
            if await self._runtime.ask(chat_id, payload, timeout_s=PATIENCE_S) != payload:
                self._tell(Wrong(f"{chat_id} answered an ask with something else"))
        except ActorsError as error:
            self._tell(Wrong(f"{chat_id} did not answer an ask: {error}"))
        self.counts["asks"] += 1

    def _refused(self, chat_id: ChatId, role: Role, number: int, error: RefusedError) -> None:
        """Note a refusal; a healthy session has none."""
        self.counts["refusals"] += 1
        self._tell(Refused(chat_id, number, str(error.reason)))
        if role is Role.HEALTHY:
            self._tell(Wrong(f"{chat_id} message {number} was refused: {error.reason}"))

    async def _pause(self, seconds: float) -> None:
        """Wait, or until the load is over."""
        with trio.move_on_after(max(seconds, 0.0)):
            await self.over.wait()

    # ── beside the sessions ──────────────────────────────────────────────────────────────────────

    async def flood(self, chat_id: ChatId) -> None:
        """Send far more to a session than it can handle; whatever is refused is refused for want of room."""
        await self._runtime.create(chat_id)
        while not self.over.is_set():
            for number in range(FLOOD_BURST):
                try:
                    self._runtime.tell_nowait(chat_id, f"flood {number}")
                except RefusedError as error:
                    self.counts["flood refused"] += 1
                    if error.reason not in {"mailbox_full", "memory_full", "quarantined", "stopping"}:
                        self._tell(Wrong(f"a flood of {chat_id} was refused: {error.reason}"))
                else:
                    self.counts["flooded"] += 1
            await self._pause(FLOOD_EVERY_S)

    async def offend(self, number: int) -> None:
        """Send what must be refused, of every kind in turn."""
        calls = invalid_calls(self._runtime)
        for turn in itertools.count(number):
            if self.over.is_set():
                return
            what, call = calls[turn % len(calls)]
            try:
                await call()
            except RefusedError:
                self.counts["invalid"] += 1
            else:
                self._tell(Wrong(f"{what} was not refused"))
            await self._pause(INVALID_EVERY_S)

    async def watch(self, chats: tuple[ChatId, ...], number: int) -> None:
        """Watch one session after another, leave, come back after the number last seen, and miss nothing."""
        seen: dict[ChatId, int] = {}
        for visit in itertools.count():
            if self.over.is_set():
                return
            chat_id = chats[int(chance(self._load.seed, "watch", number, visit % 3) * len(chats))]
            try:
                await self._visit(chat_id, seen, idle=number % 10 == 9)  # noqa: PLR2004 - one in ten never reads
            except LaggedError:
                self.counts["resumes"] += 1
            except SubscriptionError as error:
                self._tell(Wrong(f"a subscription to {chat_id} failed: {error}"))
            except RefusedError as error:
                if error.reason != "unknown_chat":  # it is not made yet
                    self._tell(Wrong(f"a subscription to {chat_id} was refused: {error.reason}"))
                await self._pause(REFUSED_PAUSE_S)

    async def _visit(self, chat_id: ChatId, seen: dict[ChatId, int], *, idle: bool) -> None:
        """Watch a session for a while."""
        self.counts["resumes"] += chat_id in seen
        items = 0
        with trio.move_on_after(2.0):
            async with self._runtime.subscribe(chat_id, after=seen.get(chat_id)) as stream:
                if idle:
                    await self._pause(1.5)
                async for item in stream:
                    items += 1
                    self._check(chat_id, seen, item)
                    if items > WATCH_ITEMS or self.over.is_set():
                        break
        self.counts["items"] += items

    def _check(self, chat_id: ChatId, seen: dict[ChatId, int], item: object) -> None:
        """Hold an item against those before it."""
        match item:
            case SessionReady():
                seen[chat_id] = item.seq
            case Event():
                if item.chat_id != chat_id or item.seq != seen.get(chat_id, 0) + 1:
                    found = f"{item.chat_id} {item.seq} after {seen.get(chat_id)}"
                    self._tell(Wrong(f"a subscription to {chat_id} was given {found}"))
                seen[chat_id] = item.seq
            case Gap():
                self._tell(Wrong(f"a subscription to {chat_id} has a gap after {item.after}"))
            case _:
                pass

    async def come_and_go(self, life: int, left: Mapping[str, tuple[int, ...]]) -> None:
        """Make sessions, use them and delete them; what comes late for one of them is refused.

        One in three begins as a draft, is written to, and gets its authoritative id while that turn runs. ``left`` are
        those that an earlier life was busy with, and their messages of which nobody knows what became.
        """
        for chat_id, numbers in left.items():
            await self._make(ChatId(chat_id))
            for number in numbers:
                await self._say(ChatId(chat_id), Role.CANCELLING, number)
            await self._delete(chat_id)
        for count in itertools.count():
            if self.over.is_set() or not self._load.churn:
                return
            began_s = trio.current_time()
            if count % DRAFT_EVERY == 0:
                await self._grow_up(ChatId(f"live:drafted.{life}.{count}"))
            else:
                chat_id = await self._runtime.create(f"live:churn.{life}.{count}")
                await self._say(chat_id, Role.DUPLICATE if count % 2 else Role.CANCELLING, 1)
                await self._delete(chat_id)
            await self._pause(began_s + 1 / self._load.churn - trio.current_time())

    async def _make(self, chat_id: ChatId) -> None:
        """Make a session that an earlier life may have made, migrated or deleted already."""
        with suppress(RefusedError, ConflictError):
            if chat_id.startswith("live:drafted."):
                await self._runtime.create(draft_of(chat_id))
                await self._runtime.migrate(draft_of(chat_id), chat_id)
            else:
                await self._runtime.create(chat_id)

    async def _grow_up(self, chat_id: ChatId) -> None:
        """Write to a draft, migrate it while it answers, and find everything under the new id."""
        draft = await self._runtime.create(draft_of(chat_id))
        self._tell(Sent(chat_id, 1))
        text = message_of(self._load, chat_id, 1)
        receipt = await self._runtime.send(draft, text, message_id=key_of(1))
        if await self._runtime.migrate(draft, chat_id) != chat_id:
            self._tell(Wrong(f"{draft} was migrated to something else"))
        self._tell(Took(chat_id, 1))
        result = await receipt.result()
        if not result.ok:
            self._tell(Wrong(f"{draft} message 1 came to {result.status} {result.reason}"))
        await self._say(chat_id, Role.DUPLICATE, 2)
        page = await self._runtime.history(draft)
        found = [message.message_id for message in page.messages if message.role == "user"]
        if found != [key_of(1), key_of(2)]:
            self._tell(Wrong(f"{chat_id} has {found} after its migration"))
        self.counts["migrations"] += 1
        await self._delete(chat_id)

    async def put_away(self, chats: tuple[ChatId, ...]) -> None:
        """Have one session after another leave memory; it comes up again with whatever is sent to it next."""
        for turn in itertools.count():
            if self.over.is_set():
                return
            chat_id = chats[int(chance(self._load.seed, "put away", turn) * len(chats))]
            try:
                self.counts["put away"] += await self._runtime.passivate(chat_id)
            except RefusedError as error:
                if error.reason != "unknown_chat":  # it is not made yet
                    self._tell(Wrong(f"{chat_id} could not be put away: {error.reason}"))
            await self._pause(1 / self._load.passivating)

    async def _delete(self, chat_id: str) -> None:
        """Delete a session, and see that it stays deleted."""
        self._tell(Dooms(chat_id))
        try:
            await self._runtime.delete(chat_id)
        except RefusedError as error:
            if error.reason != "deleted_chat":
                self._tell(Wrong(f"{chat_id} could not be deleted: {error.reason}"))
        self._tell(Buried(chat_id))
        try:
            await self._runtime.send(chat_id, "1 late")
        except RefusedError as error:
            if error.reason != "deleted_chat":
                self._tell(Wrong(f"a late message to {chat_id} was refused as {error.reason}"))
        else:
            self._tell(Wrong(f"{chat_id} took a message after it was deleted"))


def invalid_calls(runtime: Runtime) -> list[tuple[str, Callable[[], Awaitable[Any]]]]:
    """List calls that must be refused, each with a name."""
    addresses: list[object] = [
        None, "", " ", "\t", 0, [], b"live:a", "../x", "live:a/b", "live:" + "a" * 252, "live:a\0b", "live:nobody",
        "LIVE:stress.00000", "stress.00000", "live:stress.00000 ", True, 1.5, ("live:stress.00000",),
    ]  # fmt: skip
    texts: list[object] = [None, "", 7, b"bytes", "\ud800", "x" * (2 * 1024 * 1024), ["text"]]
    keys: list[object] = ["", "a/b", 7, "k" * 129, "a b"]
    chat_id = "live:stress.00000"
    send = runtime.send
    return [
        *((f"the address {address!r:.40}", partial(send, address, "1 hello")) for address in addresses),
        *((f"the text {text!r:.40}", partial(send, chat_id, text)) for text in texts),
        *((f"the key {key!r:.40}", partial(send, chat_id, "1 hello", message_id=key)) for key in keys),
        ("a deadline that is past", partial(send, chat_id, "1 hello", deadline_s=1.0)),
        ("a deadline that is none", partial(send, chat_id, "1 hello", deadline_s=float("nan"))),
        ("a payload that is none", partial(runtime.tell, chat_id, object())),
        ("an ask of nobody", partial(runtime.ask, "live:nobody", "hello")),
    ]
