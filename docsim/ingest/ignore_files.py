"""Ignore files: which of them count for a folder, and what they leave out of it.

Within one folder ``.docsimignore`` overrides ``.gitignore``; the innermost folder with a pattern for a path decides. In
a git work tree the ``.gitignore`` files above the folder count, too, and so does ``.git/info/exclude``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from docsim.ingest import ignore_patterns

__all__ = ["Patterns", "above", "is_ignored", "within"]

_NAMES = (".gitignore", ".docsimignore")


@dataclass(frozen=True, slots=True)
class Patterns:
    """The patterns of one folder's ignore files.

    Attributes:
        below: The folder's path from the root that is read, with a slash at its end; empty for the root and above.
        lead: What leads from a folder above the root to the root, likewise.
        rules: The patterns.
    """

    below: str
    lead: str
    rules: ignore_patterns.IgnoreRules

    def ignores(self, path: str, *, is_folder: bool) -> bool | None:
        """Return whether a path from the root is ignored; None where no pattern applies."""
        return self.rules.ignores(self.lead + path[len(self.below) :], is_folder=is_folder)


def is_ignored(path: str, patterns: tuple[Patterns, ...], *, is_folder: bool) -> bool:
    """Return whether a path is ignored; the last patterns come first."""
    verdicts = (one.ignores(path, is_folder=is_folder) for one in reversed(patterns))
    return next((verdict for verdict in verdicts if verdict is not None), False)


def within(root: Path, folder: str, names: set[str]) -> tuple[Patterns, ...]:
    """Return the patterns in the ignore files of a folder.

    Args:
        root: The folder that is read.
        folder: The path from there, with a slash at its end.
        names: The names in the folder.

    Raises:
        OSError: An ignore file cannot be read. What is none, such as a folder of that name, is passed over, as by git.
    """
    lines = [line for name in _NAMES if name in names for line in _lines(root / folder / name)]
    return (Patterns(folder, "", ignore_patterns.parse(lines)),) if lines else ()


def above(root: Path) -> tuple[Patterns, ...]:
    """Return the patterns of the git work tree that a folder lies in, outermost first; none outside of any."""
    tree = next((one for one in (root, *root.parents) if (one / ".git").exists()), None)
    if tree is None:
        return ()
    lead = "".join(f"{part}/" for part in root.relative_to(tree).parts)
    found = [Patterns("", lead, ignore_patterns.parse(_readable(_git_directory(tree) / "info" / "exclude")))]
    for one in [one for one in reversed(root.parents) if one.is_relative_to(tree)]:
        lead = "".join(f"{part}/" for part in root.relative_to(one).parts)
        found.append(Patterns("", lead, ignore_patterns.parse(_readable(one / ".gitignore"))))
    return tuple(one for one in found if one.rules.patterns)


def _git_directory(tree: Path) -> Path:
    """Return where git keeps what all work trees of a repository share."""
    git = tree / ".git"
    try:
        if git.is_file():  # of a linked work tree or a submodule
            git = tree / git.read_text("utf-8").removeprefix("gitdir:").strip()
            git = git / (git / "commondir").read_text("utf-8").strip()
    except (OSError, ValueError):
        pass
    return git


def _readable(path: Path) -> list[str]:
    try:
        return _lines(path)
    except OSError:
        return []


def _lines(path: Path) -> list[str]:
    """Return the lines of an ignore file; none of what is no file."""
    return path.read_text("utf-8-sig", "surrogateescape").split("\n") if path.is_file() else []
