"""What several commands of ``docsim encoder`` do: find an encoder, and say which one it is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import click

from docsim.encoding.encoder import Encoder

__all__ = ["announce", "echo", "facts", "load"]


def load(name: str) -> Encoder:
    """Return the encoder in a directory, or the one docsim ships for ``default``.

    Raises:
        EncoderError: It is missing, damaged or of another format version.
    """
    return Encoder.default() if name == "default" else Encoder.load(name)


def facts(encoder: Encoder) -> dict[str, Any]:
    """Return what ``--json`` says of any encoder."""
    return {
        "name": encoder.name,
        "path": str(encoder.path),
        "dim": encoder.dim,
        "max_tokens": encoder.max_tokens,
        "fingerprint": encoder.fingerprint,
    }


def echo(found: Mapping[str, Any]) -> None:
    """Print JSON."""
    click.echo(json.dumps(found, ensure_ascii=False, indent=2))


def announce(encoder: Encoder) -> None:
    """Print the line that says which encoder was made."""
    click.echo(
        f"Encoder {encoder.name}: {encoder.dim} components, fingerprint {encoder.fingerprint[:12]}, in {encoder.path}"
    )
