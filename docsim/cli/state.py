"""State: small files that the command line keeps about its user, outside of any index and readable by the user alone.

They are in ``docsim`` below ``$XDG_STATE_HOME``, by default ``~/.local/state``.
"""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path

from docsim.files import replacing

__all__ = ["read", "write"]


def read(name: str) -> object:
    """Return what is kept under a name; None where there is nothing that can be read."""
    with contextlib.suppress(OSError, ValueError, RuntimeError):
        return json.loads((_folder() / f"{name}.json").read_text(encoding="utf-8"))
    return None


def write(name: str, value: object) -> None:
    """Keep a JSON value under a name.

    Raises:
        OSError: It cannot be written.
        RuntimeError: The user has no home.
    """
    folder = _folder()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with replacing(folder / f"{name}.json") as file:
        file.write(json.dumps(value).encode("ascii"))


def _folder() -> Path:
    home = os.environ.get("XDG_STATE_HOME")
    return (Path(home) if home else Path.home() / ".local" / "state") / "docsim"
