"""Encoders on the command line: prints which one it is."""

from __future__ import annotations

from docsim.cli.output import echo
from docsim.encoding.encoder import Encoder

__all__ = ["announce", "facts"]


def facts(encoder: Encoder) -> dict[str, object]:
    """Return what ``--json`` says of any encoder."""
    return {
        "name": encoder.name,
        "path": str(encoder.path),
        "dim": encoder.dim,
        "max_tokens": encoder.max_tokens,
        "fingerprint": encoder.fingerprint,
    }


def announce(encoder: Encoder) -> None:
    """Print which encoder was made, and where it is."""
    echo(f"Encoder {encoder.name}: {encoder.dim} components, fingerprint {encoder.fingerprint[:12]}, in {encoder.path}")
