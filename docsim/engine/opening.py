"""Opening: from the address of an index to the engine that keeps it.

An address is a directory, or ``postgresql://...``. What belongs to an index in PostgreSQL and is not kept there (the
record of use, tokens and locks of this machine's server, an encoder in training) lies in a folder of this machine,
which also says where the index is. So that folder stands for the index wherever a directory does.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from docsim import extras
from docsim.engine.base import Engine
from docsim.engine.local.engine import LocalEngine
from docsim.errors import FingerprintMismatch, StoreError, UsageError
from docsim.files import INDEX_FILE, replacing

if TYPE_CHECKING:
    from docsim.encoding.encoder import Encoder
    from docsim.engine.importing import Importer
    from docsim.engine.postgres.address import Address
    from docsim.engine.records import Copied, Generation

__all__ = [
    "REMOTE_FILE",
    "check_encoder",
    "copy_engine",
    "create_engine",
    "exists",
    "folder",
    "importer",
    "is_index",
    "is_remote",
    "is_url",
    "open_engine",
    "shown",
]

REMOTE_FILE = "index.url"
"""The file of a folder that stands for an index elsewhere: its address, without a password."""

_REMOTE = ("postgresql://", "postgres://")


def is_remote(address: str | Path) -> bool:
    """Return whether an address names an index in a database, by itself or by the folder that stands for it."""
    return is_url(address) or (Path(address) / REMOTE_FILE).is_file()


def is_url(address: str | Path) -> bool:
    """Return whether a text is an address in a database, and no path."""
    return isinstance(address, str) and address.startswith(_REMOTE)


def folder(address: str | Path) -> Path:
    """Return the directory of an index, or the folder of this machine that stands for one in a database.

    Raises:
        UsageError: The address has a password, or the extra that it needs is missing.
        StoreError: The folder cannot be made.
    """
    if not isinstance(address, str) or not is_url(address):
        return Path(address)
    location = _location(address)
    digest = hashlib.sha256(str(location).encode()).hexdigest()
    place = _state_folder() / "indexes" / digest[:16] / location.schema
    file = place / REMOTE_FILE
    try:
        if not file.is_file():
            place.mkdir(mode=0o700, parents=True, exist_ok=True)
            with replacing(file) as opened:
                opened.write(f"{location}\n".encode())
    except OSError as error:
        raise StoreError(
            f"could not write to {place}, where what belongs to {location} is kept on this machine: {error.strerror}"
        ) from error
    return place


def _state_folder() -> Path:
    """Return the folder below ``$XDG_STATE_HOME``; for a user without a home, one for temporary files."""
    base = Path(os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state"))  # noqa: PTH111  # raises not
    return (base if base.is_absolute() else Path(tempfile.gettempdir())) / "docsim"


def _location(address: str | Path) -> Address:
    """Return where an index in PostgreSQL is."""
    extras.require("postgres", "an index in PostgreSQL")
    from docsim.engine.postgres import address as addresses  # here, because an index in a directory does without

    if isinstance(address, str) and is_url(address):
        return addresses.parsed(address)
    file = Path(address) / REMOTE_FILE
    try:
        text = file.read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        raise StoreError(f"could not read {file}, which says where the index is: {error}") from error
    if not is_url(text):
        raise UsageError(f"expected an address such as postgresql://host/database in {file}, found another text")
    return addresses.parsed(text)


def shown(address: str | Path) -> str:
    """Return an address as people know it: that of the database for a folder that stands for an index there."""
    return str(_location(address)) if is_remote(address) else str(address)


def open_engine(address: str | Path, *, generation: int | None = None) -> Engine:
    """Open an index.

    Args:
        address: The index's directory, or its address in PostgreSQL.
        generation: Number of the generation to read, whatever its state; the live one when not given.

    Raises:
        StoreError: There is no index, it is damaged, or its server cannot be reached.
        UsageError: The address cannot be read, or the extra that it needs is missing.
    """
    if is_remote(address):
        location = _location(address)
        from docsim.engine.postgres.engine import PostgresEngine

        return PostgresEngine(location, folder(address), generation=generation)
    return LocalEngine(Path(address), generation=generation)


def exists(address: str | Path) -> bool:
    """Return whether there is an index at an address, finished or not.

    Raises:
        StoreError: The server of the address cannot be reached.
    """
    if is_remote(address):
        location = _location(address)
        from docsim.engine.postgres import creation

        return creation.exists(location)
    return (Path(address) / INDEX_FILE).is_file()


def is_index(path: Path) -> bool:
    """Return whether a directory is an index, or stands for one in a database, which is not asked."""
    return any((path / name).is_file() for name in (INDEX_FILE, REMOTE_FILE))


def create_engine(
    address: str | Path,
    *,
    encoder: Encoder | None,
    index_type: str | None,
    recall: float | None,
    wait: bool,
) -> None:
    """Make an index where there is none, and choose how it is searched: see ``Index.create``."""
    if is_remote(address):
        location = _location(address)
        from docsim.engine.postgres import creation as remote

        remote.create(location, encoder=encoder, index_type=index_type, recall=recall, wait=wait)
        return
    from docsim.engine.local import creation  # here, because searching does without

    creation.create(Path(address), encoder=encoder, index_type=index_type, recall=recall, wait=wait)


def copy_engine(address: str | Path, target: Path) -> Copied:
    """Copy an index as it is at one moment to a folder that does not exist yet, and verify the copy.

    Others may write to it meanwhile.

    Raises:
        StoreError: There is no finished index, it is damaged, or the copy cannot be written.
        UsageError: The index is in a database.
    """
    if is_remote(address):
        raise UsageError(
            "expected an index in a directory to back up; back up one in PostgreSQL with the database's own tools, or "
            "copy it to a directory",
            hint=f"docsim copy '{shown(address)}' DIR",
        )
    from docsim.engine.local import copying  # here, because searching does without

    return copying.copy(Path(address), target)


@contextmanager
def importer(address: str | Path, *, wait: bool) -> Iterator[Importer]:
    """Copy an index from elsewhere to an address.

    Raises:
        IndexLocked: Another process is writing there and ``wait`` is off.
        StoreError: The place cannot be written to.
    """
    if is_remote(address):
        location = _location(address)
        from docsim.engine.postgres import importing as remote

        with remote.opened(location, wait=wait) as opened:
            yield opened
        return
    from docsim.engine.local import importing  # here, because searching does without

    with importing.opened(Path(address), wait=wait) as made:
        yield made


def check_encoder(encoder: Encoder, generation: Generation, address: str | Path) -> None:
    """Check that an encoder made the embeddings of a generation.

    Raises:
        FingerprintMismatch: It did not.
    """
    if encoder.fingerprint != generation.fingerprint:
        address = shown(address)
        raise FingerprintMismatch(
            f"the index at {address} answers only with its own encoder, {generation.encoder} (fingerprint "
            f"{generation.fingerprint[:12]}); found {encoder.name} (fingerprint {encoder.fingerprint[:12]}) at "
            f"{encoder.path}",
            hint=f"docsim reindex --index {shlex.quote(address)} --encoder {encoder.path}",
        )
