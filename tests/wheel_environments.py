"""Environments that hold the built wheel with one extra and nothing else; made with uv, so that they take seconds.

Shared by ``test_extras.py`` and ``benchmarks/installed_size.py``.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]


def build_wheel(folder: Path) -> Path:
    """Build the wheel of this checkout into an empty folder."""
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    (path,) = folder.glob("*.whl")
    return path


def make_environment(folder: Path, wheel: Path, extra: str, *, python: str = sys.executable) -> Path:
    """Install the wheel with an extra, or with none when it is empty, into a new environment.

    Args:
        folder: Where to make it; it does not exist yet.
        wheel: What ``build_wheel`` returned.
        extra: Such as ``map``.
        python: The interpreter that it is made from.

    Returns:
        The environment's ``bin``.
    """
    requirement = f"docsim[{extra}] @ {wheel.as_uri()}" if extra else f"docsim @ {wheel.as_uri()}"
    uv("venv", "--python", python, str(folder))
    uv("pip", "install", "--python", str(folder / "bin" / "python"), requirement)
    return folder / "bin"


def site_packages(binaries: Path) -> Path:
    """Return the folder that an environment's packages are in."""
    (folder,) = binaries.parent.glob("lib/python*/site-packages")
    return folder


def installed_files(packages: Path) -> Iterator[Path]:
    """Yield the files of all packages, without byte code."""
    yield from (file for file in packages.rglob("*") if file.suffix != ".pyc" and file.is_file())


def run(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a command as a user would, without this process's settings of Python and docsim, with the fast encoder."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "DOCSIM"))}
    environment["DOCSIM_ENCODER"] = "fast"
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd, env=environment)


def uv(*arguments: str) -> None:
    """Run uv, which the group ``dev`` brings."""
    done = subprocess.run([sys.executable, "-m", "uv", "-q", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
