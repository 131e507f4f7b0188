"""The encoders that docsim ships, by their names.

fast       an average of token vectors: 256 components, a few microseconds a word
accurate   a small transformer, which reads words in context: 384 components, some fifty times the work
"""

from __future__ import annotations

from pathlib import Path

__all__ = ["ACCURATE", "FAST", "NAMES", "located"]

FAST = "fast"
ACCURATE = "accurate"
NAMES = (FAST, ACCURATE)

_OLDER_NAMES = {"default": FAST}
_FOLDER = Path(__file__).parents[1] / "encoders"


def located(name: str | Path) -> Path:
    """Return the directory of an encoder.

    Args:
        name: The encoder's directory, or one of ``NAMES``. A directory that has such a name comes first.
    """
    path, known = Path(name), _OLDER_NAMES.get(str(name), str(name))
    return _FOLDER / known if known in NAMES and not path.exists() else path
