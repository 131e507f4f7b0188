"""Documents are encoded passage by passage, together, and every document gets its own rows back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from docsim.encoding.documents import encode_documents, encode_passages
from docsim.encoding.encoder import Encoder
from docsim.ingest import passages
from docsim.models import Document, Passage

LONG = "The cat sleeps under a warm lamp. " * 100


@pytest.fixture(scope="module")
def tiny(tiny_encoder_dir: Path) -> Encoder:
    return Encoder.load(tiny_encoder_dir)


def test_a_short_document_is_encoded_with_its_title(tiny: Encoder) -> None:
    (rows,) = encode_documents(tiny, [Document("keys", "rotate the keys", title="Signing")])
    np.testing.assert_allclose(rows, tiny.encode(["Signing\nrotate the keys"]), atol=1e-6)


def test_a_document_without_a_title_is_encoded_by_its_text_alone(tiny: Encoder) -> None:
    (rows,) = encode_documents(tiny, [Document("keys", "rotate the keys")])
    np.testing.assert_allclose(rows, tiny.encode(["rotate the keys"]), atol=1e-6)


def test_a_document_without_text_is_encoded_by_its_title(tiny: Encoder) -> None:
    (rows,) = encode_documents(tiny, [Document("empty", " \n", title="Signing keys")])
    np.testing.assert_allclose(rows, tiny.encode(["Signing keys\n"]), atol=1e-6)


def test_every_passage_of_a_long_document_has_a_row(tiny: Encoder) -> None:
    spans = passages.split(LONG)
    (rows,) = encode_documents(tiny, [Document("long", LONG, title="Cats")])
    assert len(spans) > 1
    expected = tiny.encode([f"Cats\n{LONG[span.start : span.end]}" for span in spans])
    np.testing.assert_allclose(rows, expected, atol=1e-6)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(counts=st.lists(st.integers(0, 40), max_size=6))
def test_documents_encoded_together_are_encoded_as_each_alone(tiny: Encoder, counts: list[int]) -> None:
    documents = [Document(str(n), f"word{n} lamp train. " * 10 * count) for n, count in enumerate(counts)]
    together = encode_documents(tiny, documents)
    assert len(together) == len(documents)
    for document, rows in zip(documents, together, strict=True):
        np.testing.assert_allclose(rows, encode_documents(tiny, [document])[0], atol=1e-6)


def test_only_the_passages_asked_for_are_encoded(tiny: Encoder) -> None:
    document = Document("d", "boil lentils, then book a train", title="Plan")
    chosen = [Passage(19, 31), Passage(0, 12)]
    (rows,) = encode_passages(tiny, [(document, chosen)])
    np.testing.assert_allclose(rows, tiny.encode(["Plan\nbook a train", "Plan\nboil lentils"]), atol=1e-6)


def test_a_document_without_passages_gets_no_rows(tiny: Encoder) -> None:
    first, none, last = encode_passages(
        tiny,
        [
            (Document("a", "cat"), [Passage(0, 3)]),
            (Document("b", "dog"), []),
            (Document("c", "train"), [Passage(0, 5)]),
        ],
    )
    assert none.shape == (0, tiny.dim)
    np.testing.assert_allclose(np.concatenate([first, last]), tiny.encode(["cat", "train"]), atol=1e-6)


def test_no_documents_give_no_arrays(tiny: Encoder) -> None:
    assert encode_documents(tiny, []) == []
