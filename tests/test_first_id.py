"""Tokenizers give up id 0 for padding, and keep every other id."""

from __future__ import annotations

import pytest
from tiny_bert import teacher_tokenizer
from tiny_models import byte_pairs, pieces, word_pieces
from tokenizers import Tokenizer

pytest.importorskip("keras")

from docsim.training.imports.first_id import first_id_freed, highest_id, lowercased, unknown_id

pytestmark = pytest.mark.training

TEXTS = ["", "soup", "How do we rotate the KEYS?", "a <s> b </s> <pad> [PAD] \u4e2d", " two  blanks "]
MAKERS = [teacher_tokenizer, byte_pairs, pieces, word_pieces]


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("above", [1, 7])
def test_only_id_0_changes(make: type[Tokenizer], above: int) -> None:
    tokenizer = make()
    new = highest_id(tokenizer) + above
    freed = first_id_freed(tokenizer, new)
    for text in TEXTS:
        before, after = tokenizer.encode(text), freed.encode(text)
        assert after.ids == [id or new for id in before.ids]
        assert after.offsets == before.offsets
        assert freed.encode(text, add_special_tokens=False).ids == [
            id or new for id in tokenizer.encode(text, add_special_tokens=False).ids
        ]


@pytest.mark.parametrize("make", MAKERS)
def test_a_freed_tokenizer_survives_its_file(make: type[Tokenizer]) -> None:
    freed = first_id_freed(make(), 5000)
    again = Tokenizer.from_str(freed.to_str())
    assert [again.encode(text).ids for text in TEXTS] == [freed.encode(text).ids for text in TEXTS]


def test_texts_are_put_in_lower_case_first() -> None:
    tokenizer = byte_pairs()
    assert lowercased(tokenizer).encode("THE Soup").ids == tokenizer.encode("the soup").ids


@pytest.mark.parametrize(("make", "token"), [(teacher_tokenizer, "[UNK]"), (byte_pairs, "<unk>"), (pieces, "<unk>")])
def test_the_id_of_unknown_words_is_found(make: type[Tokenizer], token: str) -> None:
    tokenizer = make()
    assert unknown_id(tokenizer) == tokenizer.token_to_id(token)
