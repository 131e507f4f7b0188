"""Documents are encoded passage by passage, together, and every document gets its own rows back."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from docsim.encoding.documents import encode_documents, encode_passages, encode_texts, kept_embeddings
from docsim.encoding.encoder import Encoder
from docsim.encoding.manifest import Preprocessing, fingerprint
from docsim.index import Index
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


def test_what_an_index_keeps_is_the_same_in_half_precision(tiny: Encoder) -> None:
    items = [(document, passages.split(document.text)) for document in (Document("a", LONG), Document("b", "cat"))]
    kept = kept_embeddings(tiny, items)
    for rows, full in zip(kept, encode_passages(tiny, items), strict=True):
        assert rows.dtype == np.float16
        np.testing.assert_array_equal(rows, full.astype(np.float16))


class _Counted(list[str]):
    """Texts that remember the most characters that were asked for at once."""

    most = 0

    def __getitem__(self, place: Any) -> Any:
        found = super().__getitem__(place)
        self.most = max(self.most, sum(map(len, found)))
        return found


def test_texts_are_asked_for_some_at_a_time(tiny: Encoder) -> None:
    texts = _Counted(["the cat sleeps " * 60] * 2_000)
    rows = np.zeros((len(texts), tiny.dim), np.float16)
    tiny.encode_into(rows, texts)
    assert 0 < texts.most < 500_000
    np.testing.assert_array_equal(rows, np.repeat(tiny.encode(texts[:1]).astype(np.float16), len(texts), axis=0))


def test_no_documents_give_no_arrays(tiny: Encoder) -> None:
    assert encode_documents(tiny, []) == []


@pytest.fixture
def prefixed(tiny: Encoder, tmp_path: Path) -> Encoder:
    """Return the tiny encoder with a prefix for questions and another one for documents."""
    path = shutil.copytree(tiny.path, tmp_path / "prefixed")
    manifest = json.loads((path / "manifest.json").read_text(encoding="utf-8"))
    manifest["preprocessing"] |= {"query_prefix": "search keys: ", "document_prefix": "page text: "}
    preprocessing = Preprocessing(**manifest["preprocessing"])
    manifest["fingerprint"] = fingerprint(
        manifest["files"], preprocessing=preprocessing, max_tokens=manifest["max_tokens"]
    )
    (path / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    return Encoder.load(path)


def test_a_prefix_stands_before_the_title_of_a_document(tiny: Encoder, prefixed: Encoder) -> None:
    (rows,) = encode_documents(prefixed, [Document("keys", "rotate the keys", title="Signing")])
    np.testing.assert_allclose(rows, tiny.encode(["page text: Signing\nrotate the keys"]), atol=1e-6)


def test_a_prefix_stands_before_every_passage(tiny: Encoder, prefixed: Encoder) -> None:
    (rows,) = encode_documents(prefixed, [Document("long", LONG)])
    texts = [f"page text: {LONG[span.start : span.end]}" for span in passages.split(LONG)]
    np.testing.assert_allclose(rows, tiny.encode(texts), atol=1e-6)


def test_questions_have_a_prefix_of_their_own(tiny: Encoder, prefixed: Encoder) -> None:
    wanted = tiny.encode(["search keys: boil the lentils"])
    (rows,) = encode_documents(prefixed, [Document("query", "boil the lentils")], role="query")
    np.testing.assert_allclose(rows, wanted, atol=1e-6)
    np.testing.assert_allclose(encode_texts(prefixed, ["boil the lentils"], role="query"), wanted, atol=1e-6)


def test_an_index_puts_prefixes_before_both_sides(tiny: Encoder, prefixed: Encoder, tmp_path: Path) -> None:
    with Index.create(tmp_path / "index", encoder=prefixed) as index:
        index.sync(
            [Document("lentils", "boil the lentils until soft"), Document("train", "book a ticket for the train")]
        )
        found = {hit.id: hit.similarity for hit in index.search("boil lentils", mode="dense").hits}
        stored = index.similar("lentils", mode="dense").hits[0].similarity
        reasons = index.explain(Document("query", "boil lentils"), "lentils")
    asked = tiny.encode(["search keys: boil lentils"])[0]
    first, second = tiny.encode(["page text: boil the lentils until soft", "page text: book a ticket for the train"])
    assert (found["lentils"], found["train"]) == pytest.approx((float(asked @ first), float(asked @ second)), abs=2e-3)
    assert stored == pytest.approx(float(first @ second), abs=2e-3)
    assert reasons.similarity == pytest.approx(float(asked @ first), abs=2e-3)
    assert [word.text for word in reasons.pairs[0].a.words] == ["boil", "lentils"]
    assert [(word.text, word.start) for word in reasons.pairs[0].b.words][:2] == [("boil", 0), ("the", 5)]
