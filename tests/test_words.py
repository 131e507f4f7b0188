"""The words index against brute force over the stored texts, whatever was written, merged, torn or deleted."""

from __future__ import annotations

import gc
import math
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import fields
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from written import embedded, opened, put

from docsim.engine.local import word_storage as storage
from docsim.engine.local import word_texts
from docsim.engine.local import word_writing as writing
from docsim.engine.local.store import Store
from docsim.engine.local.writer import LocalWriter
from docsim.engine.records import QueryTerm
from docsim.engine.words import bm25, building, matches, merging, segment, segment_rows, term_postings
from docsim.engine.words.building import Text
from docsim.engine.words.index import WordIndex
from docsim.engine.words.segment import Segment
from docsim.errors import StoreError
from docsim.text import tokens as spelled
from docsim.text.languages import LANGUAGES, language_of, language_of_script
from docsim.text.stemming import stems
from docsim.text.tokens import token, tokens

WORDS = (  # noqa: SIM905
    "the of and train trains training ticket tickets der die und nicht Haus Häuser hauser readFile read_file read file "
    "e-mail email C++ .NET 3.11.2 年假政策 ガイド лес леса лесом ΑΘΉΝΑ x"
).split()  # fmt: skip
PHRASES = [
    ("read", "file"),
    ("e", "mail"),
    ("the", "train"),
    ("年假", "假政"),
    ("3", "11"),
    ("x", "x"),
    ("x", "nowhere"),
]
ASKED = [
    *(
        QueryTerm((word,))
        for word in ("train", "training", "ticket", "haus", "hauser", "file", "лес", "年假", "nowhere")
    ),
    *(QueryTerm((word,), weight=2.0, language="de") for word in ("haus", "train")),
    *(QueryTerm((word,), exact=True) for word in ("readfile", "email", "c++", ".net", "3.11.2", "train")),
    *(QueryTerm(words) for words in PHRASES),
]
texts = st.lists(st.sampled_from(WORDS), max_size=7).map(" ".join)


class Naive:
    """BM25 over all documents, word by word."""

    def __init__(self, documents: dict[int, tuple[str, str]]) -> None:
        self.words = {number: [words_of(part) for part in parts] for number, parts in documents.items()}
        self.forms = {number: [forms_of(part) for part in parts] for number, parts in documents.items()}
        found = {number: language_of([*tokens(title), *tokens(text)]) for number, (title, text) in documents.items()}
        self.languages = {number: language or "en" for number, language in found.items()}
        self.lengths = {number: sum(map(len, parts)) for number, parts in self.words.items()}
        self.mean = max(sum(self.lengths.values()) / max(1, len(documents)), 1e-9)

    def held(self, times: Callable[[int, int], int]) -> dict[int, int]:
        """Times that each document holds something, the title counting twice, given a way to count in a part."""
        counted = {number: 2 * times(number, 0) + times(number, 1) for number in self.words}
        return {number: count for number, count in counted.items() if count}

    def word(self, word: str) -> dict[int, int]:
        return self.held(lambda number, part: [*self.words[number][part], *self.forms[number][part]].count(word))

    def stem(self, stem: str) -> dict[int, int]:
        def times(number: int, part: int) -> int:
            every = [*self.words[number][part], *self.forms[number][part]]
            return [stem_of(word, self.languages[number]) for word in every].count(stem)

        return self.held(times)

    def phrase(self, words: Sequence[str]) -> dict[int, int]:
        def starts(number: int) -> list[int]:
            every = [word for part in self.words[number] for word in part]
            beside = places_of(self.words[number], self.forms_at(number))
            held = [{one, *beside.get(place, ())} for place, one in enumerate(every)]
            return [
                at
                for at in range(len(every) - len(words) + 1)
                if all(word in held[at + place] for place, word in enumerate(words))
            ]

        counted = {}
        for number in self.words:
            title = len(self.words[number][0])
            counted[number] = sum(2 if start < title else 1 for start in starts(number))
        return {number: count for number, count in counted.items() if count}

    def forms_at(self, number: int) -> list[list[tuple[int, str]]]:
        return [self.forms[number][part].placed for part in (0, 1)]

    def spoken(self) -> list[str]:
        counts = {one: list(self.languages.values()).count(one) for one in LANGUAGES}
        known = [one for one in LANGUAGES if counts[one] and counts[one] >= 0.01 * len(self.languages)]
        return sorted(known, key=lambda one: (-counts[one], LANGUAGES.index(one)))

    def parts(self, term: QueryTerm) -> list[tuple[dict[int, int], float]]:
        if len(term.words) > 1:
            return self.weighed((self.phrase(term.words), 1.0))
        own = self.word(term.words[0])
        if term.exact:
            return self.weighed((own, 1.0))
        spoken = self.spoken()
        script = language_of_script(term.words[0])
        asked = [script] if script else [term.language] if term.language in spoken else spoken
        names = dict.fromkeys(stem_of(term.words[0], one or "") for one in asked)
        held = [self.stem(name) for name in names]
        if not any(held) or (len(held) == 1 and held[0] == own):
            return self.weighed((own, 1.0))
        others = {number: times for number, times in own.items() if not script and self.languages[number] not in asked}
        whole = self.weighed((own, bm25.EXACT), *((one, 1 - bm25.EXACT) for one in held), (own, 1 - bm25.EXACT))
        return [*whole[:-1], (others, whole[-1][1])]

    def weighed(self, *parts: tuple[dict[int, int], float]) -> list[tuple[dict[int, int], float]]:
        """Parts with their shares of the inverse document frequency."""
        total = len(self.words)
        return [
            (held, share * max(1e-6, math.log((total - len(held) + 0.5) / (len(held) + 0.5)))) for held, share in parts
        ]

    def scores(self, terms: Sequence[QueryTerm]) -> dict[int, float]:
        scores: dict[int, float] = {}
        for term in terms:
            for held, share in self.parts(term):
                for number, times in held.items():
                    norm = 1.2 * (0.25 + 0.75 * self.lengths[number] / self.mean)
                    gained = share * term.weight * times * 2.2 / (times + norm)
                    scores[number] = scores.get(number, 0.0) + gained
        return scores


class Forms(list[str]):
    """What stands beside the words of a text, and where."""

    placed: list[tuple[int, str]]


def words_of(text: str) -> list[str]:
    return [word for one in tokens(text) for word in token(one).words]


def forms_of(text: str) -> Forms:
    found, place = Forms(), 0
    found.placed = []
    for one in map(token, tokens(text)):
        found += [form for _, form in one.beside]
        found.placed += [(place + shift, form) for shift, form in one.beside]
        place += len(one.words)
    return found


def places_of(words: list[list[str]], forms: list[list[tuple[int, str]]]) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    for before, part in zip((0, len(words[0])), forms, strict=True):
        for place, form in part:
            found.setdefault(before + place, []).append(form)
    return found


def stem_of(word: str, language: str) -> str:
    return stems([word], language_of_script(word) or language)[0]


def check(index: WordIndex, documents: dict[int, tuple[str, str]]) -> None:
    naive = Naive(documents)
    numbers = np.array(sorted(documents), np.int64)
    assert index.count == len(documents)
    for term in ASKED:
        expected = naive.scores([term])
        found = matches.matches(index, [term])
        np.testing.assert_allclose(found.of(numbers), [expected.get(n, 0) for n in numbers.tolist()], rtol=1e-5)
        assert set(found.best(len(found)).tolist()) == set(expected)
    together = naive.scores(ASKED)
    found = matches.matches(index, ASKED[::2], rest=ASKED[1::2])
    np.testing.assert_allclose(found.of(numbers), [together.get(n, 0) for n in numbers.tolist()], rtol=1e-4)
    phrases = [QueryTerm(words) for words in PHRASES]
    assert term_postings.frequencies(index, phrases) == [len(naive.phrase(words)) for words in PHRASES]
    exact = [QueryTerm((word,), exact=True) for word in ("train", "email", "x")]
    assert term_postings.frequencies(index, exact) == [len(naive.word(term.words[0])) for term in exact]


def stored(store: Store) -> dict[int, tuple[str, str]]:
    return {number: (title, text) for number, title, text in store.rows("SELECT number, title, text FROM documents")}


@contextmanager
def reading(path: Path) -> Iterator[Store]:
    store = Store(path, writable=False)
    try:
        with store.reading():
            yield store
    finally:
        store.close()


def refreshed(path: Path, earlier: WordIndex | None = None) -> WordIndex:
    with reading(path) as store:
        return storage.refreshed(store, path, earlier)


def fill(store: LocalWriter, *texts: str) -> list[int]:
    return [put(store, f"{len(stored(store))} {i}", text) for i, text in enumerate(texts)]


changes = st.lists(
    st.one_of(
        st.tuples(st.just("put"), texts),
        st.tuples(st.just("change"), texts),
        st.tuples(st.just("remove"), st.just("")),
        st.tuples(st.just("write"), st.just("")),
        st.tuples(st.just("look"), st.just("")),
    ),
    min_size=3,
    max_size=14,
)


@pytest.mark.properties
@given(changes=changes, data=st.data())
@settings(max_examples=examples(15, 100), deadline=None)
def test_scores_are_those_of_brute_force_whatever_was_written_merged_and_deleted(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[str, str]], data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("words")
    earlier: WordIndex | None = None
    with (
        opened(path) as store,
        mock.patch.multiple(merging, MOST_ROWS=5),
        mock.patch.multiple(segment_rows, MOST_IN_MEMORY=2),
    ):
        for i, (change, text) in enumerate(changes):
            held = sorted(stored(store))
            if change == "put":
                put(store, f"{WORDS[i]} {i}", text, passages=1 + i % 3)
            elif change == "change" and held:
                put(store, f"changed {i}", text, number=data.draw(st.sampled_from(held)))
            elif change == "remove" and held:
                with store.writing():
                    store.remove(data.draw(st.sampled_from(held)))
            elif change == "write":
                store.write_words()
            elif change == "look":
                earlier = refreshed(path, earlier)
        check(refreshed(path, earlier), stored(store))
        check(refreshed(path), stored(store))
        writing.write(store, path)
        check(refreshed(path), stored(store))


# Segments


def made(count: int, seed: int = 0) -> list[Text]:
    random = np.random.default_rng(seed)
    return [
        Text(i + 1, 10 * i + 1, " ".join(random.choice(WORDS, 2)), " ".join(random.choice(WORDS, 1 + i % 9)))
        for i in range(count)
    ]


def lists_of(one: Segment) -> dict[tuple[str, int], tuple[list[int], list[int]]]:
    words = {("word", int(h)): slice(*one.starts[i : i + 2].tolist()) for i, h in enumerate(one.exact)}
    bounds = zip(one.stem_starts.tolist(), one.stem_ends.tolist(), strict=True)
    words |= {("stem", int(h)): slice(*pair) for h, pair in zip(one.stems, bounds, strict=True)}
    return {key: (one.slots[rows].tolist(), one.weights[rows].tolist()) for key, rows in words.items()}


@pytest.mark.parametrize("share", [0.1, 0.7, 1.0])
@pytest.mark.parametrize("at_a_time", [1, 7, 10**6])
def test_what_is_merged_is_what_would_be_built_of_what_is_left(
    tmp_path: Path, share: float, at_a_time: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(merging, "MOST_ROWS", at_a_time)
    documents = made(40)
    alive = np.random.default_rng(1).random(40) < share
    cuts = [slice(0, 7), slice(7, 8), slice(8, 40)]
    segments = [one for cut in cuts for one in building.segments(documents[cut])]
    with ExitStack() as stack:
        merged = merging.merged(segments, [alive[cut] for cut in cuts], tmp_path, stack)
        digest = segment.save(merged, tmp_path)
    merged = segment.load(tmp_path, digest, whole=True)
    (expected,) = building.segments([one for one, kept in zip(documents, alive, strict=True) if kept])
    assert lists_of(merged) == lists_of(expected)
    for name in ("numbers", "firsts", "lengths", "titles", "languages", "counts", "positions", "places", "forms"):
        np.testing.assert_array_equal(getattr(merged, name), getattr(expected, name), err_msg=name)


def test_many_texts_become_several_segments_that_answer_like_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(building, "MOST_TOKENS", 20)
    documents = made(30)
    segments = tuple(building.segments(documents))
    assert len(segments) > 3
    nothing = (None,) * len(segments)
    check(WordIndex(segments, nothing, nothing), {one.number: (one.title, one.text) for one in documents})


def test_a_long_text_is_found_piece_by_piece_as_if_it_were_one(monkeypatch: pytest.MonkeyPatch) -> None:
    documents = made(30)
    (whole,) = building.segments(documents)
    monkeypatch.setattr(building, "_STEP", 7)
    monkeypatch.setattr(spelled, "PIECE", 40)
    (pieced,) = building.segments(documents)
    for field in fields(Segment):
        np.testing.assert_array_equal(getattr(pieced, field.name), getattr(whole, field.name), err_msg=field.name)


def test_a_word_that_a_document_holds_very_often_is_counted_to_the_end() -> None:
    (one,) = building.segments([Text(1, 1, "", "x " * 70_000), Text(2, 2, "", "x y")])
    index = WordIndex((one,), (None,), (None,))
    assert index.words(["x"])[0].weights.tolist() == [70_000, 1]
    assert index.phrase(("x", "x")).weights.tolist() == [69_999]
    assert index.phrase(("x", "y")).slots.tolist() == [1]


# What is kept


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "index"


@pytest.fixture
def store(path: Path) -> Iterator[LocalWriter]:
    path.mkdir()
    with opened(path) as store:
        yield store


def files(path: Path) -> list[Path]:
    return sorted(storage.folder(path).iterdir())


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "missing": Path.unlink,
    "flipped": flip,
    "torn": lambda path: path.write_bytes(path.read_bytes()[:-100]),
    "empty": lambda path: path.write_bytes(b""),
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("which", [0, -1])
def test_a_damaged_segment_costs_time_and_never_an_answer(
    store: LocalWriter, path: Path, damage: str, which: int
) -> None:
    fill(store, *(one.text for one in made(9)))
    writing.write(store, path)
    fill(store, "read_file training")
    writing.write(store, path)
    assert len(storage.rows(store)) == 2
    DAMAGES[damage](files(path)[which])
    check(refreshed(path), stored(store))
    writing.write(store, path)
    check(refreshed(path), stored(store))
    for row in storage.rows(store):
        segment.load(storage.folder(path), row.digest, whole=True)


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_segment_is_an_error_that_names_its_file(store: LocalWriter, path: Path, damage: str) -> None:
    fill(store, "words")
    writing.write(store, path)
    DAMAGES[damage](files(path)[0])
    with pytest.raises(StoreError, match=r"\.words is missing or damaged"):
        segment.load(storage.folder(path), storage.rows(store)[0].digest)


def test_small_segments_are_merged_and_their_files_removed(store: LocalWriter, path: Path) -> None:
    for i in range(20):
        fill(store, f"train number {i}")
        writing.write(store, path)
        assert len(storage.rows(store)) <= 5
        assert {one.stem for one in files(path)} == {row.digest for row in storage.rows(store)}
    check(refreshed(path), stored(store))


def test_nothing_is_written_where_nothing_changed(store: LocalWriter, path: Path) -> None:
    fill(store, "words", "more words")
    assert writing.write(store, path)
    before = [(one, one.stat().st_mtime_ns) for one in files(path)]
    assert not writing.write(store, path)
    assert [(one, one.stat().st_mtime_ns) for one in files(path)] == before


def test_documents_that_were_deleted_leave_a_segment_once_they_are_many(store: LocalWriter, path: Path) -> None:
    numbers = fill(store, *(f"train number {i}" for i in range(30)))
    writing.write(store, path)
    for count, kept in ((2, 30), (6, 24)):
        with store.writing():
            for number in sorted(set(numbers) & set(stored(store)))[: count - (30 - len(stored(store)))]:
                store.remove(number)
        writing.write(store, path)
        held = [segment.load(storage.folder(path), row.digest) for row in storage.rows(store)]
        assert sum(map(len, held)) == kept
        check(refreshed(path), stored(store))


def test_an_index_without_documents_has_no_words(store: LocalWriter, path: Path) -> None:
    numbers = fill(store, "train", "ticket")
    writing.write(store, path)
    with store.writing():
        for number in numbers:
            store.remove(number)
    check(refreshed(path), {})
    writing.write(store, path)
    assert files(path) == []
    check(refreshed(path), {})


def test_a_reader_keeps_its_words_while_segments_are_merged_away(store: LocalWriter, path: Path) -> None:
    fill(store, *(one.text for one in made(9)))
    writing.write(store, path)
    before, documents = refreshed(path), stored(store)
    fill(store, *(one.text for one in made(9, seed=2)))
    writing.write(store, path)
    writing.write(store, path, force=True)
    check(before, documents)
    check(refreshed(path, before), stored(store))


def test_words_made_by_another_docsim_are_made_again(store: LocalWriter, path: Path) -> None:
    fill(store, *(one.text for one in made(9)))
    writing.write(store, path)
    with store.writing(visible=False):
        store.execute("UPDATE words SET format = format + 1")
    assert storage.rows(store) == []
    check(refreshed(path), stored(store))
    writing.write(store, path)
    assert len(storage.rows(store)) == 1
    check(refreshed(path), stored(store))


class Killed(BaseException):
    pass


@pytest.mark.parametrize("step", ["save", "merged", "_commit", "_tidy"])
@pytest.mark.parametrize("after", [False, True])
def test_stopped_at_any_step_of_writing_the_words_answer_and_are_finished_next_time(
    store: LocalWriter, path: Path, step: str, after: bool
) -> None:
    fill(store, *(one.text for one in made(9)))
    writing.write(store, path)
    fill(store, *(one.text for one in made(9, seed=3)))
    home = {"save": segment, "merged": merging}.get(step, writing)
    real = getattr(home, step)

    def dying(*arguments: object, **options: object) -> object:
        if after:
            real(*arguments, **options)
        raise Killed

    with mock.patch.object(home, step, dying), pytest.raises(Killed):
        writing.write(store, path)
    check(refreshed(path), stored(store))
    writing.write(store, path)
    check(refreshed(path), stored(store))
    assert {one.stem for one in files(path)} == {row.digest for row in storage.rows(store)}


def test_words_found_beside_encoding_are_not_found_again(store: LocalWriter, path: Path) -> None:
    fill(store, *(one.text for one in made(9)))
    with mock.patch.object(word_texts, "_texts", return_value=iter(())):  # nothing is read from the store
        store.write_words()
    check(refreshed(path), stored(store))
    fill(store, "train", "lost with its transaction")
    with suppress(Killed), store.writing():
        store.put(embedded("undone", "never committed"), number=None)
        raise Killed
    store.write_words()
    check(refreshed(path), stored(store))


@pytest.mark.parametrize("trouble", ["full disk", "deleted", "forgotten", "abandoned", "earlier ones lost"])
def test_words_found_beside_encoding_that_cannot_be_used_are_found_again(
    store: LocalWriter, path: Path, trouble: str
) -> None:
    if trouble == "earlier ones lost":
        fill(store, "an earlier train")
        store.write_words()
        flip(files(path)[0])
    if trouble == "full disk":
        with mock.patch.object(segment, "save", side_effect=OSError("no space")):
            numbers = fill(store, *(one.text for one in made(9)))
            assert store._beside is not None
            assert store._beside.finish() is None
            store._beside = None
    else:
        numbers = fill(store, *(one.text for one in made(9)))
    if trouble in ("deleted", "forgotten"):
        with store.writing():
            store.remove(numbers[3])
            if trouble == "forgotten":
                store.forget_deletions()
    if trouble == "abandoned":
        store.close()
        store = LocalWriter(path, writable=True)
    store.write_words()
    check(refreshed(path), stored(store))
    assert {one.stem for one in files(path)} == {row.digest for row in storage.rows(store)}


def test_records_of_deletions_stay_while_a_segment_needs_them(store: LocalWriter, path: Path) -> None:
    numbers = fill(store, *(f"train number {i}" for i in range(30)))
    writing.write(store, path)
    earlier = refreshed(path)
    with store.writing():
        store.remove(numbers[3])
        store.forget_deletions()
    check(refreshed(path, earlier), stored(store))
    check(refreshed(path), stored(store))


def test_an_index_with_fts5_gets_words_of_its_own(path: Path, store: LocalWriter) -> None:
    fill(store, *(one.text for one in made(9)))
    store.close()
    old = sqlite3.connect(path / "index.db", isolation_level=None)
    old.execute("DROP TABLE words")
    old.execute("DELETE FROM _sqlite_migrations WHERE name = 'words'")
    old.execute("CREATE VIRTUAL TABLE documents_fts USING fts5(title, text, content = documents)")
    old.execute(
        "CREATE TRIGGER documents_ai AFTER INSERT ON documents BEGIN"
        " INSERT INTO documents_fts (rowid, title, text) VALUES (new.rowid, new.title, new.text); END"
    )
    old.execute("PRAGMA user_version = 4")
    old.close()
    upgraded = LocalWriter(path, writable=True)
    writing.write(upgraded, path)
    put(upgraded, "later", "training")
    check(refreshed(path), stored(upgraded))
    assert upgraded.rows("SELECT name FROM sqlite_master WHERE name LIKE '%fts%' OR type = 'trigger'") == []
    upgraded.close()


def test_what_a_segment_was_made_of_is_freed_at_once() -> None:
    text = " ".join(f"word{number}" for number in range(1000))
    list(building.segments([Text(1, 1, "", text)]))  # what is made once
    gc.collect()
    gc.disable()
    try:
        list(building.segments([Text(1, 1, "", text)]))
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_texts_that_came_later_are_found_without_reading_all_documents(store: LocalWriter) -> None:
    steps = [row[3] for row in store.rows(f"EXPLAIN QUERY PLAN {word_texts.TEXTS}", 0, 1)]
    assert len(steps) == 1
    assert "USING INDEX documents_first_passage" in steps[0]
