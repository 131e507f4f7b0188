"""Opening: from the address of an index to the engine that keeps it.

An address is a directory today. An engine for other addresses has its place here.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from docsim.engine.base import Engine
from docsim.engine.local.engine import LocalEngine
from docsim.errors import FingerprintMismatch
from docsim.files import INDEX_FILE

if TYPE_CHECKING:
    from docsim.encoding.encoder import Encoder
    from docsim.engine.records import Copied, Generation

__all__ = ["check_encoder", "copy_engine", "create_engine", "exists", "open_engine"]


def open_engine(address: str | Path, *, generation: int | None = None) -> Engine:
    """Open an index.

    Args:
        address: The index's directory.
        generation: Number of the generation to read, whatever its state; the live one when not given.

    Raises:
        StoreError: There is no index, or it is damaged.
    """
    return LocalEngine(Path(address), generation=generation)


def exists(address: str | Path) -> bool:
    """Return whether there is an index at an address, finished or not."""
    return (Path(address) / INDEX_FILE).is_file()


def create_engine(
    address: str | Path,
    *,
    encoder: Encoder | None,
    index_type: str | None,
    recall: float | None,
    wait: bool,
) -> None:
    """Make an index where there is none, and choose how it is searched: see ``Index.create``."""
    from docsim.engine.local import creation  # here, because searching does without

    creation.create(Path(address), encoder=encoder, index_type=index_type, recall=recall, wait=wait)


def copy_engine(address: str | Path, target: Path) -> Copied:
    """Copy an index as it is at one moment to a folder that does not exist yet, and verify the copy.

    Others may write to it meanwhile.

    Raises:
        StoreError: There is no finished index, it is damaged, or the copy cannot be written.
    """
    from docsim.engine.local import copying  # here, because searching does without

    return copying.copy(Path(address), target)


def check_encoder(encoder: Encoder, generation: Generation, address: str | Path) -> None:
    """Check that an encoder made the embeddings of a generation.

    Raises:
        FingerprintMismatch: It did not.
    """
    if encoder.fingerprint != generation.fingerprint:
        raise FingerprintMismatch(
            f"the index at {address} answers only with its own encoder, {generation.encoder} (fingerprint "
            f"{generation.fingerprint[:12]}); found {encoder.name} (fingerprint {encoder.fingerprint[:12]}) at "
            f"{encoder.path}",
            hint=f"docsim reindex --index {address} --encoder {encoder.path}",
        )
