"""Ignore patterns, with the syntax and the precedence that gitignore(5) describes.

The patterns of a folder apply to everything below it. The last pattern that matches a path decides, and patterns of an
inner folder take precedence over those of an outer one. A pattern applies to the path that it matches, not to what is
inside: a caller that walks a tree does not enter an ignored folder, so nothing in it can be re-included.

pathspec translates patterns into regular expressions. Its own matching treats a path and the folders above it as one
question, so here each pattern is matched by itself. For that we need one thing that pathspec does not document: the
group in its regular expressions that marks the end of a folder. It is used only here, and
tests/test_ignore_patterns.py fails when it changes.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable
from dataclasses import dataclass

from pathspec import GitIgnoreSpec, RegexPattern

__all__ = ["IgnoreRules", "parse"]

_FOLDER_END = "ps_d"
"""The group that matches the slash after a folder, in the regular expression of a pattern that matches folders."""

_STARS = re.compile(r"(?:\[\^/\]\*){2,}")
_SET = r"\[\^?\]?(?:\\.|[^\]\\])*\]"
_SET_OR_ESCAPE = re.compile(rf"\\.|{_SET}", re.DOTALL)
_STAR_BEFORE_STAR = re.compile(rf"\[\^/\]\*((?:[\w-]|\\[^\w/]|(?:\(\?!/\))?{_SET}(?!\*))+)(?=\[\^/\]\*)", re.DOTALL)
"""A star, and what stands between it and the next star of the same name, where that always has the same length."""

_FOLDERS_FIRST, _FOLDERS = "^(?:.+/)?", "(?:/.+)?/"
"""Two stars: at the beginning of a pattern, and between two slashes. No other part of a pattern looks like these."""


@dataclass(frozen=True, slots=True)
class IgnoreRules:
    """The patterns in the ignore files of one folder, the last one first."""

    patterns: tuple[RegexPattern, ...]

    def ignores(self, path: str, *, is_folder: bool) -> bool | None:
        """Return whether a path is ignored.

        Args:
            path: The path relative to the folder, with ``/`` as separator.
            is_folder: Whether it is the path of a folder.

        Returns:
            True if it is ignored, False if it is re-included, None if no pattern applies to it.
        """
        whole = f"{path}/" if is_folder else path
        for pattern in self.patterns:
            if pattern.include is not None and _applies(pattern, whole):
                return bool(pattern.include)
        return None


def parse(lines: Iterable[str]) -> IgnoreRules:
    """Return the patterns in the lines of an ignore file. Lines that are not valid patterns are skipped."""
    patterns: list[RegexPattern] = []
    for line in lines:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", FutureWarning)  # about sets that a later Python may read differently
                found = GitIgnoreSpec.from_lines([line], backend="simple").patterns
                bounded = [_bounded(pattern) for pattern in found if isinstance(pattern, RegexPattern)]
        except (ValueError, re.error):
            continue
        if line.strip() == "!/":  # names nothing to git, and every folder to pathspec
            continue
        patterns += bounded
    return IgnoreRules(tuple(reversed(patterns)))


def _bounded(pattern: RegexPattern) -> RegexPattern:
    """Return a pattern that matches the same, but tries few ways to share out a name or a path among many stars.

    What stands between two stars is looked for only where it occurs first: if the rest does not match after that, it
    does not match after any later place, since the next star takes whatever is between.
    """
    if pattern.regex is None:
        return pattern
    source = _SET_OR_ESCAPE.sub(_without_slash, _STARS.sub("[^/]*", pattern.regex.pattern))
    source = _STAR_BEFORE_STAR.sub(r"(?>[^/]*?\1)", source)
    first, *between, last = source.split(_FOLDERS) if _FOLDERS in source else (source, "")
    if last:
        if first.startswith(_FOLDERS_FIRST):
            first = f"^(?>(?:.+?/)??{first.removeprefix(_FOLDERS_FIRST)}(?=/))"
        source = "".join([first, *(f"(?>(?:/.+?)??/{names}(?=/))" for names in between), _FOLDERS, last])
    return RegexPattern(re.compile(source, re.DOTALL), include=pattern.include)


def _without_slash(match: re.Match[str]) -> str:
    """Return a set that matches no slash, as to git: one that says what it leaves out would."""
    return f"(?!/){match[0]}" if match[0].startswith("[^") and match[0] != "[^/]" else match[0]


def _applies(pattern: RegexPattern, path: str) -> bool:
    """Return whether a pattern matches ``path`` itself, and not just a folder above it."""
    assert pattern.regex is not None
    for match in pattern.regex.finditer(path):
        end = match.end(_FOLDER_END) if _FOLDER_END in pattern.regex.groupindex else -1
        if end in (-1, len(path)):
            return True
    return False
