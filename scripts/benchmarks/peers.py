"""Do the same work with other libraries, each in an environment of its own.

``measure`` makes an environment for each (once; they are kept in a cache folder), installs what it
needs from the index that pip is set up with, and runs its script from ``peer_scripts`` in rounds
that alternate with those of the others. A script is called with a folder and the seconds it may
take, and prints one line of JSON: ``{"version": …, "value": …, "more": {…}, "note": …}``, where the
note says what went wrong, if anything did. What does not install, fails, or takes too long is
reported as that.

Our own scripts, ``actors_durable.py`` and ``actors_messages.py``, follow the same rules and are run by
the present Python; until they exist they are left out.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import venv
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import attrs

from scripts.benchmarks.harness import Settings

SCRIPTS = Path(__file__).resolve().parent / "peer_scripts"

ROUNDS = 3
"""With so many rounds, a peer is done within a minute."""

ROUND_S = 16.0
QUICK_ROUND_S = 5.0
ROUND_S_OVER = 14.0
"""What a script may take beyond its seconds, to start and to end, before it is stopped."""

INSTALL_S_MAX = 600.0

SILENT = {
    "ANONYMIZED_TELEMETRY": "false",
    "LANGCHAIN_TRACING_V2": "false",
    "LANGSMITH_TRACING": "false",
    "OPENAI_AGENTS_DISABLE_TRACING": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
}
"""No peer reports home while it is measured."""

FAILED = "failed"
"""How a script calls the number of turns that failed."""

MESSAGES = "messages/s, 100 actors"
TURNS = "durable turns/s, 100 clients"


@attrs.frozen
class Peer:
    """A library to run beside ours; without requirements it is ours, in the present Python."""

    name: str
    script: str
    unit: str
    requirements: tuple[str, ...] = ()

    @property
    def environment(self) -> str:
        """Name the environment, which peers of the same requirements share."""
        return "-".join(self.requirements)


OPENAI = ("openai-agents",)
ADK = ("google-adk", "sqlalchemy", "aiosqlite", "greenlet")
LANGGRAPH = ("langgraph", "langgraph-checkpoint-sqlite")

PEERS = (
    Peer("ours", "actors_durable.py", TURNS),
    Peer("OpenAI Agents, runner", "openai_agents.py", TURNS, OPENAI),
    Peer("OpenAI Agents, session only", "openai_session.py", TURNS, OPENAI),
    Peer("LangGraph, AsyncSqliteSaver", "langgraph_sqlite.py", TURNS, LANGGRAPH),
    Peer("ADK, SqliteSessionService", "adk_sqlite.py", TURNS, ADK),
    Peer("ADK, DatabaseSessionService", "adk_database.py", TURNS, ADK),
    Peer("ours", "actors_messages.py", MESSAGES),
    Peer("Pykka, threads", "pykka_messages.py", MESSAGES, ("pykka",)),
    Peer("AutoGen core", "autogen_messages.py", MESSAGES, ("autogen-core",)),
    Peer("Xoscar", "xoscar_messages.py", MESSAGES, ("xoscar",)),
)


@attrs.define
class PeerResult:
    """What the rounds of one peer gave: medians, or the reason why there are none."""

    name: str
    unit: str
    version: str = ""
    values: list[float] = attrs.field(factory=list)
    rounds: list[dict[str, float]] = attrs.field(factory=list)
    note: str = ""
    error: str = ""

    @property
    def median(self) -> float:
        """Give the median of the rounds."""
        return statistics.median(self.values)

    @property
    def least(self) -> float:
        """Give the slowest round."""
        return min(self.values)

    @property
    def greatest(self) -> float:
        """Give the fastest round."""
        return max(self.values)

    @property
    def more(self) -> Mapping[str, float]:
        """Give the medians of what a script told besides its value."""
        names = dict.fromkeys(name for told in self.rounds for name in told)
        return {name: statistics.median(told[name] for told in self.rounds if name in told) for name in names}


class PeerError(Exception):
    """A peer did not install or did not run; the text says which, and why."""


def default_cache() -> Path:
    """Name the folder in which the environments are kept between runs."""
    return Path(tempfile.gettempdir()) / "actors-bench-peers"


def measure(
    cache: Path,
    settings: Settings,
    *,
    rounds: int,
    progress: Callable[[str], None],
    chosen: Sequence[Peer] = PEERS,
) -> list[PeerResult]:
    """Install the peers, then run their rounds in turn; nothing that fails is left out."""
    results = [(peer, PeerResult(peer.name, peer.unit)) for peer in chosen if (SCRIPTS / peer.script).is_file()]
    pythons: dict[str, Path] = {}
    for peer, result in results:
        progress(f"installing {peer.name}")
        try:
            pythons[peer.script] = _python(peer, cache)
        except PeerError as error:
            result.error = str(error)
    for number in range(rounds):
        for peer, result in results:
            if not result.error:
                progress(f"{peer.name}, round {number + 1} of {rounds}")
                _run_round(pythons[peer.script], peer, settings, result)
    return [result for _peer, result in results]


def _python(peer: Peer, cache: Path) -> Path:
    """Give the Python of a peer's environment, made first where it is not there yet.

    Raises:
        PeerError: it cannot be made, or what the peer needs cannot be installed.
    """
    if not peer.requirements:
        return Path(sys.executable)
    folder = cache / peer.environment
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    complete = folder / "complete"
    if complete.exists():
        return python
    try:
        venv.create(folder, with_pip=True, clear=True)
    except (OSError, subprocess.CalledProcessError) as error:
        message = f"no environment: {error}"
        raise PeerError(message) from error
    install = (str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    _call((*install, *peer.requirements), INSTALL_S_MAX, "not installed")
    complete.touch()
    return python


def _run_round(python: Path, peer: Peer, settings: Settings, result: PeerResult) -> None:
    """Run one round of a peer in an empty folder; keep what it told, or why it told nothing."""
    seconds = QUICK_ROUND_S if settings.quick else ROUND_S
    try:
        with tempfile.TemporaryDirectory(dir=settings.directory) as folder:
            command = (str(python), "-W", "ignore", str(SCRIPTS / peer.script), folder)
            output = _call((*command, str(seconds)), seconds + ROUND_S_OVER, "failed")
        told = json.loads(output.strip().splitlines()[-1])
        result.version = str(told["version"])
        result.rounds.append({name: float(value) for name, value in told["more"].items()})
        result.values.append(float(told["value"]))
        result.note = result.note or str(told.get("note", ""))
    except PeerError as error:
        result.error = str(error)
    except (IndexError, KeyError, TypeError, ValueError) as error:
        result.error = f"told nothing that can be read ({type(error).__name__})"


def _call(command: Sequence[str], seconds: float, failure: str) -> str:
    """Run a program to its end and give what it printed.

    Raises:
        PeerError: it failed or took longer; the text ends with the last line of its complaint.
    """
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            check=True,
            encoding="utf-8",
            env=os.environ | SILENT,
            timeout=seconds,
        )
    except subprocess.TimeoutExpired as error:
        message = f"{failure}: not done after {seconds:.0f} s"
        raise PeerError(message) from error
    except subprocess.CalledProcessError as error:
        complaint = (error.stderr or "").strip().splitlines() or ["no word"]
        message = f"{failure}: {complaint[-1][:200]}"
        raise PeerError(message) from error
    except OSError as error:
        message = f"{failure}: {error}"
        raise PeerError(message) from error
    return done.stdout
