"""Ignore files: patterns with git's syntax and precedence, read by pathspec.

A folder's patterns speak about what lies below it. The last pattern that matches a path decides, and patterns of an
inner folder go before those of an outer one. A pattern speaks about the path it matches, not about what lies in it:
whoever walks a tree does not enter a folder that is ignored, so nothing in it can be taken back. pathspec's own
``match_file`` answers for a path and the folders above it at once, so its patterns are asked one by one; a test
compares with git itself. See gitignore(5).
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable
from dataclasses import dataclass

from pathspec.patterns.gitignore.spec import GitIgnoreSpecPattern

__all__ = ["Rules", "parse"]


@dataclass(frozen=True, slots=True)
class Rules:
    """The patterns of one folder, last first."""

    patterns: tuple[GitIgnoreSpecPattern, ...]

    def ignores(self, path: str, *, is_folder: bool) -> bool | None:
        """Return whether a path relative to the folder is ignored, or None when no pattern speaks about it."""
        whole = f"{path}/" if is_folder else path
        for pattern in self.patterns:
            if pattern.include is not None and _speaks_of(pattern, whole):
                return bool(pattern.include)
        return None


def parse(lines: Iterable[str]) -> Rules:
    """Read the lines of an ignore file; those that are no pattern are passed over."""
    patterns = []
    for line in lines:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", FutureWarning)  # of sets that a later Python might read otherwise
                patterns.append(GitIgnoreSpecPattern(line))
        except (ValueError, re.error):
            continue
    return Rules(tuple(reversed(patterns)))


def _speaks_of(pattern: GitIgnoreSpecPattern, path: str) -> bool:
    """Return whether a pattern matches ``path`` itself; pathspec marks the end of a folder's match as ``ps_d``."""
    assert pattern.regex is not None
    for match in pattern.regex.finditer(path):
        end = match.end("ps_d") if "ps_d" in pattern.regex.groupindex else -1
        if end in (-1, len(path)):
            return True
    return False
