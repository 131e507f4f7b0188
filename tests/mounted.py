"""Folders that cannot be written to, not even by root."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

__all__ = ["sealed"]


@contextmanager
def sealed(path: Path, at: Path) -> Iterator[Path]:
    """Mount the folder ``path`` read-only at a new folder for the length of the block; skip the test if none can be."""
    at.mkdir()
    bind = subprocess.run(["mount", "--bind", str(path), str(at)], capture_output=True, check=False)
    if bind.returncode:
        pytest.skip("file systems cannot be mounted here, and permissions do not bind root")
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", str(at)], check=True)
        yield at
    finally:
        subprocess.run(["umount", "-l", str(at)], check=True)
