"""Prose: what of a Markdown text is no code, so that it may be changed; and links between the files of a source."""

from __future__ import annotations

import re
from collections.abc import Callable

__all__ = ["changed", "joined"]

_FENCE = re.compile(r"^[ >]{0,12}(`{3,}|~{3,})")
_SPAN = re.compile(r"(?<!`)(`++)(?!`)[^\n]*?(?<!`)\1(?!`)")


def changed(text: str, change: Callable[[str], str]) -> str:
    """Return Markdown in which ``change`` was applied to all that is no code block, and no code within a line."""
    pieces: list[str] = []
    prose: list[str] = []
    fence = ""
    for line in text.splitlines(keepends=True):
        match = _FENCE.match(line)
        if fence:
            pieces.append(line)
            fence = "" if match and match[1].startswith(fence) else fence
        elif match:
            pieces += [_outside_spans("".join(prose), change), line]
            prose, fence = [], match[1]
        else:
            prose.append(line)
    return "".join([*pieces, _outside_spans("".join(prose), change)])


def _outside_spans(text: str, change: Callable[[str], str]) -> str:
    if "`" not in text:
        return change(text)
    spans: list[str] = []

    def kept(match: re.Match[str]) -> str:
        spans.append(match[0])
        return f"\x00{len(spans) - 1}\x00"

    return re.sub(
        "\x00(\\d+)\x00", lambda match: spans[int(match[1])], change(_SPAN.sub(kept, text.replace("\x00", "")))
    )


def joined(folder: str, target: str) -> str:
    """Return the path that a relative one names, seen from a folder; nothing for one that leads out of the source."""
    steps = folder.split("/") if folder and not target.startswith("/") else []
    for step in target.split("/"):
        if step == "..":
            if not steps:
                return ""
            steps.pop()
        elif step not in ("", "."):
            steps.append(step)
    return "/".join(steps)
