"""Where ``docsim.toml`` is: looked up by every command, so nothing else is imported here."""

from __future__ import annotations

from pathlib import Path

__all__ = ["FILE", "nearest"]

FILE = "docsim.toml"


def nearest(start: Path) -> Path | None:
    """Return the ``docsim.toml`` of a folder, or of the nearest one above it that has one."""
    return next((path for folder in (start, *start.parents) if (path := folder / FILE).is_file()), None)
