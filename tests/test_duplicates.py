"""Duplicates of small corpora whose duplicates are known."""

from __future__ import annotations

import string
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from effort import examples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from docsim.analysis.duplicates import LOWEST, Duplicates
from docsim.encoding.encoder import Encoder
from docsim.errors import UsageError
from docsim.index import Index
from docsim.models import Document

Find = Callable[..., Duplicates]


def prose(seed: int, words: int = 120) -> str:
    """Words that no other seed has, so that nothing is shared by chance."""
    rng = np.random.default_rng(seed)
    letters = np.array(list(string.ascii_lowercase))
    return " ".join("".join(rng.choice(letters, 6)) for _ in range(words))


BASE = prose(0)
EDITED = BASE.replace(" ", " changed ", 3)
OTHERS = {f"other-{seed}": prose(seed) for seed in range(10, 30)}


@pytest.fixture
def find(tmp_path: Path, tiny_encoder_dir: Path) -> Iterator[Find]:
    """Index texts by id, and find the duplicates among them."""
    indexes: list[Index] = []

    def found(texts: dict[str, str], threshold: float | None = None) -> Duplicates:
        path = tmp_path / f"index-{len(indexes)}"
        indexes.append(Index.create(path, encoder=Encoder.load(tiny_encoder_dir)))
        indexes[-1].sync([Document(id, text) for id, text in texts.items()])
        return indexes[-1].duplicates(threshold=threshold)

    yield found
    for index in indexes:
        index.close()


def kinds(found: Duplicates) -> dict[str, dict[str, str]]:
    return {group.id: {member.id: member.kind for member in group.members} for group in found.groups}


def test_equal_texts_are_exact_whatever_their_white_space_and_case(find: Find) -> None:
    found = find({"a": BASE, "b": BASE.upper().replace(" ", "\n\n"), **OTHERS})
    assert kinds(found) == {"a": {"b": "exact"}}
    member = found.groups[0].members[0]
    assert (member.overlap, member.covered, member.similarity, member.matches) == (1.0, 1.0, 1.0, ())


def test_a_few_changed_words_make_a_near_duplicate_with_its_evidence(find: Find) -> None:
    found = find({"a": BASE, "b": EDITED, **OTHERS})
    assert kinds(found) == {"b": {"a": "near"}}
    member = found.groups[0].members[0]
    assert member.covered == pytest.approx(117 / 120, abs=0.05)
    assert 0.85 < member.overlap < member.covered
    assert BASE[member.matches[0].start : member.matches[0].end] in BASE
    assert member.similarity == member.matches[0].similarity > 0.9


def test_a_text_inside_a_longer_one_is_contained_in_it(find: Find) -> None:
    found = find({"page": BASE, "book": f"{prose(1, 40)}\n\n{BASE}\n\n{prose(2, 200)}", **OTHERS})
    assert kinds(found) == {"book": {"page": "contained"}}
    member = found.groups[0].members[0]
    assert member.covered == 1.0
    assert member.covers == pytest.approx(1 / 3)


def test_one_subject_in_other_words_is_no_duplicate(find: Find) -> None:
    shuffled = BASE.split()
    np.random.default_rng(5).shuffle(shuffled)
    assert kinds(find({"a": BASE, "b": " ".join(shuffled), **OTHERS})) == {}


def test_pages_of_one_template_raise_the_threshold(find: Find) -> None:
    template = prose(3, 120)
    pages = {f"page-{seed}": f"{template} {prose(100 + seed, 10)}" for seed in range(200)}
    found = find(pages)
    assert found.background > LOWEST
    assert found.threshold == pytest.approx(found.background + 0.05)
    assert kinds(found) == {}


def test_members_were_each_compared_with_the_representative_not_with_each_other(find: Find) -> None:
    words = [prose(seed, 40) for seed in range(4)]
    chain = {name: " ".join(words[i : i + 2]) for i, name in enumerate("abc")}
    assert kinds(find(chain | OTHERS, threshold=0.4)) == {"b": {"a": "near", "c": "near"}}


def test_a_duplicate_of_a_member_is_told_of_in_a_group_of_the_member_s(find: Find) -> None:
    words = [prose(seed, 40) for seed in range(6)]
    chain = {name: " ".join(words[i : i + 2]) for i, name in enumerate("abcde")}
    found = kinds(find(chain | OTHERS, threshold=0.4))
    pairs = [(one, other) for one, members in found.items() for other in members]
    assert all(abs(ord(one) - ord(other)) == 1 for one, other in pairs)
    told = {*found, *(member for members in found.values() for member in members)}
    assert told == set("abcde")


def test_what_has_copies_represents_what_is_near_to_it(find: Find) -> None:
    found = find({"a": EDITED, "b": BASE, "c": BASE, "d": BASE, **OTHERS})
    assert kinds(found) == {"b": {"a": "near", "c": "exact", "d": "exact"}}


def test_a_copy_is_told_as_one_although_all_of_it_stands_in_another_document(find: Find) -> None:
    book = f"{BASE}\n\n{prose(2, 200)}"
    found = find({"book": book, "a": BASE, "b": BASE, "edited": EDITED, "part": BASE[:210], **OTHERS})
    assert kinds(found) == {
        "book": {"a": "contained", "part": "contained"},
        "a": {"b": "exact", "edited": "near"},
    }


def test_copies_of_a_member_are_in_a_group_of_the_member_s(find: Find) -> None:
    words = [prose(seed, 40) for seed in range(4)]
    chain = {name: " ".join(words[i : i + 2]) for i, name in enumerate("abc")}
    found = find({**chain, "a-copy": chain["a"], "b-copy": chain["b"], "b-copy-2": chain["b"], **OTHERS}, threshold=0.4)
    assert kinds(found) == {
        "b": {"b-copy": "exact", "b-copy-2": "exact", "a": "near", "c": "near"},
        "a": {"a-copy": "exact"},
    }


def test_empty_documents_are_nobody_s_duplicates(find: Find) -> None:
    assert kinds(find({"a": "", "b": " \n", "c": "...", "d": "..."})) == {}


def test_an_empty_index_has_none(find: Find) -> None:
    found = find({})
    assert (found.documents, found.passages, found.groups) == (0, 0, ())


def test_removed_documents_are_not_compared(tmp_path: Path, tiny_encoder_dir: Path) -> None:
    with Index.create(tmp_path / "index", encoder=Encoder.load(tiny_encoder_dir)) as index:
        index.sync([Document(id, BASE) for id in "abc"])
        index.remove(["a"])
        assert kinds(index.duplicates()) == {"b": {"c": "exact"}}


@pytest.mark.parametrize("threshold", [0, -1, 1.5, float("nan")])
def test_a_threshold_out_of_range_is_refused(find: Find, threshold: float) -> None:
    with pytest.raises(UsageError, match="threshold above 0"):
        find({"a": "x"}, threshold=threshold)


@pytest.mark.properties
@settings(max_examples=examples(6, 15), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(choice=st.lists(st.integers(0, 6), min_size=2, max_size=12))
def test_every_document_is_a_member_once_at_most_and_every_copy_is_told(find: Find, choice: list[int]) -> None:
    parts = [prose(seed, 30) for seed in range(4)]
    texts = [*parts, parts[0] + " " + parts[1], parts[1] + " " + parts[2], " ".join(parts)]
    found = find({f"{place}-{one}": texts[one] for place, one in enumerate(choice)}, threshold=0.4)
    members = [member.id for group in found.groups for member in group.members]
    assert len(members) == len(set(members))
    ids = {*members, *(group.id for group in found.groups)}
    exact = {one for one in choice if choice.count(one) > 1}
    assert exact <= {int(id.split("-")[1]) for id in ids}


def test_the_handbook_s_planted_near_duplicates_are_found_and_nothing_else(tmp_path: Path) -> None:
    corpus = Path(__file__).parent.parent / "corpus" / "handbook"
    with Index.create(tmp_path / "index") as index:
        index.sync(
            Document(file.relative_to(corpus).as_posix(), file.read_text(encoding="utf-8"))
            for file in sorted(corpus.rglob("*.md"))
        )
        found = index.duplicates()
    pairs = [{group.id, *(member.id for member in group.members)} for group in found.groups]
    planted = [
        {"operations/rollback-runbook.md", "engineering/how-to-roll-back.md"},
        {"people/remote-work.md", "people/remote-work-canada.md"},
        {"customer-success/onboarding-new-customers.md", "sales/handover-to-customer-success.md"},
    ]
    assert sorted(pairs, key=sorted) == sorted(planted, key=sorted)
