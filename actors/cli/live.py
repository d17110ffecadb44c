"""What ``actors inspect`` shows of a runtime that lets itself be looked at: its tree, or one session as it lives."""

import signal
import sys
from pathlib import Path
from typing import Any, Final, Literal

import msgspec
import trio
from rich.console import Console
from rich.table import Table

from actors.cli.table import plain_console
from actors.errors import ActorsError, StoreUnavailableError
from actors.observer.client import Client, look
from actors.observer.wire import Answer, Item, Request

TEXT_SHOWN_MAX: Final = 200
_SHOWN: Final = ("turn", "attempt", "message", "part", "call", "name", "status", "reason", "error")

Record = dict[str, Any]


async def live_facts(store: Path, chat_id: str | None) -> Record | None:
    """Ask the owner of a store for its tree, or for one session; None if nobody lets itself be looked at.

    Raises StoreUnavailableError if the owner does not answer.
    """
    client = await look(store)
    if client is None:
        return None
    async with client:
        if chat_id is None:
            return _value(await client.ask(Request(verb="tree")))
        shown = _value(await client.ask(Request(verb="inspect", chat_id=chat_id)))
        recent = await client.ask(Request(verb="recent", chat_id=chat_id, count_max=20))
        return None if shown is None else shown | {"recent": msgspec.json.decode(recent.value)}


async def follow(store: Path, chat_id: str, *, verb: Literal["follow", "trace"], as_json: bool) -> int:
    """Show what a session does as it does it, until an interrupt, or until it or its runtime has ended; return 0.

    Raises StoreUnavailableError if nobody lets itself be looked at, ActorsError for what the owner refuses.
    """
    client = await look(store)
    if client is None:
        message = "no running process lets this store be looked into"
        raise StoreUnavailableError(message, hint="start it, and open its runtime with observe=True")
    async with client:
        with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            answer = await client.ask(Request(verb=verb, chat_id=chat_id))
            if not answer.ok:
                raise ActorsError(answer.error.removesuffix(f"; {answer.hint}"), hint=answer.hint)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_until_signal, signals, nursery.cancel_scope)
                await _show_items(client, answer, as_json=as_json)
                nursery.cancel_scope.cancel()
    return 0


def print_tree(tree: Record, console: Console) -> None:
    """Print the supervision tree."""
    services = ", ".join(
        f"{one['name']}{'' if one['running'] else ' (ended)'}" for one in sorted(tree["services"], key=_name)
    )
    state = " degraded: it cannot be written" * tree["degraded"] + " stopping" * tree["stopping"]
    console.print(f"running in epoch {tree['epoch']}{state or ''}; services: {services}", soft_wrap=True)
    table = Table(title=f"{tree['sessions_total']} sessions in memory of {tree['sessions_known']}")
    table.add_column("session", overflow="fold")
    for name in ("phase", "status"):
        table.add_column(name, no_wrap=True)
    for name in ("turn for", "mailbox", "oldest", "viewers", "restarts", "idle for"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("waits at", overflow="fold")
    for one in tree["sessions"]:
        numbers = (str(one["mailbox_messages"]), seconds(one["oldest_message_age_s"]), str(one["subscribers"]))
        restarts = f"{one['restarts']} {one['last_error']}".strip()
        ages = seconds(one["turn_age_s"]), seconds(one["idle_s"])
        where = one["waits_at"]
        table.add_row(one["chat_id"], one["phase"], one["status"], ages[0], *numbers, restarts, ages[1], where)
    console.print(table)
    for alarm in tree["alarms"]:
        line = f"alarm: {alarm['kind']} {alarm['value']:g} of {alarm['limit']:g} {alarm['chat_id']} {alarm['place']}"
        console.print(line.rstrip(), soft_wrap=True)
    if tree["stalls"]:
        longest = f"the longest {seconds(tree['stall_longest_s'])}, the latest in {tree['stall_last']}"
        console.print(f"the loop was held for too long {tree['stalls']} times: {longest}", soft_wrap=True)
    for one in tree["stopped"]:
        line = f"{one['chat_id']} left memory {seconds(one['ago_s'])} ago as {one['phase']} {one['last_error']}"
        console.print(line.rstrip(), soft_wrap=True)


def print_session(shown: Record, console: Console) -> None:
    """Print what a session does now, and its last steps."""
    apart = {"chat_id", "recent"}
    table = Table(title="now", title_justify="left", show_header=False)
    table.add_column("")
    table.add_column("", overflow="fold")
    for name, value in shown.items():
        if name not in apart and value not in (None, ""):
            table.add_row(
                name.removesuffix("_s").replace("_", " "), seconds(value) if name.endswith("_s") else str(value)
            )
    console.print(table)
    steps = Table("step", "what", "turn", "event", title=f"last {len(shown['recent'])} steps")
    for record in shown["recent"]:
        steps.add_row(record["kind"], record["what"], str(record["turn"] or ""), str(record["seq"] or ""))
    console.print(steps)


def seconds(value: float | None) -> str:
    """Show an age."""
    return "" if value is None else f"{value:.1f} s"


def _name(service: Record) -> str:
    """Order services by their names."""
    return str(service["name"])


def _value(answer: Answer) -> Record | None:
    """Take the value of an answer; a session that the owner does not know is None."""
    found: Record | None = msgspec.json.decode(answer.value)
    return found if answer.ok else None


async def _until_signal(signals: Any, scope: trio.CancelScope) -> None:  # noqa: ANN401 - trio's own type has no name
    """End with the first signal."""
    async for _ in signals:
        scope.cancel()
        return


async def _show_items(client: Client, first: Answer, *, as_json: bool) -> None:
    """Print how the session stands, then each item as it comes."""
    if as_json:
        _print_line(b'{"item":"Inspection","value":' + bytes(first.value) + b"}")
    else:
        shown = msgspec.json.decode(first.value)
        _print_line(f"{shown['chat_id']} is {shown['phase']} and {shown['status']} at event {shown['seq']}".encode())
    while True:
        item = await client.item()
        if item is None or item.end:
            plain_console(sys.stderr).print(item.end if item else "the process has gone", soft_wrap=True)
            return
        _print_line(_as_json(item) if as_json else _as_text(item).encode("utf-8", "replace"))


def _as_json(item: Item) -> bytes:
    """Show an item for machines, as it came."""
    return msgspec.json.encode({"item": item.item, "value": item.value})


def _as_text(item: Item) -> str:
    """Show an item for people, in one line."""
    value: Record = msgspec.json.decode(item.value)
    match item.item:
        case "SessionReady":
            return f"snapshot at event {value['seq']}: {len(value['messages'])} messages, {value['status']}"
        case "Event":
            body: Record = value["body"]
            facts = " ".join(f"{name}={body[name]}" for name in _SHOWN if name in body)
            said = body.get("text") or body.get("content") or body.get("arguments") or body.get("question") or ""
            return f"{value['seq']:>6} {body['kind']} {facts} {_cut(said)}".rstrip()
        case "TextSignal":
            return f"     ~ turn={value['turn']} {_cut(value['text'])}"
        case "TraceRecord":
            turn = f" turn={value['turn']}" if value["turn"] else ""
            return f"{value['seq'] or '':>6} {value['kind']} {value['what']}{turn}"
        case _:
            return f"     ~ {item.item} " + " ".join(f"{name}={shown}" for name, shown in value.items())


def _cut(text: str) -> str:
    """Show a text in one line, and not all of a long one."""
    shown = ascii(text)[1:-1] if not text.isprintable() else text
    return shown if len(shown) <= TEXT_SHOWN_MAX else shown[: TEXT_SHOWN_MAX - 3] + "..."


def _print_line(line: bytes) -> None:
    """Print a line at once."""
    sys.stdout.buffer.write(line + b"\n")
    sys.stdout.buffer.flush()
