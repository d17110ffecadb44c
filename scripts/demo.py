"""Record `actors run` on the sample that comes with the package as a picture of a terminal: docs/images/run.svg.

The picture is of a real run. The command is started on a terminal of its own, what it draws is kept, and one drawing of
its middle, its end and its last check are put one below the other. The figures in it are those of this machine, now.
"""

import argparse
import io
import os
import pty
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

ROOT: Final = Path(__file__).resolve().parent.parent
PICTURE: Final = ROOT / "docs" / "images" / "run.svg"

RUN: Final = ("run", "--store", "chats.db", "--log", "chats.log", "--pace", "30")
CHECK: Final = ("doctor", "--store", "chats.db")

COLUMNS: Final = 64
READ_BYTES: Final = 65_536

# What rich writes to go back over a table before it draws the next one, and around the whole.
_WIPE: Final = re.compile(r"(?:\r?\x1b\[2K(?:\x1b\[1A)?|\x1b\[1A)+")
_CURSOR: Final = re.compile(r"\x1b\[\?25[lh]")
# A font from elsewhere would be asked for by everybody who looks at the picture.
_FONT_FACE: Final = re.compile(r"@font-face\s*\{[^}]*\}\s*")


def main() -> int:
    """Record, and return the exit code of what was recorded."""
    parser = argparse.ArgumentParser(description="Record `actors run` as docs/images/run.svg.")
    parser.add_argument("--out", type=Path, default=PICTURE, help="where the picture goes")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="demo-") as folder:
        run_code, run_screen = record(RUN, Path(folder))
        check_code, check_screen = record(CHECK, Path(folder))
    *drawn, end = drawings(run_screen)
    shown = [prompt(RUN), *([drawn[len(drawn) // 2]] if drawn else []), end, prompt(CHECK), drawings(check_screen)[-1]]
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(picture(shown), encoding="utf-8")
    print(f"{options.out.name}: {len(drawn)} drawings seen, exit codes {run_code} and {check_code}")
    return run_code or check_code


def record(arguments: tuple[str, ...], folder: Path) -> tuple[int, str]:
    """Run a command of ours on a terminal; return its exit code and everything it wrote there."""
    environment = os.environ | {
        "COLUMNS": str(COLUMNS),
        "LINES": "50",
        "PYTHONPATH": str(ROOT),
        "PYTHONUTF8": "1",
        "TERM": "xterm-256color",
    }
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "actors", *arguments]
    with subprocess.Popen(command, cwd=folder, env=environment, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        written = bytearray()
        while True:
            try:
                read = os.read(ours, READ_BYTES)
            except OSError:  # Linux says so when the other side is closed
                break
            if not read:
                break
            written += read
    os.close(ours)
    return process.returncode, _CURSOR.sub("", written.decode()).replace("\r\n", "\n")


def drawings(screen: str) -> list[str]:
    """Take apart what was drawn in the same place, one after the other."""
    return [drawing for drawing in _WIPE.split(screen) if drawing.strip()]


def prompt(arguments: tuple[str, ...]) -> str:
    """Write a command as its user typed it."""
    return f"\x1b[1;32m$\x1b[0m actors {' '.join(arguments)}"


def picture(shown: list[str]) -> str:
    """Draw a terminal that shows these texts, as SVG."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO())
    for text in shown:
        console.print(Text.from_ansi(text.strip("\n")), soft_wrap=True)
        console.print()
    svg = console.export_svg(title="actors", theme=MONOKAI, unique_id="run")
    return _FONT_FACE.sub("", svg)


if __name__ == "__main__":
    sys.exit(main())
