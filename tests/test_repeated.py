from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opened import store_of

from docsim.encoding.encoder import Encoder
from docsim.index import Index
from docsim.ingest import passages, repeated
from docsim.ingest.sources import ReadingOptions, open_source
from docsim.jobs.sync import SyncOptions, sync, sync_source
from docsim.maintenance import verify
from docsim.models import MODES, Document, Mode

MENU = "* Home\n* Products and services\n* Careers\n* Contact the office"
BANNER = "We use cookies to make this site better. Accept or manage your choices."
TOPICS = "visas parking payroll travel badges lunch laptops holidays pensions training keys desks phones".split()  # noqa: SIM905


def page(topic: str, *, menu: str = MENU) -> str:
    return f"{menu}\n\n# All about {topic}\n\nAsk the office about {topic}, and bring a form on {topic}.\n\n{BANNER}\n"


@pytest.fixture(scope="module")
def encoder(tiny_encoder_dir: Path) -> Encoder:
    return Encoder.load(tiny_encoder_dir)


@pytest.fixture
def index(tmp_path: Path, encoder: Encoder) -> Iterator[Index]:
    with Index.create(tmp_path / "index", encoder=encoder) as index:
        yield index
        assert verify.problems(index) == []


def pages(topics: list[str] = TOPICS, *, menu: str = MENU) -> list[Document]:
    return [Document(f"{topic}.md", page(topic, menu=menu), topic) for topic in topics]


def passages_of(index: Index, id: str) -> str:
    """Return the text of all passages of a document."""
    text = index.document(id).document.text
    return "\n".join(text[one.start : one.end] for one in index.passages(id))


def split(index: Index) -> dict[str, str]:
    ids = [id for (id,) in store_of(index).rows("SELECT id FROM documents")]
    return {id: passages_of(index, id) for id in ids}


def test_what_most_pages_repeat_is_in_no_passage_and_stays_in_the_text(index: Index) -> None:
    index.sync(pages())
    for topic in TOPICS:
        assert passages_of(index, f"{topic}.md") == (
            f"# All about {topic}\n\nAsk the office about {topic}, and bring a form on {topic}."
        )
        assert index.document(f"{topic}.md").document.text == page(topic)


@pytest.mark.parametrize("mode", MODES)
def test_pages_without_what_is_repeated_are_found_and_count_as_sound(index: Index, mode: Mode) -> None:
    index.sync(pages())
    found = index.search("ask the office about visas and bring a form", k=len(TOPICS), mode=mode)
    assert found.warnings == ()
    assert {hit.id for hit in found.hits} == {f"{topic}.md" for topic in TOPICS}
    assert index.similar("visas.md", mode=mode).warnings == ()


def test_a_page_that_lost_a_passage_counts_as_damaged_though_lines_are_left_out(
    tmp_path: Path, encoder: Encoder
) -> None:
    long = Document("long.md", f"{page('trams')}\n" + "Trams run on rails. " * 200)
    with Index.create(tmp_path / "index", encoder=encoder) as index:
        index.sync([*pages(), long])
        store = store_of(index)
        writable = type(store)(store.path.parent, writable=True)
        with writable.writing():
            second = "SELECT first_passage + 1 FROM documents WHERE id = ?"
            writable.execute(f'UPDATE passages SET "end" = "end" - 200 WHERE number = ({second})', "long.md")
        writable.close()
        found = index.search("trams run on rails", mode="lexical")
    assert [hit.id for hit in found.hits if hit.id == "long.md"] == []
    assert any("its passages are not those of its text" in one for one in found.warnings)


def test_a_page_that_comes_later_is_split_as_if_it_had_been_there_from_the_beginning(
    index: Index, encoder: Encoder, tmp_path: Path
) -> None:
    index.sync(pages(TOPICS[:10]))
    for number in range(11, 14):
        index.sync(pages(TOPICS[:number]))
    with Index.create(tmp_path / "fresh", encoder=encoder) as fresh:
        fresh.sync(pages())
        assert split(index) == split(fresh)


def test_pages_that_were_there_are_split_again_once_enough_others_repeat_them(index: Index) -> None:
    index.sync(pages(TOPICS[:7]))
    assert MENU in passages_of(index, "visas.md")
    index.sync(pages())
    assert MENU not in passages_of(index, "visas.md")
    assert BANNER not in passages_of(index, "visas.md")


def test_pages_get_their_whole_text_back_when_few_others_repeat_it(index: Index) -> None:
    index.sync(pages())
    others = [Document(f"{n}.md", f"Rule {n} says that {topic} matter.", "") for n, topic in enumerate(TOPICS * 3)]
    index.sync([*pages(), *others])
    assert MENU in passages_of(index, "visas.md")


def test_a_run_that_was_stopped_before_pages_were_split_again_is_finished_by_the_next(
    index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    from docsim.indexing.repetition import Repetition

    index.sync(pages(TOPICS[:7]))

    def stopped(self: Repetition) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Repetition, "settle", stopped)
        with pytest.raises(KeyboardInterrupt):
            index.sync(pages())
    assert verify.problems(index) == []
    index.sync(pages())
    assert all(MENU not in text for text in split(index).values())


def test_small_sources_headings_and_code_keep_all(index: Index) -> None:
    index.sync(pages(TOPICS[:7]))
    assert passages_of(index, "visas.md") == page("visas").strip()
    code = [
        Document(f"{t}.md", f"## Options of the program\n\n```\nif {t} {{\n}}\n```\n\nText on {t}.") for t in TOPICS
    ]
    index.sync(code)
    assert passages_of(index, "visas.md") == code[0].text.strip()


def test_versions_of_one_page_keep_all(index: Index) -> None:
    rules = "\n\n".join(
        f"Rule {n} of the contract says what both sides have to do, at length and in full." for n in range(60)
    )
    contracts = [
        Document(f"{topic}.md", f"Contract on {topic}\n\n{rules}\n\nSigned for {topic}, with care.") for topic in TOPICS
    ]
    index.sync(contracts)
    assert all("Rule 59" in text for text in split(index).values())


def test_copies_of_one_page_keep_all(index: Index) -> None:
    index.sync([Document(f"{n}.md", MENU) for n in range(20)])
    assert set(split(index).values()) == {MENU}


def test_the_choice_is_remembered_and_can_be_taken_back(tmp_path: Path, encoder: Encoder) -> None:
    folder, path = tmp_path / "site", tmp_path / "index"
    folder.mkdir()
    for topic in TOPICS:
        (folder / f"{topic}.md").write_text(page(topic))

    def first(keep: bool | None = None) -> str:
        sync(
            path, [open_source(str(folder), reading=ReadingOptions(keep_repeated=keep))], SyncOptions(), encoder=encoder
        )
        with Index.open(path) as index:
            assert verify.problems(index) == []
            return passages_of(index, "visas.md")

    assert MENU in first(keep=True)
    assert MENU in first()
    assert MENU not in first(keep=False)
    assert MENU not in first()


@pytest.mark.parametrize("kind", ["folder", "records"])
def test_what_only_later_pages_repeat_is_known_before_the_first_is_split(
    tmp_path: Path, encoder: Encoder, kind: str
) -> None:
    """Else all that came before would be encoded twice."""
    early = {f"a{n}.md": f"{topic} are explained here: page {n} says it." for n, topic in enumerate(TOPICS * 4)}
    pages = {**early, **{f"b{n}.md": page(f"{topic} {n}") for n, topic in enumerate(TOPICS * 6)}}
    source = tmp_path / ("pages" if kind == "folder" else "pages.jsonl")
    if kind == "folder":
        source.mkdir()
        for name, text in pages.items():
            (source / name).write_text(text)
    else:
        source.write_text("\n".join(json.dumps({"id": name, "text": text}) for name, text in pages.items()))
    with Index.create(tmp_path / "index", encoder=encoder) as index:
        index.batch = 2_000
        sync_source(index, open_source(str(source)))
        assert MENU not in passages_of(index, "b0.md")
        passages, last = store_of(index).rows("SELECT count(*), max(number) FROM passages")[0]
        assert passages == last  # so none was written twice
        assert verify.problems(index) == []


def test_repair_leaves_out_what_is_repeated(index: Index) -> None:
    index.sync(pages())
    store = store_of(index)
    writable = type(store)(store.path.parent, writable=True)
    with writable.writing():
        writable.execute("UPDATE embeddings SET vectors = zeroblob(2) WHERE document = 3")
    writable.close()
    assert index.engine.repair() == []
    assert MENU not in passages_of(index, "payroll.md")


@given(
    st.lists(
        st.sampled_from([*MENU.split("\n"), BANNER, "", "# Title", "Something that only this page says."]), max_size=30
    )
)
def test_passages_hold_all_that_is_not_left_out(chosen: list[str]) -> None:
    text = "\n".join(chosen)
    out = repeated.spans(text, {*MENU.split("\n"), BANNER})
    held = set[int]()
    for one in passages.split(text, target=40, overlap=10, without=out):
        held |= set(range(one.start, one.end))
    left = {n for span in out for n in range(span.start, span.end)}
    assert held.isdisjoint(left)
    assert {n for n, letter in enumerate(text) if not letter.isspace()} <= held | left
