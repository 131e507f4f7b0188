"""The encoders that docsim ships, by their names.

fast       an average of token vectors: 256 components, a few microseconds a word
accurate   a small transformer, which reads words in context: 384 components, some ninety times slower
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from docsim.encoding.manifest import read_manifest, with_components

__all__ = ["ACCURATE", "FAST", "NAMES", "directory", "fingerprints", "is_shipped", "located"]

FAST = "fast"
ACCURATE = "accurate"
NAMES = (FAST, ACCURATE)

_OLDER_NAMES = {"default": FAST}
_FOLDER = Path(__file__).parents[1] / "encoders"


def directory(name: str) -> Path:
    """Return the directory of a shipped encoder, by one of ``NAMES``."""
    return _FOLDER / name


@cache
def fingerprints() -> frozenset[str]:
    """Return the fingerprints of the shipped encoders, as their manifests tell them.

    Raises:
        EncoderError: The installation is damaged.
    """
    return frozenset(str(read_manifest(directory(name))["fingerprint"]) for name in NAMES)


@cache
def _shortened() -> frozenset[str]:
    """Return the fingerprints of the shipped encoders with fewer components, as many as they were trained for."""
    manifests = [(path, read_manifest(path)) for path in map(directory, NAMES)]
    dims = [(path, manifest, dim) for path, manifest in manifests for dim in manifest["dims"]]
    return frozenset(str(with_components(path, manifest, dim)["fingerprint"]) for path, manifest, dim in dims)


def is_shipped(fingerprint: str) -> bool:
    """Return whether an encoder is a shipped one, with all of its components or fewer.

    Raises:
        EncoderError: The installation is damaged.
    """
    return fingerprint in fingerprints() | _shortened()


def located(name: str | Path) -> Path:
    """Return the directory of an encoder.

    Args:
        name: The encoder's directory, or one of ``NAMES``. An encoder in a directory of such a name comes first.
    """
    path, known = Path(name), _OLDER_NAMES.get(str(name), str(name))
    return directory(known) if known in NAMES and not (path / "manifest.json").is_file() else path
