"""What every engine has to do, whatever it is made of: see ``docsim.engine.base``.

The suite runs over the local engine, over PostgreSQL, and over the one of dictionaries in ``dict_engine``. An engine
that is added later joins ``ENGINES``, and has to pass as it is.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from dict_engine import DictEngine
from effort import examples, thorough
from encoder_variants import with_other_dim
from filter_reference import meets
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from postgres_server import server
from tiny_encoder import WORDS
from turned_encoder import turned

from docsim.encoding.documents import encode_documents
from docsim.encoding.encoder import Encoder
from docsim.engine import opening
from docsim.engine.base import Engine, Snapshot, Writer
from docsim.engine.records import Embedded, KnownWord, QueryTerm, RecordedVerdict, SourceName
from docsim.errors import IndexLocked, StoreError, UsageError
from docsim.filters.condition import All, Compare, Condition, Either, Holds, Not, Under
from docsim.index import Index
from docsim.indexing import source_notes
from docsim.ingest import passages
from docsim.models import Document, Failure, Ranking
from docsim.reindex import generations, instant, reindexing
from docsim.reindex.building import Build
from docsim.reindex.examination import GateOptions

Make = Callable[[Path, Encoder], Engine]


def local(folder: Path, encoder: Encoder) -> Engine:
    path = folder / "index"
    opening.create_engine(path, encoder=encoder, index_type=None, recall=None, wait=False)
    return opening.open_engine(path)


def postgres(folder: Path, encoder: Encoder) -> Engine:
    address = server().address()
    opening.create_engine(address, encoder=encoder, index_type=None, recall=None, wait=False)
    return opening.open_engine(address)


ENGINES: dict[str, Make] = {"local": local, "dict": DictEngine.create, "postgres": postgres}


@pytest.fixture(scope="module")
def encoder(tiny_encoder_dir: Path) -> Encoder:
    return Encoder.load(tiny_encoder_dir)


@pytest.fixture(scope="module")
def other(tiny_encoder_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    """An encoder of the same similarities whose embeddings are turned."""
    return Encoder.load(turned(tiny_encoder_dir, tmp_path_factory.mktemp("encoders") / "turned"))


@pytest.fixture(scope="module")
def narrow(tiny_encoder_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    """An encoder of 16 components, not 32."""
    return Encoder.load(with_other_dim(tiny_encoder_dir, tmp_path_factory.mktemp("encoders") / "narrow", 16))


@pytest.fixture(params=[*thorough("dict"), *(name for name in ENGINES if name != "dict")])
def make(request: pytest.FixtureRequest) -> Make:
    return ENGINES[request.param]


@pytest.fixture
def engine(make: Make, encoder: Encoder, tmp_path: Path) -> Iterator[Engine]:
    made = make(tmp_path, encoder)
    yield made
    made.close()


def collection(count: int = 60) -> list[Document]:
    """Documents of one to three passages, no two alike, each with a word of its own."""
    random = np.random.default_rng(0)
    found = []
    for i in range(count):
        text = f"code{i}x " + "\n\n".join(" ".join(random.choice(WORDS[15:], 120)) for _ in range(1 + i % 3))
        metadata = {"team": ("sre", "people", "legal")[i % 3], "year": 2000 + i, "open": i % 2 == 0}
        found.append(Document(f"{'ab'[i % 2]}/d{i:02}", text, title=f"Page {i}", metadata=metadata))
    return found


def put(engine: Engine, documents: Sequence[Document]) -> dict[str, int]:
    """Add documents or replace those of the same id, in one transaction; return their numbers by id."""
    rows = encode_documents(engine.encoder, documents)
    numbers = {}
    with engine.writer(wait=False) as writer, writer.transaction():
        source = writer.open_source(None, SourceName("python", f"test {np.random.default_rng().integers(2**62)}", "t"))
        for document, vectors in zip(documents, rows, strict=True):
            embedded = Embedded(document, tuple(passages.split(document.text)), vectors.astype(np.float16))
            number = writer.put(embedded, number=writer.number(document.id))
            writer.link(source, document.id, document_number=number, digest=document.digest())
            numbers[document.id] = number
    return numbers


def remove(engine: Engine, ids: Sequence[str]) -> None:
    with engine.writer(wait=False) as writer, writer.transaction():
        for id in ids:
            number = writer.number(id)
            assert number is not None
            writer.remove(number)


def queries(engine: Engine, texts: Sequence[str]) -> NDArray[np.float32]:
    return np.concatenate(encode_documents(engine.encoder, [Document("q", text) for text in texts]))


def brute_force(snapshot: Snapshot, query: NDArray[np.float32], allowed: Sequence[int]) -> NDArray[np.float32]:
    """The similarities of all passages of some documents to a query, descending."""
    rows = snapshot.embeddings(np.array(sorted(allowed), np.int64))
    return -np.sort(-(np.concatenate(rows).astype(np.float32) @ query))


# Documents


def test_a_new_index_holds_nothing_and_answers(engine: Engine) -> None:
    with engine.snapshot(encoder=True) as snapshot:
        assert (snapshot.counts().documents, snapshot.counts().passages) == (0, 0)
        assert list(snapshot.scan()) == []
        found = snapshot.knn(queries(engine, ["soup"]), 5)
        assert found.exhausted
        assert found.documents.shape == (1, 0)
        assert len(snapshot.text_search([QueryTerm(("soup",))])) == 0
        assert len(snapshot.sample(5)) == 0
    assert Index(engine).search("soup").hits == ()


def test_documents_come_back_as_they_were_given(engine: Engine) -> None:
    metadata = {"n": 1, "x": 1.5, "yes": True, "none": None, "list": [1, "a"], "deep": {"a": {"b": "ü"}}}
    documents = [
        Document(
            "päth/日本 1.md", "Text mit ß und 日本語.\n\nZweiter Absatz.", title="Titel “quoted”", metadata=metadata
        ),
        Document("empty", ""),
        *collection(5),
    ]
    numbers = put(engine, documents)
    with engine.snapshot() as snapshot:
        held = snapshot.documents(list(numbers.values()))
        for document in documents:
            number = snapshot.number(document.id)
            assert number == numbers[document.id] > 0
            assert held[number].document == document
            assert held[number].digest == document.digest()
            spans = snapshot.passages([number])[number]
            assert spans == passages.split(document.text)
            assert held[number].passages == len(spans) == snapshot.passage_counts()[number]
        assert snapshot.counts().documents == len(documents)
        assert snapshot.counts().passages == sum(snapshot.passage_counts().values())


def test_what_is_not_there_is_left_out_or_none(engine: Engine) -> None:
    put(engine, collection(2))
    with engine.snapshot() as snapshot:
        assert snapshot.number("nobody") is None
        assert snapshot.documents([999_999]) == {}
        assert snapshot.passages([999_999]) == {}
        assert snapshot.metadata_values("nothing", list(snapshot.passage_counts())) == {}


def test_a_scan_yields_every_document_by_number_and_cuts_texts_when_asked(engine: Engine) -> None:
    documents = collection(7)
    put(engine, documents)
    with engine.snapshot() as snapshot:
        scanned = list(snapshot.scan())
        cut = list(snapshot.scan(characters=10))
    assert [one.number for one in scanned] == sorted(one.number for one in scanned)
    assert {one.document.id: one.document for one in scanned} == {one.id: one for one in documents}
    assert [one.document.text for one in cut] == [one.document.text[:10] for one in scanned]
    assert [one.digest for one in cut] == [one.digest for one in scanned]


def test_a_changed_document_keeps_its_number_and_loses_its_old_content(engine: Engine) -> None:
    before = put(engine, collection(6))
    changed = Document("a/d00", "Boil lentils until soft.", title="Soup")
    after = put(engine, [changed])
    assert after["a/d00"] == before["a/d00"]
    with engine.snapshot() as snapshot:
        number = before["a/d00"]
        assert snapshot.documents([number])[number].document == changed
        wanted = encode_documents(engine.encoder, [changed])[0].astype(np.float16)
        np.testing.assert_array_equal(snapshot.embeddings(np.array([number]))[0], wanted)
        found = snapshot.knn(queries(engine, ["boil lentils until soft"]), 100)
        assert (found.documents == number).sum() == len(wanted)
        assert snapshot.counts().documents == 6


def test_a_removed_document_is_found_by_nothing(engine: Engine) -> None:
    documents = [*collection(12), Document("a/secret", "zebra crossing", metadata={"team": "zoo"})]
    numbers = put(engine, documents)
    remove(engine, ["a/secret", "a/d04"])
    gone = {numbers["a/secret"], numbers["a/d04"]}
    with engine.snapshot() as snapshot:
        assert snapshot.number("a/secret") is None
        assert not gone & set(snapshot.knn(queries(engine, ["zebra crossing"]), 1000).documents.ravel().tolist())
        assert len(snapshot.text_search([QueryTerm(("zebra",))])) == 0
        assert snapshot.frequencies([QueryTerm(("zebra",))]) == [0]
        assert not gone & {one.number for one in snapshot.scan()}
        assert not gone & set(snapshot.sample(100).tolist())
        assert not gone & set(snapshot.embedded().tolist())
        assert snapshot.matching(Compare(("team",), "=", ("zoo",))) == 0
        with pytest.raises(StoreError):
            snapshot.embeddings(np.array(sorted(gone), np.int64))
        with pytest.raises(StoreError):
            snapshot.stacked(np.array(sorted(gone), np.int64))


def test_a_number_is_never_given_to_another_document(engine: Engine) -> None:
    first = put(engine, collection(4))
    remove(engine, list(first))
    second = put(engine, [Document("new", "something else")])
    assert not set(first.values()) & set(second.values())


def test_metadata_values_tell_kinds_apart(engine: Engine) -> None:
    kinds = {"i": 1, "f": 1.0, "t": "1", "b": True}
    numbers = put(engine, [Document(id, "text", metadata={"v": value}) for id, value in kinds.items()])
    with engine.snapshot() as snapshot:
        values = snapshot.metadata_values("v", list(numbers.values()))
    found = {id: values[number] for id, number in numbers.items()}
    assert found["i"] == found["f"]
    assert len({found["i"][0], found["t"][0], found["b"][0]}) == 3


def test_a_sample_is_the_same_each_time_and_a_larger_one_begins_with_it(engine: Engine) -> None:
    numbers = put(engine, collection(30))
    with engine.snapshot() as snapshot:
        few, more, all = (snapshot.sample(n).tolist() for n in (5, 12, 100))
    with engine.snapshot() as snapshot:
        assert snapshot.sample(5).tolist() == few == more[:5]
    assert more == all[:12]
    assert sorted(all) == sorted(numbers.values())


def test_excerpts_are_pieces_of_title_and_text(engine: Engine) -> None:
    documents = {one.id: one for one in collection(8)}
    numbers = put(engine, list(documents.values()))
    with engine.snapshot() as snapshot:
        found = snapshot.excerpts(list(numbers.values()), 40)
        assert snapshot.excerpts(list(numbers.values()), 40) == found
    for id, number in numbers.items():
        whole = f"{documents[id].title}\n{documents[id].text}"
        somewhere, beginning = found[number]
        assert len(somewhere) >= 40
        assert somewhere in whole
        assert whole.startswith(beginning)


# Vectors


@pytest.mark.parametrize("k", [1, 7, 60, 10_000])
def test_knn_is_brute_force(engine: Engine, k: int) -> None:
    numbers = put(engine, collection())
    asked = queries(engine, ["restore a database backup", "cat and dog"])
    with engine.snapshot() as snapshot:
        found = snapshot.knn(asked, k)
        exact = np.stack([brute_force(snapshot, query, list(numbers.values())) for query in asked])
        total = snapshot.counts().passages
    np.testing.assert_allclose(found.similarities, exact[:, :k], atol=2e-3)
    assert found.documents.shape == found.similarities.shape == (2, min(k, total))
    assert found.exhausted == (k >= total)
    assert set(found.documents.ravel().tolist()) <= set(numbers.values())


@pytest.mark.parametrize(
    "where",
    [
        Compare(("year",), ">=", (2000,)),
        Compare(("team",), "=", ("sre",)),
        Not(Compare(("team",), "=", ("sre",))),
        Compare(("year",), "=", (2042,)),
        Under("a"),
        Compare(("year",), "<", (1999,)),
    ],
    ids=["all", "a third", "the rest", "one", "a path", "none"],
)
def test_a_filter_never_shortens_the_result(engine: Engine, where: Condition) -> None:
    documents = collection()
    numbers = put(engine, documents)
    allowed = [numbers[one.id] for one in documents if meets(where, one)]
    asked = queries(engine, ["restore a database backup"])
    with engine.snapshot() as snapshot:
        assert snapshot.matching(where) == len(allowed)
        held = sum(snapshot.passage_counts()[number] for number in allowed)
        for k in (1, 10, 1000):
            found = snapshot.knn(asked, k, where=where)
            assert found.similarities.shape == (1, min(k, held))
            assert found.exhausted == (k >= held)
            assert set(found.documents.ravel().tolist()) <= set(allowed)
            if allowed:
                exact = brute_force(snapshot, asked[0], allowed)
                np.testing.assert_allclose(found.similarities[0], exact[:k], atol=2e-3)
        words = snapshot.text_search([QueryTerm(("database",)), QueryTerm(("soup",))], where=where)
        assert set(words.best(1000).tolist()) <= set(allowed)


def test_embeddings_come_in_the_order_asked_as_they_were_written(engine: Engine) -> None:
    documents = collection(9)
    numbers = put(engine, documents)
    backwards = list(reversed(documents))
    with engine.snapshot() as snapshot:
        rows = snapshot.embeddings(np.array([numbers[one.id] for one in backwards], np.int64))
        stacked = snapshot.stacked(np.array([numbers[one.id] for one in backwards], np.int64))
        np.testing.assert_array_equal(stacked.rows, np.concatenate(rows))
        assert stacked.counts.tolist() == [len(one) for one in rows]
        assert snapshot.numbers([*numbers, "unheard"]) == numbers
        assert snapshot.embedded().tolist() == sorted(numbers.values())
    for held, wanted in zip(rows, encode_documents(engine.encoder, backwards), strict=True):
        assert held.dtype == np.float16
        np.testing.assert_array_equal(held, wanted.astype(np.float16))


# Words


def test_text_search_finds_the_documents_that_hold_a_word_in_text_or_title(engine: Engine) -> None:
    put(engine, [Document("text", "A zebra crossing."), Document("title", "Stripes.", title="Zebra"), *collection(9)])
    with engine.snapshot() as snapshot:
        found = snapshot.text_search([QueryTerm(("zebra",))])
        ids = {one.document.id for one in snapshot.documents(found.best(10).tolist()).values()}
        everybody = snapshot.embedded()
        scores = found.of(everybody)
    assert ids == {"text", "title"}
    assert len(found) == 2
    assert (scores > 0).sum() == 2
    assert set(everybody[scores > 0].tolist()) == set(found.best(10).tolist())


def test_the_words_of_a_phrase_stand_in_a_row(engine: Engine) -> None:
    numbers = put(engine, [Document("row", "restore the backup"), Document("apart", "the backup is a restore")])
    with engine.snapshot() as snapshot:
        assert snapshot.text_search([QueryTerm(("the", "backup"))]).best(9).tolist() == sorted(numbers.values())
        assert snapshot.text_search([QueryTerm(("restore", "the"))]).best(9).tolist() == [numbers["row"]]
        assert snapshot.frequencies([QueryTerm(("restore", "the")), QueryTerm(("backup",))]) == [1, 2]


def test_a_document_holds_the_terms_by_which_it_is_found(engine: Engine) -> None:
    numbers = put(engine, [Document("one", "restore the backup"), Document("two", "a soup", title="Lentils")])
    words = ["restore", "soup", "lentils", "zebra"]
    terms = [*(QueryTerm((word,)) for word in words), QueryTerm(("the", "backup")), QueryTerm(("backup", "the"))]
    with engine.snapshot() as snapshot:
        assert snapshot.holds(numbers["one"], terms).tolist() == [True, False, False, False, True, False]
        assert snapshot.holds(numbers["two"], terms).tolist() == [False, True, True, False, False, False]
        assert snapshot.holds(max(numbers.values()) + 1, terms).tolist() == [False] * 6
        assert snapshot.holds(numbers["one"], []).tolist() == []


def test_scores_are_sums_over_terms_times_their_weights(engine: Engine) -> None:
    put(engine, collection(30))
    terms = [QueryTerm(("database",)), QueryTerm(("soup",)), QueryTerm(("boil", "lentils"))]
    with engine.snapshot() as snapshot:
        everybody = snapshot.embedded()
        alone = [snapshot.text_search([term]).of(everybody) for term in terms]
        heavy = [QueryTerm(term.words, weight) for term, weight in zip(terms, (1.0, 2.0, 0.5), strict=True)]
        together = snapshot.text_search(heavy)
        np.testing.assert_allclose(
            together.of(everybody), alone[0] + 2 * alone[1] + 0.5 * alone[2], rtol=1e-5, atol=1e-6
        )
        best = together.best(1000)
        ranked = together.of(best)
    assert len(together) == len(best)
    assert (np.diff(ranked) <= 0).all()


def test_counting_stops_where_it_may(engine: Engine) -> None:
    put(engine, [Document(str(i), "the same word everywhere") for i in range(20)])
    with engine.snapshot() as snapshot:
        term = QueryTerm(("same",))
        assert snapshot.frequencies([term], at_most=1) == [1]
        assert snapshot.frequencies([term], at_most=7) == [7]
        assert snapshot.frequencies([term]) == [20]
        assert snapshot.frequencies([term], at_most=100) == [20]
        assert snapshot.frequencies([QueryTerm(("other",))], at_most=5) == [0]


def test_words_of_one_stem_are_counted_together(engine: Engine) -> None:
    put(engine, [Document("a", "Zebra"), Document("b", "zebra zebra"), Document("c", "lion")])
    with engine.snapshot() as snapshot:
        stems = snapshot.stems(["zebra", "Zebra".casefold(), "lion", "unheard"])
        counts = snapshot.stem_frequencies(sorted(set(stems.values())))
    assert counts[stems["zebra"]] == 2
    assert counts[stems["lion"]] == 1
    assert stems["unheard"] not in counts


HELD = [
    Holds(("backup",)),
    Holds(("restore", "the")),
    Holds(("the", "backup")),
    Holds(("user", "guide"), in_title=True),
    Holds(("guide",), in_title=True),
    Holds(("guide", "restore")),
    Holds(("nowhere",)),
    Holds(("back",), beginning=True),
    Holds(("gu",), in_title=True, beginning=True),
    Holds(("zz",), beginning=True),
]
"""What documents may hold; "guide restore" is where a title ends and its text begins."""

WORDED = [
    Document("a", "restore the backup", title="User guide", metadata={"team": "sre"}),
    Document("b", "backups and a guide for users", metadata={"team": "sre"}),
    Document("c", "The backup is the back of it all.", title="Guides"),
    Document("d", "nothing of that"),
]


def test_documents_hold_words_in_a_row_in_title_or_text(engine: Engine) -> None:
    put(engine, [*WORDED[1:], replace(WORDED[0], text="something else")])
    put(engine, WORDED[:1])
    remove(engine, ["d"])
    team = Compare(("team",), "=", ("sre",))
    query = queries(engine, ["backup"])
    terms = [QueryTerm(("backup",)), QueryTerm(("guide",))]
    with engine.snapshot() as snapshot:
        for held in HELD:
            for where in (
                held,
                Not(held),
                All((team, Not(held))),
                Either((team, held)),
                Not(Either((Not(team), held))),
            ):
                wanted = {snapshot.number(one.id) for one in WORDED[:3] if meets(where, one)}
                assert snapshot.matching(where) == len(wanted), where
                assert set(snapshot.knn(query, 9, where=where).documents[0].tolist()) == wanted
                assert set(snapshot.text_search(terms, where=where).best(9).tolist()) <= wanted


def test_the_beginning_of_words_is_searched_for_like_one_word(engine: Engine) -> None:
    fillers = [Document(f"filler {i}", f"number {i}") for i in range(9)]
    numbers = put(engine, [*WORDED, Document("e", "backup backups backing"), *fillers])
    with engine.snapshot() as snapshot:
        term = QueryTerm(("back",), beginning=True)
        found = snapshot.text_search([term])
        assert set(found.best(99).tolist()) == {numbers[id] for id in "abce"}
        assert snapshot.frequencies([term, QueryTerm(("zz",), beginning=True)]) == [4, 0]
        assert found.best(1).tolist() == [numbers["e"]]
        assert len(snapshot.text_search([term], where=Compare(("team",), "=", ("sre",)))) == 2


def test_words_that_are_few_letters_apart_are_found_and_counted(engine: Engine) -> None:
    put(engine, [*WORDED, Document("e", "bakcup backup nackup backing packup", metadata={"team": "sre"})])
    remove(engine, ["d"])
    with engine.snapshot() as snapshot:
        near = snapshot.words_like("bakcup", edits=1, most=9)
        assert near == [KnownWord("bakcup", 1), KnownWord("backup", 3, 1)]
        assert snapshot.words_like("bakcup", edits=2, most=9)[2:] == [
            KnownWord("backups", 1, 2),
            KnownWord("nackup", 1, 2),
            KnownWord("packup", 1, 2),
        ]
        assert snapshot.words_like("bakcup", edits=1, most=1) == near[:1]
        sre = Compare(("team",), "=", ("sre",))
        assert snapshot.words_like("bacup", edits=1, most=9, where=sre) == [
            KnownWord("backup", 2, 1),
            KnownWord("bakcup", 1, 1),
        ]
        assert snapshot.words_like("noting", edits=1, most=9) == []


def test_words_that_begin_alike_are_counted_over_the_documents_that_may_be_found(engine: Engine) -> None:
    put(engine, [*WORDED, Document("e", "backup guides")])
    remove(engine, ["d"])
    with engine.snapshot() as snapshot:
        every = snapshot.words_beginning("gui", most=9)
        assert every == [KnownWord("guide", 2), KnownWord("guides", 2)]
        assert snapshot.words_beginning("gui", most=1) == every[:1]
        sre = Compare(("team",), "=", ("sre",))
        assert snapshot.words_beginning("gui", most=9, where=sre) == [KnownWord("guide", 2)]
        assert snapshot.words_beginning("noth", most=9) == []


# States and transactions


def test_a_snapshot_sees_one_state_whatever_is_written_meanwhile(engine: Engine) -> None:
    put(engine, collection(5))
    with engine.snapshot() as before:
        revision = before.revision
        writing = threading.Thread(target=put, args=(engine, [Document("late", "zebra")]))
        writing.start()
        writing.join()
        assert before.number("late") is None
        assert before.counts().documents == 5
        assert len(before.text_search([QueryTerm(("zebra",))])) == 0
        assert before.revision == revision
    with engine.snapshot() as after:
        assert after.number("late") is not None
        assert after.revision > revision
        assert len(after.text_search([QueryTerm(("zebra",))])) == 1
        assert after.knn(queries(engine, ["zebra"]), 1).documents[0, 0] == after.number("late")


def test_a_transaction_is_committed_whole_or_not_at_all(engine: Engine) -> None:
    numbers = put(engine, collection(4))
    with engine.snapshot() as snapshot:
        revision = snapshot.revision

    def fails() -> None:
        with engine.writer(wait=False) as writer, writer.transaction():
            writer.remove(numbers["a/d00"])
            writer.open_source(None, SourceName("python", "half", "half"))
            raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"):
        fails()
    with engine.snapshot() as snapshot:
        assert snapshot.revision == revision
        assert snapshot.counts().documents == 4
        assert len(snapshot.embeddings(np.array([numbers["a/d00"]]))) == 1
    assert "half" not in [one.source.name for one in engine.sources().sources()]


def test_there_is_one_writer_one_rebuilder_and_one_trainer_at_a_time(engine: Engine) -> None:
    with engine.writer(wait=False), pytest.raises(IndexLocked), engine.writer(wait=False):
        pass
    assert not engine.is_rebuilding()
    with engine.rebuilder(wait=False):
        assert engine.is_rebuilding()
        with pytest.raises(IndexLocked), engine.rebuilder(wait=False):
            pass
        put(engine, collection(2))  # a writer may write meanwhile
    with engine.training(wait=False), pytest.raises(IndexLocked), engine.training(wait=False):
        pass
    assert Index(engine).counts().documents == 2


# Sources


def test_a_path_stands_for_a_document_until_it_is_unlinked(engine: Engine) -> None:
    with engine.writer(wait=False) as writer:
        with writer.transaction():
            number = put_one(engine, writer, Document("shared", "text"))
            sources = [
                writer.open_source(None, SourceName("folder", f"/somewhere/{name}", name)) for name in ("one", "two")
            ]
            for source in sources:
                writer.link(source, "shared", document_number=number, digest="d")
        assert [one.source_number for one in writer.holders(number)] == sources
        assert writer.origin(sources[0], "shared") is not None
        assert writer.paths(sources[1]) == ["shared"]
        with writer.transaction():
            assert not writer.unlink(sources[0], "shared")
        assert writer.number("shared") == number
        with writer.transaction():
            assert writer.unlink(sources[1], "shared")
        assert writer.number("shared") is None
    assert Index(engine).counts().documents == 0


def put_one(engine: Engine, writer: Writer, document: Document) -> int:
    rows = encode_documents(engine.encoder, [document])[0].astype(np.float16)
    return writer.put(Embedded(document, tuple(passages.split(document.text)), rows), number=None)


def test_a_claim_forgets_paths_that_read_differently_and_a_link_releases_what_stood_there(engine: Engine) -> None:
    with engine.writer(wait=False) as writer, writer.transaction():
        source = writer.open_source(None, SourceName("folder", "/somewhere", "s"))
        old, new = (put_one(engine, writer, Document(id, id)) for id in ("old", "new"))
        writer.link(source, "path", document_number=old, digest="1")
        writer.link(source, "other", document_number=new, digest="1")
        writer.link(source, "path", document_number=new, digest="2")
        assert writer.number("old") is None  # nothing stood for it any longer
        writer.link(source, "same", document_number=new, digest="2")
        assert writer.disputed() == [new]
        writer.claim(source, "path", document_number=new, digest="2")
        assert sorted(one.path for one in writer.holders(new)) == ["path", "same"]
        assert writer.disputed() == []


def test_a_source_is_finished_and_its_failures_are_listed_until_they_are_read(engine: Engine) -> None:
    with engine.writer(wait=False) as writer:
        with writer.transaction():
            source = writer.open_source(None, SourceName("folder", "/somewhere", "s"))
        assert engine.sources().sources()[0].finished is None
        with writer.transaction():
            writer.close_source(source, [Failure("b.pdf", "is damaged"), Failure("a.pdf", "is empty")])
        assert [(one.path, one.reason) for one in engine.sources().failures()] == [
            ("a.pdf", "is empty"),
            ("b.pdf", "is damaged"),
        ]
        assert engine.sources().sources()[0].finished is not None
        with writer.transaction():
            number = put_one(engine, writer, Document("a.pdf", "text"))
            writer.link(source, "a.pdf", document_number=number, digest="d")
        assert [one.path for one in engine.sources().failures()] == ["b.pdf"]
        assert engine.sources().sources()[0].documents == 1
    assert engine.sources().read_from(Path("/somewhere/a.pdf")) == number
    assert engine.sources().read_from(Path("/elsewhere/a.pdf")) is None


def test_a_path_is_read_once_its_source_was_read_to_its_end_and_it_did_not_fail(engine: Engine) -> None:
    def read() -> list[bool]:
        found = engine.sources()
        return [one.read is not None for number in numbers for one in found.holders(number)]

    with engine.writer(wait=False) as writer:
        with writer.transaction():
            source = writer.open_source(None, SourceName("folder", "/somewhere", "s"))
            numbers = [put_one(engine, writer, Document(id, "text")) for id in ("a", "b")]
            for id, number in zip(("a", "b"), numbers, strict=True):
                writer.link(source, id, document_number=number, digest="d")
        assert read() == [False, False]
        with writer.transaction():
            writer.close_source(source, [Failure("b", "is damaged")])
        assert read() == [True, False]
        begun = engine.sources().holders(numbers[0])[0].read
        assert begun == engine.sources().sources()[0].started
        with writer.transaction():
            writer.open_source(source, SourceName("folder", "/somewhere", "s"))
        assert read() == [False, False]


def test_a_source_is_forgotten_with_what_is_noted_of_how_it_was_read(engine: Engine) -> None:
    with engine.writer(wait=False) as writer:
        with writer.transaction():
            sources = [writer.open_source(None, SourceName("folder", f"/{name}", name)) for name in ("one", "two")]
        for source in sources:
            source_notes.keep(engine, source, reading='{"hidden": false}', left_out=())
            source_notes.keep_files(engine, source, "files")
        with writer.transaction():
            assert writer.forget_source(sources[1]) == 0
    assert [source_notes.note(engine, source).reading for source in sources] == ['{"hidden": false}', ""]
    assert [source_notes.files(engine, source) for source in sources] == ["files", ""]


# Generations


def test_a_generation_is_built_published_rolled_back_and_removed(engine: Engine, other: Encoder) -> None:
    documents = collection(20)
    put(engine, documents)
    first = engine.generation()
    with engine.rebuilder(wait=False) as rebuilder:
        new = rebuilder.begin(other, base=engine.encoder)
        assert (new.state, new.fingerprint, new.dim) == ("building", other.fingerprint, other.dim)
        assert engine.generation() == first
        with pytest.raises(StoreError):
            rebuilder.publish(new.number, lambda: 0)
        assert rebuilder.missing(new.number) == len(documents)
        assert Build(rebuilder, new, batch=Index.batch).run() == len(documents)
        assert rebuilder.missing(new.number) == 0
        with engine.snapshot() as snapshot:
            assert snapshot.fingerprint == first.fingerprint
        rebuilder.record(new.number, RecordedVerdict(True, True, {"nDCG@10": 0.5}, "judged queries"))
        assert rebuilder.publish(new.number, lambda: 0) == 0
        assert rebuilder.live().number == new.number
        assert [one.number for one in rebuilder.generations("retired")] == [first.number]
    with engine.snapshot(encoder=True) as snapshot:
        assert (snapshot.generation.number, snapshot.fingerprint) == (new.number, other.fingerprint)
        assert snapshot.encoder.fingerprint == other.fingerprint
        wanted = encode_documents(other, documents[:1])[0].astype(np.float16)
        number = snapshot.number(documents[0].id)
        assert number is not None
        np.testing.assert_array_equal(snapshot.embeddings(np.array([number]))[0], wanted)
    facts = {one.generation.number: one for one in engine.generations()}
    assert facts[new.number].verdict == RecordedVerdict(True, True, {"nDCG@10": 0.5}, "judged queries")
    assert facts[new.number].documents == len(documents)
    assert facts[first.number].generation.state == "retired"
    with engine.rebuilder(wait=False) as rebuilder:
        rebuilder.publish(first.number, lambda: 0)
        rebuilder.remove([new.number])
        assert [one.number for one in rebuilder.generations()] == [first.number]
    assert engine.generation().number == first.number
    assert Index(engine).search(documents[3].text, mode="dense").hits[0].id == documents[3].id


def test_what_is_written_while_a_generation_is_built_is_embedded_before_it_is_published(
    engine: Engine, other: Encoder
) -> None:
    put(engine, collection(10))
    with engine.rebuilder(wait=False) as rebuilder:
        new = rebuilder.begin(other)
        Build(rebuilder, new, batch=Index.batch).run()
        put(engine, [Document("late", "zebra"), Document("a/d00", "changed")])
        assert rebuilder.missing(new.number) == 2
        assert rebuilder.publish(new.number, Build(rebuilder, new, batch=Index.batch).run) == 2
    assert Index(engine).search("zebra", mode="dense").hits[0].id == "late"


def test_embeddings_of_what_was_changed_meanwhile_are_not_kept(engine: Engine, other: Encoder) -> None:
    numbers = put(engine, collection(3))
    with engine.rebuilder(wait=False) as rebuilder:
        new = rebuilder.begin(other)
        with rebuilder.unembedded(new.number) as found:
            read = list(found)
        assert [one.number for one in read] == sorted(numbers.values())
        assert all(not one.document.metadata for one in read)
        with rebuilder.unembedded(new.number, after=read[0].number) as found:
            assert [one.number for one in found] == [one.number for one in read[1:]]
        put(engine, [Document("a/d00", "changed")])
        remove(engine, ["b/d01"])
        rows = encode_documents(other, [one.document for one in read])
        late = [(one, row.astype(np.float16)) for one, row in zip(read, rows, strict=True)]
        rebuilder.embed(new.number, late)
        assert rebuilder.missing(new.number) == 1
        with rebuilder.unembedded(new.number) as found:
            assert [one.document.text for one in found] == ["changed"]


def test_a_dropped_generation_is_gone_unless_it_was_live_before(engine: Engine, other: Encoder) -> None:
    put(engine, collection(3))
    first = engine.generation()
    with engine.rebuilder(wait=False) as rebuilder:
        never = rebuilder.begin(other)
        assert not rebuilder.drop(never.number)
        assert rebuilder.generations() == [first]
        new = rebuilder.begin(other)
        assert new.number > never.number
        Build(rebuilder, new, batch=Index.batch).run()
        rebuilder.publish(new.number, lambda: 0)
        rebuilder.resume(first.number)
        assert rebuilder.drop(first.number)
        assert [one.number for one in rebuilder.generations("retired")] == [first.number]


def test_the_live_embeddings_can_be_mapped_and_unmapped(engine: Engine, other: Encoder) -> None:
    index = Index(engine)
    index.sync(collection(60))
    own = engine.encoder.fingerprint
    alignment = instant.upgrade(index, other)
    assert alignment is not None
    with engine.snapshot(encoder=True) as snapshot:
        assert snapshot.fingerprint == snapshot.encoder.fingerprint == other.fingerprint
        assert snapshot.generation.fingerprint == own
        assert snapshot.mapped_from == len(alignment.landmarks)
        some = snapshot.embedded()[:3]
        mapped = snapshot.embeddings(some)
    assert [one.is_mapped for one in engine.generations()] == [False, True]
    live = engine.at(engine.generation().number)
    with live.snapshot() as snapshot:
        assert snapshot.fingerprint == own
        for rows, held in zip(snapshot.embeddings(some), mapped, strict=True):
            np.testing.assert_allclose(alignment.apply(rows), held, atol=2e-3)
    live.close()
    result = index.search(collection()[5].text, k=1)
    assert (result.hits[0].id, result.encoder, result.adapter) == (collection()[5].id, other.fingerprint, True)
    with engine.rebuilder(wait=False) as rebuilder:
        building = rebuilder.generations("building")[0]
        assert rebuilder.unmap(building.number)
        assert not rebuilder.unmap(building.number)
    with engine.snapshot() as snapshot:
        assert (snapshot.fingerprint, snapshot.mapped_from) == (own, None)


def test_an_index_opened_at_a_generation_stays_there(engine: Engine, narrow: Encoder) -> None:
    put(engine, collection(5))
    first = engine.generation().number
    with engine.rebuilder(wait=False) as rebuilder:
        new = rebuilder.begin(narrow)
        Build(rebuilder, new, batch=Index.batch).run()
        rebuilder.publish(new.number, lambda: 0)
    before = engine.at(first)
    with before.snapshot() as old, engine.snapshot() as live:
        assert (old.dim, live.dim) == (32, 16)
        assert old.generation.state == "retired"
    before.close()
    nobody = engine.at(999)
    with pytest.raises(StoreError):
        nobody.generation()
    nobody.close()


def test_damaged_embeddings_are_told(engine: Engine, other: Encoder) -> None:
    put(engine, collection(3))
    assert engine.soundness().damaged == ()
    with engine.rebuilder(wait=False) as rebuilder:
        new = rebuilder.begin(other)
        with rebuilder.unembedded(new.number) as found:
            read = list(found)
        rows = [row.astype(np.float16) for row in encode_documents(other, [one.document for one in read])]
        rows[0] = rows[0] * np.float16(2)
        rebuilder.embed(new.number, list(zip(read, rows, strict=True))[:2])
    at = engine.at(new.number)
    found_ = at.soundness()
    at.close()
    assert (found_.documents, found_.lacking) == (3, 1)
    assert found_.damaged == (read[0].number,)


def test_small_notes_are_kept_and_change_no_answer(engine: Engine) -> None:
    with engine.snapshot() as snapshot:
        revision = snapshot.revision
    assert engine.note("adapted") is None
    engine.keep_note("adapted", "to this")
    engine.keep_note("adapted", "to that")
    assert engine.note("adapted") == "to that"
    with engine.snapshot() as snapshot:
        assert snapshot.revision == revision


def test_a_writer_reads_documents_passages_and_notes_of_its_transaction(engine: Engine) -> None:
    number = put(engine, collection(1))["a/d00"]
    with engine.writer(wait=False) as writer:
        stored = writer.document(number)
        assert stored is not None
        assert stored.document.id == "a/d00"
        assert writer.passages(number) == passages.split(stored.document.text)
        assert writer.document(number + 1) is None
        with writer.transaction():
            writer.keep_note("what pages repeat", "menu")
            assert writer.note("what pages repeat") == "menu"
        assert writer.note("nothing") is None
    assert engine.note("what pages repeat") == "menu"


def test_an_index_type_that_there_is_none_of_is_refused(engine: Engine) -> None:
    with engine.writer(wait=False) as writer, pytest.raises(UsageError):
        writer.configure("nonsense", None)


# The whole of docsim over an engine


@pytest.fixture
def index(engine: Engine) -> Index:
    index = Index(engine)
    report = index.sync(collection())
    assert report.added == 60
    return index


def test_a_sync_encodes_what_is_new_or_changed_and_prunes(index: Index) -> None:
    documents = collection()
    changed = Document(documents[0].id, "changed", title="Changed")
    report = index.sync([changed, *documents[2:], Document("new", "new")])
    assert (report.added, report.changed, report.unchanged, report.removed) == (1, 1, 58, 1)
    assert not index.has(documents[1].id)
    assert index.document(documents[0].id).document == changed
    assert index.sync([changed, *documents[2:], Document("new", "new")]).unchanged == 60
    assert index.remove(["new", "nobody"]) == 1


@pytest.mark.parametrize("mode", ["dense", "lexical", "hybrid"])
def test_every_mode_finds_a_document_by_its_own_text(index: Index, mode: str) -> None:
    for document in collection()[:9]:
        result = index.search(document.text, k=3, mode=mode)  # type: ignore[arg-type]
        assert result.hits[0].id == document.id
        assert result.hits[0].similarity > 0.99
        assert all(document.text[one.start : one.end] == one.text for one in result.hits[0].passages)


@pytest.mark.parametrize("mode", ["dense", "lexical", "hybrid"])
def test_pages_neither_overlap_nor_leave_gaps(index: Index, mode: str) -> None:
    asked = "restore a database backup password"
    whole = index.search(asked, k=60, mode=mode)  # type: ignore[arg-type]
    pages = [
        hit
        for offset in range(0, 60, 7)
        for hit in index.search(asked, k=7, mode=mode, ranking=Ranking(offset=offset)).hits  # type: ignore[arg-type]
    ]
    assert [hit.id for hit in pages] == [hit.id for hit in whole.hits]
    assert len({hit.id for hit in pages}) == len(pages)


def test_search_options_work_over_any_engine(index: Index) -> None:
    found = index.search("server deploy", k=60, where="team = 'sre' and year < 2030", within="a")
    expected = {one.id for one in collection() if one.metadata["team"] == "sre" and one.metadata["year"] < 2030}
    assert {hit.id for hit in found.hits} == {id for id in expected if id.startswith("a/")}
    grouped = index.search("server deploy", k=60, ranking=Ranking(group_by="team", diversity=0.5))
    assert sorted(str(hit.metadata["team"]) for hit in grouped.hits) == ["legal", "people", "sre"]
    similar = index.similar("a/d00", k=5)
    assert "a/d00" not in [hit.id for hit in similar.hits]
    assert all(hit.percentile is not None for hit in similar.hits)


def test_analysis_works_over_any_engine(index: Index) -> None:
    copy = collection()[0]
    index.sync([*collection(), Document("copy", copy.text, title="Copy")])
    groups = index.duplicates().groups
    assert {groups[0].id, groups[0].members[0].id} == {"copy", copy.id}
    explained = index.explain(copy.id, "copy")
    assert explained.similarity > 0.9
    assert explained.terms
    drawn = index.map()
    assert len(drawn.points) == 61


def test_a_re_index_passes_the_gate_is_rolled_back_and_pruned(index: Index, other: Encoder, tmp_path: Path) -> None:
    done = reindexing.reindex(index, other, gate=GateOptions(report=tmp_path / "report"))
    assert done.published
    assert done.embedded == 60
    assert (tmp_path / "report" / "report.json").is_file()
    assert index.search(collection()[7].text).hits[0].id == collection()[7].id
    assert index.generation().fingerprint == other.fingerprint
    back = generations.rollback(index)
    assert (back.generation, back.previous) == (done.previous, done.generation)
    assert generations.prune(index, keep=1).generations == (done.generation,)
    assert reindexing.abort(index) is None


# Any history


edits = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "c", "d"]),
        st.one_of(st.none(), st.lists(st.sampled_from(WORDS[15:]), min_size=1, max_size=12).map(" ".join)),
    ),
    min_size=1,
    max_size=12,
)


@pytest.mark.properties
@settings(max_examples=examples(5, 12), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=st.lists(edits, min_size=1, max_size=4))
def test_after_any_history_an_engine_holds_what_a_dictionary_would(
    make: Make, encoder: Encoder, tmp_path_factory: pytest.TempPathFactory, history: list[list[tuple[str, str | None]]]
) -> None:
    engine = make(tmp_path_factory.mktemp("history"), encoder)
    held: dict[str, Document] = {}
    for batch in history:
        for id, text in batch:
            if text is not None:
                held[id] = Document(id, text)
                put(engine, [held[id]])
            elif held.pop(id, None) is not None:
                remove(engine, [id])
        with engine.snapshot() as snapshot:
            assert {one.document.id: one.document for one in snapshot.scan()} == held
            for id, document in held.items():
                number = snapshot.number(id)
                assert number is not None
                best = snapshot.knn(queries(engine, [document.text]), 1)
                rows = snapshot.embeddings(np.array([number]))[0].astype(np.float32)
                assert best.similarities[0, 0] >= float((rows @ queries(engine, [document.text])[0]).max()) - 2e-3
                for word in document.text.split():
                    assert snapshot.text_search([QueryTerm((word,))]).of(np.array([number]))[0] > 0
    engine.close()
