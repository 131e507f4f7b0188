"""Upgrading: an index that an older docsim wrote is brought up to date when it is opened, even if only to read it."""

from __future__ import annotations

import time
from pathlib import Path

from docsim.engine.local import writer
from docsim.engine.local.database import OlderFormat
from docsim.engine.local.store import Store
from docsim.engine.retrying import PAUSE, TRIES
from docsim.errors import DocsimError, IndexLocked, StoreError

__all__ = ["upgraded"]


def upgraded(path: Path) -> Store:
    """Bring the index at ``path`` up to date, and open it for reading. Its documents and embeddings stay as they are.

    Raises:
        IndexLocked: Another process is writing to it.
        StoreError: Its folder cannot be written to, or it is damaged.
    """
    for _ in range(TRIES):
        try:
            with writer.opened(path, wait=False):
                break
        except IndexLocked:
            time.sleep(PAUSE)  # often another process that upgrades it
            try:
                return Store(path, writable=False)
            except OlderFormat:
                continue
        except StoreError:
            raise
        except DocsimError as error:
            raise StoreError(
                f"the index at {path} was made by an older docsim and has to be upgraded once, but {error}; open it as "
                "a user who may write to it, or open a copy of it"
            ) from error
    else:
        raise IndexLocked(
            f"the index at {path} was made by an older docsim and has to be upgraded once, but another process is "
            "writing to it; try again later"
        )
    return Store(path, writable=False)
