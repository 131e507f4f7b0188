"""Backing an index up while others search it and write to it, and bringing it back."""

from __future__ import annotations

import shlex
import shutil
import stat
from contextlib import ExitStack
from pathlib import Path

from filelock import FileLock, Timeout

from docsim.engine import opening
from docsim.engine.records import Copied
from docsim.errors import IndexLocked, UsageError
from docsim.files import exchange
from docsim.index import Index

__all__ = ["SERVING_LOCK", "back_up", "restore"]

SERVING_LOCK = "serving.lock"
"""Held in the index's directory by the process of a server that writes."""


def back_up(path: Path, target: Path) -> Copied:
    """Copy an index as it is at one moment, and verify the copy; nobody has to stop searching or writing.

    The copy has documents, embeddings, all generations with their encoders and reports, words, tokens and what was
    recorded of use. It is there when all of it is, or not at all. Only its owner may look into it.

    Args:
        path: The index's directory.
        target: The directory of the copy; it must not exist, or be empty.

    Raises:
        UsageError: There is something at ``target``, or it lies in the index.
        StoreError: There is no finished index, it is damaged, or the copy cannot be written.
    """
    _check_free(target)
    if target.resolve().is_relative_to(path.resolve()):
        raise UsageError(f"expected a directory outside the index for the backup, got {target}")
    made, copied = _made(path, target)
    made.chmod(stat.S_IRWXU)
    made.replace(target)
    return copied


def restore(backup: Path, path: Path, *, replace: bool = False) -> Copied:
    """Bring an index back from a backup, which stays as it is.

    What it replaces is there until all of the backup is, and is removed at the end.

    Args:
        backup: The backup's directory.
        path: The index's directory.
        replace: Whether to replace an index that is there.

    Raises:
        UsageError: There is something at ``path``.
        StoreError: There is no backup, it is damaged, or the copy cannot be written.
        IndexLocked: The index that is there is being served or written to.
    """
    if opening.is_remote(path):
        raise UsageError(
            "expected a directory to restore to; copy a backup to PostgreSQL instead",
            hint=f"docsim copy {shlex.quote(str(backup))} '{opening.shown(path)}'",
        )
    if not opening.exists(path):
        _check_free(path)
    elif not replace:
        raise UsageError(f"expected no index at {path}, found one", hint="--replace, to replace it")
    mode = _mode(path)
    made, copied = _made(backup, path)
    made.chmod(mode)  # that of the backup keeps others out
    for file in (made, *made.rglob("*")):  # a backup may be kept read-only
        file.chmod(file.stat().st_mode | stat.S_IWUSR)
    with ExitStack() as stack:
        if opening.exists(path):
            _hold(path, stack)
            exchange(made, path)  # whoever is killed leaves the one index or the other
            stack.callback(shutil.rmtree, made, ignore_errors=True)
        else:
            made.replace(path)
    return copied


def _check_free(target: Path) -> None:
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UsageError(f"expected a new or an empty directory, found something at {target}")


def _mode(path: Path) -> int:
    """Return the mode of a directory, or that which a new one there would have."""
    is_new = not path.exists()
    path.mkdir(parents=True, exist_ok=True)
    mode = stat.S_IMODE(path.stat().st_mode)
    if is_new:
        path.rmdir()
    return mode


def _made(path: Path, target: Path) -> tuple[Path, Copied]:
    """Return where a verified copy of an index is, beside where it goes, and what is in it."""
    made = target.with_name(f"{target.name}.tmp")
    try:
        return made, opening.copy_engine(path, made)
    except BaseException:
        shutil.rmtree(made, ignore_errors=True)
        raise


def _hold(path: Path, stack: ExitStack) -> None:
    """Make sure that nobody serves an index or writes to it, until the stack is closed."""
    try:
        stack.enter_context(FileLock(path / SERVING_LOCK, timeout=0))
    except Timeout:
        raise IndexLocked(f"a server writes to the index at {path}; end it first") from None
    with Index.open(path) as index:
        stack.enter_context(index.engine.rebuilder(wait=False))
        stack.enter_context(index.engine.writer(wait=False))
