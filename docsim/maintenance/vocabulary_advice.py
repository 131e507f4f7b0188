"""Advice on vocabulary: whether the encoder knows the language of an index, and what to do if it does not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from docsim.encoding import shipped
from docsim.encoding.encoder import TOKENIZER_FILE, Encoder, read_manifest
from docsim.encoding.spelling import MOST_SPELLED_OUT
from docsim.engine.retrying import retried
from docsim.errors import EncoderError
from docsim.index import Index
from docsim.search.fusion import MOST_UNKNOWN
from docsim.search.vocabulary import spelled_out_in_index, unknown_in_index

__all__ = ["Vocabulary", "advice", "read_vocabulary", "suits"]

_IMPORT = "docsim encoder import, then docsim reindex --encoder"


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """How well the vocabulary of an index's encoder knows the documents, by a sample of them.

    Attributes:
        unknown: The share of the documents' tokens that it does not know, in [0, 1].
        spelled_out: The share of their words that it spells out letter by letter, or does not know, in [0, 1].
        is_replaced: Whether ``docsim adapt`` makes a vocabulary of the documents where this one does not suit them. It
            does so once, and in the place of a shipped vocabulary only.
    """

    unknown: float
    spelled_out: float
    is_replaced: bool


@retried
def read_vocabulary(index: Index) -> Vocabulary | None:
    """Return how well the encoder of an index knows its documents; None if the encoder cannot be read."""
    try:
        with index.engine.snapshot(encoder=True) as snapshot:
            base = read_manifest(index.engine.base_directory(snapshot.generation.number))
            is_shipped = base.get("fingerprint") in shipped.fingerprints()
            return Vocabulary(
                unknown_in_index(snapshot),
                spelled_out_in_index(snapshot),
                is_shipped and _tokenizer(base) == _tokenizer(snapshot.encoder.manifest),
            )
    except EncoderError:
        return None


def _tokenizer(manifest: Mapping[str, Any]) -> str | None:
    """Return the digest of an encoder's tokenizer."""
    found: str | None = manifest.get("files", {}).get(TOKENIZER_FILE)
    return found


@retried
def suits(index: Index, base: Encoder) -> bool:
    """Return whether an index is adapted with the vocabulary of an encoder, and not with one of the documents' own.

    A shipped encoder whose vocabulary would spell out the documents does not suit them. Others were chosen by the user.
    """
    if base.fingerprint not in shipped.fingerprints():
        return True
    with index.engine.snapshot() as snapshot:
        return spelled_out_in_index(snapshot, base) < MOST_SPELLED_OUT


def advice(found: Vocabulary | None) -> str | None:
    """Return what to do about a vocabulary, a sentence; None where nothing needs to be done."""
    if found is None:
        return None
    if found.spelled_out < MOST_SPELLED_OUT:
        return None if found.unknown < MOST_UNKNOWN else _of_unknown(found.unknown)
    told = (
        f"the encoder's vocabulary spells out {found.spelled_out:.0%} of the documents' words letter by letter, or "
        "does not know them, so documents are hardly found by meaning; "
    )
    if found.is_replaced:
        return (
            f"{told}docsim adapt makes a vocabulary of these documents. Better still is an encoder that knows their "
            f"languages: {_IMPORT}"
        )
    return f"{told}better is an encoder that knows their languages: {_IMPORT}"


def _of_unknown(share: float) -> str:
    return (
        f"the encoder's vocabulary does not know {share:.0%} of the documents' tokens, so documents are found by their "
        f"words, and hardly by meaning; better is an encoder that knows them: {_IMPORT}"
    )
