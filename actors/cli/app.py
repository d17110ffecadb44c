"""The commands and their options; what they come to, or raise, as a line on standard error and an exit code.

Exit codes: 0 what was asked is true, 1 it is not, 2 it could not be asked, 128 and more the signal that ended it.
"""

import os
import sys
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Final

from cyclopts import App, Parameter

from actors.cli import chat, doctor, export, inspection, letters, live, run, stress
from actors.errors import ActorsError, ConfigurationError

EXIT_ERROR: Final = 2
EXIT_INTERRUPTED: Final = 128 + 2
EXIT_PIPE: Final = 128 + 13
"""As a program that the signal SIGPIPE ended."""

Store = Annotated[Path, Parameter(name="--store", help="The file of the store.")]
Json = Annotated[bool, Parameter(name="--json", negative="", help="Print JSON for machines.")]


def _version() -> str:
    """Name the version that is installed."""
    try:
        return version("chat-actors")
    except PackageNotFoundError:
        return "not installed"


app = App(
    name="actors",
    help="Durable, supervised chat sessions: host, look at, check.",
    version=_version,
    backend="trio",
    result_action="return_value",
)


_RUN_DEFAULTS: Final = run.RunOptions()


@app.command(name="run")
async def run_command(*file: Path, options: run.RunOptions = _RUN_DEFAULTS) -> int:
    """Host recorded conversations as live sessions, all at once, and compare what is stored with the recording.

    After a crash or a stop the same command with --resume goes on where it ended.

    Args:
        file: Recordings, also compressed; the sample that comes with the package if none is given.
        options: How they are hosted.
    """
    return await run.run(file, options)


@app.command(name="export")
async def export_command(
    *chat_id: str,
    store: Store,
    canonical: Annotated[
        bool, Parameter(negative="", help="A line for each conversation: its counts and digests.")
    ] = False,
) -> int:
    """Write what a store holds, a line of JSON for each message; also while another process owns the store.

    Args:
        chat_id: The sessions to write; all if none is given.
        store: The file of the store.
        canonical: Write counts and digests.
    """
    return await export.export(store, chat_id, canonical=canonical)


@app.command(name="chat")
async def chat_command(
    chat_id: str | None = None,
    *,
    store: Store,
    echo: Annotated[bool, Parameter(negative="", help="Talk to an agent that repeats what it reads.")] = False,
) -> int:
    """Talk to a demo agent in this terminal; what is said is stored, and goes on where it ended.

    Args:
        chat_id: The session; a new one if none is given.
        store: The file of the store.
        echo: Repeat what is said.
    """
    return await chat.chat(store, chat_id, echo=echo)


@app.command(name="inspect")
async def inspect_command(
    chat_id: str | None = None,
    *,
    store: Store,
    as_json: Json = False,
    follow: Annotated[bool, Parameter(negative="", help="Show what the session says and does, as it does it.")] = False,
    trace: Annotated[bool, Parameter(negative="", help="Show each step of the session, without what is said.")] = False,
) -> int:
    """Show how the sessions of a store stand, or one of them in detail; also while another process owns the store.

    If the process that owns it lets itself be looked at, what its sessions are doing is shown too.

    Args:
        chat_id: The session to show in detail.
        store: The file of the store.
        as_json: Print JSON.
        follow: Follow the session until an interrupt.
        trace: Follow its steps.
    """
    if not follow and not trace:
        return await inspection.inspect(store, chat_id, as_json=as_json)
    if chat_id is None or (follow and trace):
        message = "no session is named to be followed" if chat_id is None else "follow and trace are two things"
        raise ConfigurationError(message, hint="actors inspect --store FILE CHAT_ID --follow, or --trace")
    return await live.follow(store, chat_id, verb="follow" if follow else "trace", as_json=as_json)


@app.command(name="dead-letters")
async def dead_letters_command(
    *,
    store: Store,
    chat: Annotated[str | None, Parameter(help="Only those to this address.")] = None,
    reason: Annotated[str | None, Parameter(help="Only those of this reason.")] = None,
    as_json: Json = False,
) -> int:
    """Show what was not delivered, if the runtime was opened to keep it; also while another process owns the store.

    Args:
        store: The file of the store.
        chat: The address.
        reason: The drop reason.
        as_json: Print JSON, with what was sent.
    """
    return await letters.show(store, chat, reason, as_json=as_json)


@app.command(name="doctor")
async def doctor_command(
    *, store: Annotated[Path | None, Parameter(help="Check this store too.")] = None, as_json: Json = False
) -> int:
    """Check the environment and a store, and say what to do about each fault; nothing is written.

    Args:
        store: The file of the store.
        as_json: Print JSON.
    """
    return await doctor.examine(store, as_json=as_json)


_STRESS_DEFAULTS: Final = stress.StressOptions()


@app.command(name="stress")
async def stress_command(*, options: stress.StressOptions = _STRESS_DEFAULTS) -> int:
    """Bear a load with faults, kills of the whole process included, and judge what is left.

    The exit code is 0 only when everything that was sent has its place, no healthy session was touched, memory stayed
    flat and no task is left over.

    Args:
        options: Which load, and which faults.
    """
    return await stress.stress(options)


def main(tokens: Sequence[str] | None = None) -> None:
    """Run the command line (None: that of the process) and exit with its code."""
    try:
        code = app(tokens)
        sys.stdout.flush()
    except BaseException as error:
        found = list(_leaves(error))
        if all(isinstance(leaf, BrokenPipeError) for leaf in found):
            # What is left in the buffer would raise again when Python flushes it at its end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(EXIT_PIPE)
        if all(isinstance(leaf, KeyboardInterrupt) for leaf in found):
            sys.exit(EXIT_INTERRUPTED)  # before anything was there to take the signal
        if not all(isinstance(leaf, ActorsError) for leaf in found):
            raise
        sys.stderr.write(f"actors: {found[0]}\n")
        sys.exit(EXIT_ERROR)
    sys.exit(code if isinstance(code, int) else 0)


def _leaves(error: BaseException) -> Iterator[BaseException]:
    """Take an error out of the groups that nurseries put around it."""
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error
