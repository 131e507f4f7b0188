from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from docsim import Document, Encoder, Index
from docsim.models import MODES
from docsim.search import vocabulary
from docsim.search.query_terms import is_sentence

JAPANESE = ["育児休業を申請する方法", "電車の切符の精算", "署名鍵を更新する手順", "会議室の予約について"]


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return Encoder.default()


@pytest.fixture(scope="module")
def index(encoder: Encoder, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    with Index.create(tmp_path_factory.mktemp("unknown") / "index", encoder=encoder) as made:
        made.sync(Document(str(i), text * 3) for i, text in enumerate(JAPANESE))
        yield made


def test_texts_tell_how_much_of_them_the_vocabulary_does_not_know(encoder: Encoder) -> None:
    unknown = encoder.tokens("龘")[0].id
    for text in ("claim a ticket", "育児休業を申請する方法", "claim 龘 龘 龘"):
        ids = [token.id for token in encoder.tokens(text)]
        assert encoder.unknown_shares([text])[0] == pytest.approx(ids.count(unknown) / len(ids))
    np.testing.assert_array_equal(encoder.unknown_shares(["", " \n", "龘", "ticket"]), [1, 1, 1, 0])


def test_an_index_tells_how_much_of_it_the_vocabulary_does_not_know(index: Index, encoder: Encoder) -> None:
    with index.engine.snapshot(encoder=True) as snapshot:
        share = vocabulary.unknown_in_index(snapshot)
        assert share == vocabulary.unknown_in_index(snapshot)
    assert share == pytest.approx(encoder.unknown_shares([text * 3 for text in JAPANESE]).mean(), abs=0.05)
    assert share > 0.1


@pytest.mark.parametrize(("question", "id"), [("育児休業", "0"), ("切符", "1"), ("署名鍵", "2"), ("会議室", "3")])
def test_what_the_vocabulary_does_not_know_is_ranked_by_words(index: Index, question: str, id: str) -> None:
    assert index.search(question, 4).hits[0].id == id


def test_texts_of_which_the_encoder_knows_nothing_are_similar_to_nothing(tmp_path: Path, encoder: Encoder) -> None:
    texts = {"blank": "", "unknown": "龘靐齉", "known": "train ticket"}
    with Index.create(tmp_path / "index", encoder=encoder) as made:
        made.sync(Document(id, text, title="龘靐" if id == "blank" else "") for id, text in texts.items())
        for question in ("龘麤", "ticket", "靐 ticket"):
            for mode in MODES:
                found = {hit.id: hit.similarity for hit in made.search(question, mode=mode).hits}
                assert found.get("blank", 0) == found.get("unknown", 0) == 0
        assert made.search("ticket").hits[0].similarity > 0.5
        assert made.search("龘靐齉").hits[0].id == "unknown"


def test_a_question_in_a_sentence_holds_several_small_words() -> None:
    told = ("how do I claim a train ticket", "Wie kann ich das Passwort ändern, wenn es nicht mehr gilt", "who are you")
    assert all(is_sentence(Document("query", text)) for text in told)
    keywords = ("train ticket", "the handbook", "ERR_CONN_REFUSED", "Passwort ändern", "育児休業を申請する方法")
    assert not any(is_sentence(Document("query", text)) for text in keywords)


def test_small_words_count_little_where_few_documents_hold_them(tmp_path: Path, tiny_encoder_dir: Path) -> None:
    texts = {
        "claim": "claim tickets here",
        "how": "how do I do this and how do they",
        "other": "signing keys",
        "more": "soup",
    }
    with Index.create(tmp_path / "index", encoder=Encoder.load(tiny_encoder_dir)) as made:
        made.sync(Document(id, text) for id, text in texts.items())
        assert [hit.id for hit in made.search("how do I claim", mode="lexical").hits] == ["claim", "how"]
