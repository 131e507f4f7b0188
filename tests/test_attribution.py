"""Attribution: contributions of words to a similarity, exact where the tower is a sum of token vectors."""

from __future__ import annotations

import json
import shutil
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from docsim.analysis.attribution import Attribution
from docsim.encoding.encoder import Encoder, Preprocessing, fingerprint

SOUP = "Boil the lentils until the soup is soft."
COOK = "How do you cook lentil-soup in water?"
ANY_TEXT = st.one_of(st.text(max_size=80), st.lists(st.sampled_from(SOUP.split()), max_size=12).map(" ".join))


@pytest.fixture(scope="module")
def encoder(tiny_encoder_dir: Path) -> Encoder:
    return Encoder.load(tiny_encoder_dir)


@pytest.fixture(scope="module")
def attribution(encoder: Encoder) -> Attribution:
    return Attribution(encoder)


@pytest.fixture(scope="module")
def transformer(tmp_path_factory: pytest.TempPathFactory) -> Attribution:
    """Of a tiny BERT, which is no sum of token vectors."""
    pytest.importorskip("keras")
    from tiny_bert import write_teacher

    from docsim.training.imports.importing import import_encoder

    folder = tmp_path_factory.mktemp("bert")
    return Attribution(import_encoder(write_teacher(folder / "original"), folder / "imported"))


def test_an_average_tower_is_explained_exactly(attribution: Attribution) -> None:
    assert attribution.exact


def test_a_transformer_is_not(transformer: Attribution) -> None:
    assert not transformer.exact


@settings(max_examples=60, deadline=None)
@given(a=ANY_TEXT, b=ANY_TEXT)
def test_contributions_of_either_text_sum_to_the_encoder_s_similarity(
    encoder: Encoder, attribution: Attribution, a: str, b: str
) -> None:
    rows = encoder.encode([a, b])
    found = attribution.of(a, b)
    expected = pytest.approx(float(rows[0] @ rows[1]), abs=1e-5)
    assert found.similarity == expected
    assert sum(word.contribution for word in found.a) == expected
    assert sum(word.contribution for word in found.b) == expected


@settings(max_examples=60, deadline=None)
@given(text=ANY_TEXT)
def test_words_slice_back_to_the_text_in_order_without_overlap(attribution: Attribution, text: str) -> None:
    words = attribution.of(text, SOUP).a
    assert [text[word.start : word.end] for word in words] == [word.text for word in words]
    assert all(one.end <= other.start for one, other in pairwise(words))


def test_words_are_whole_though_the_tokenizer_splits_them(attribution: Attribution) -> None:
    words = [word.text for word in attribution.of(COOK, SOUP).a]
    assert words == ["How", "do", "you", "cook", "lentil", "-", "soup", "in", "water", "?"]


def test_links_add_up_pairs_of_words_wherever_they_stand(encoder: Encoder, attribution: Attribution) -> None:
    soup, text = encoder.encode(["soup", "soup soup"])
    assert soup == pytest.approx(text, abs=1e-6)
    (link,) = attribution.of("Soup", "soup SOUP").links
    assert (link.a, link.b) == ("soup", "soup")
    assert link.contribution == pytest.approx(1.0, abs=1e-6)


def test_a_pair_contributes_the_product_of_the_words_vectors_over_the_texts_lengths(attribution: Attribution) -> None:
    tokens = [attribution.encoder.tokens(word)[0] for word in ("book", "ticket", "train")]
    book, ticket, train = attribution._token_vectors(tokens)
    expected = train @ ticket / (np.linalg.norm(book + ticket) * np.linalg.norm(train))
    words = attribution.of("book ticket", "train").a
    assert words[1].contribution == pytest.approx(expected, abs=1e-9)


def test_words_that_are_damped_when_repeated_are_still_added_up_exactly(tiny_encoder_dir: Path, tmp_path: Path) -> None:
    path = tmp_path / "damped"
    shutil.copytree(tiny_encoder_dir, path)
    manifest = json.loads((path / "manifest.json").read_text())
    manifest["preprocessing"]["damped"] = True
    preprocessing = Preprocessing(**manifest["preprocessing"])
    manifest["fingerprint"] = fingerprint(
        manifest["files"], preprocessing=preprocessing, max_tokens=manifest["max_tokens"]
    )
    (path / "manifest.json").write_text(json.dumps(manifest))
    attribution = Attribution(Encoder.load(path))
    text, other = "soup soup soup soup boil the lentils", "cook soup"
    found = attribution.of(text, other)
    rows = attribution.encoder.encode([text, other])
    assert attribution.exact
    assert found.similarity == pytest.approx(float(rows[0] @ rows[1]), abs=1e-6)
    assert sum(word.contribution for word in found.a) == pytest.approx(found.similarity, abs=1e-9)
    assert len({round(word.contribution, 9) for word in found.a if word.text == "soup"}) == 1


def test_elsewhere_a_word_contributes_what_is_lost_without_it(transformer: Attribution) -> None:
    rows = transformer.encoder.encode(["boil soup soft", "boil  soft", "cook soup"])
    found = transformer.of("boil soup soft", "cook soup")
    assert found.similarity == pytest.approx(rows[0] @ rows[2], abs=1e-6)
    assert [word.text for word in found.a] == ["boil", "soup", "soft"]
    assert found.a[1].contribution == pytest.approx(rows[0] @ rows[2] - rows[1] @ rows[2], abs=1e-5)


def test_elsewhere_occurrences_of_a_word_share_what_is_lost(transformer: Attribution) -> None:
    encoder = transformer.encoder
    text = "soup and Soup"
    rows = encoder.encode([text, " and ", "cook"])
    first, _, last = transformer.of(text, "cook").a
    assert first.contribution == last.contribution == pytest.approx((rows[0] - rows[1]) @ rows[2] / 2, abs=1e-5)
