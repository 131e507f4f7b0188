"""Draw docs/images/terminal.svg: what docsim really prints for the sample handbook.

The commands run in a scratch folder with a terminal of their own, and rich turns what they print into a picture. No
font and nothing else is loaded from the network by whoever looks at it.
"""

from __future__ import annotations

import io
import os
import pty
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text
from tables import ROOT

__all__ = ["draw"]

WIDTH = 96
"""Columns of the terminal."""

COMMANDS = (
    "docsim index handbook/",
    'docsim query "phone with company mail was stolen" -k 3',
)

_THEME = TerminalTheme(
    (22, 27, 34),
    (230, 237, 243),
    [
        (72, 79, 88),
        (255, 123, 114),
        (63, 185, 80),
        (210, 153, 34),
        (88, 166, 255),
        (188, 140, 255),
        (86, 212, 221),
        (177, 186, 196),
    ],
)

# Rich's own template loads a font from the network. This one uses whatever monospaced font there is: every run of text
# is stretched to its place, so that columns stay aligned.
_FORMAT = """<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg" role="img">
<title>docsim indexes the sample handbook and answers a question</title>
<style>
.{unique_id}-matrix {{ font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace;
  font-size: {char_height}px; line-height: {line_height}px; font-variant-east-asian: full-width; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" />
</clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


def draw(target: Path) -> None:
    """Run the commands, and write the picture; the same bytes for the same output."""
    console = Console(width=WIDTH, record=True, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    with tempfile.TemporaryDirectory() as scratch:
        (Path(scratch) / "handbook").symlink_to(ROOT / "corpus" / "handbook")
        for number, command in enumerate(COMMANDS):
            if number:
                console.print()
            console.print(Text.assemble(("$ ", "bold green"), (command, "bold")))
            console.print(Text.from_ansi(_printed(command, scratch).rstrip()))
    svg = console.export_svg(title="", theme=_THEME, code_format=_FORMAT, unique_id="docsim")
    text = "\n".join(line.rstrip() for line in svg.splitlines()) + "\n"
    if not target.is_file() or _timeless(target.read_text(encoding="utf-8")) != _timeless(text):
        target.write_text(text, encoding="utf-8")


def _timeless(svg: str) -> str:
    """Return a picture without the time taken, which differs from run to run."""
    return "".join(line for line in svg.splitlines() if "&#160;ms," not in line)


def _printed(command: str, folder: str) -> str:
    """Return what a command prints to a terminal."""
    program = shlex.split(command)
    program[:1] = [sys.executable, "-c", "from docsim.cli import run; run()"]
    environment = os.environ | {"COLUMNS": str(WIDTH), "TERM": "xterm-256color", "PYTHONPATH": str(ROOT)}
    ours, theirs = pty.openpty()
    with subprocess.Popen(program, cwd=folder, env=environment, stdout=theirs, stderr=subprocess.DEVNULL) as process:
        os.close(theirs)
        parts = _read(ours)
    os.close(ours)
    if process.returncode:
        raise RuntimeError(f"{command} exited with {process.returncode}")
    return b"".join(parts).decode().replace("\r\n", "\n")


def _read(terminal: int) -> list[bytes]:
    parts: list[bytes] = []
    while True:
        try:
            part = os.read(terminal, 65_536)
        except OSError:  # what Linux answers once the other side is closed
            return parts
        if not part:
            return parts
        parts.append(part)


if __name__ == "__main__":
    draw(ROOT / "docs" / "images" / "terminal.svg")
