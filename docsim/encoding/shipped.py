"""The encoders that docsim ships, by their names.

fast       an average of token vectors: 256 components, a few microseconds a word
accurate   a small transformer, which reads words in context: 384 components, some ninety times slower
"""

from __future__ import annotations

from pathlib import Path

__all__ = ["ACCURATE", "FAST", "NAMES", "directory", "located"]

FAST = "fast"
ACCURATE = "accurate"
NAMES = (FAST, ACCURATE)

_OLDER_NAMES = {"default": FAST}
_FOLDER = Path(__file__).parents[1] / "encoders"


def directory(name: str) -> Path:
    """Return the directory of a shipped encoder, by one of ``NAMES``."""
    return _FOLDER / name


def located(name: str | Path) -> Path:
    """Return the directory of an encoder.

    Args:
        name: The encoder's directory, or one of ``NAMES``. An encoder in a directory of such a name comes first.
    """
    path, known = Path(name), _OLDER_NAMES.get(str(name), str(name))
    return directory(known) if known in NAMES and not (path / "manifest.json").is_file() else path
