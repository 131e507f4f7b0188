"""Topics: groups of places, and the words that tell them apart."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from docsim.analysis.topics import find_topics

SUBJECTS = ("lentil soup cook", "signing keys rotate", "train ticket travel")
SIZES = (40, 25, 15)


def places() -> NDArray[np.float32]:
    """Three groups that lie well apart."""
    rng = np.random.default_rng(0)
    centres = np.repeat([[0.1, 0.1], [0.9, 0.2], [0.5, 0.9]], SIZES, axis=0)
    return np.asarray(centres + rng.normal(scale=0.02, size=centres.shape), np.float32)


def texts() -> list[str]:
    """What they say, among words that all of them hold."""
    each = np.repeat(SUBJECTS, SIZES).tolist()
    return [f"The team doesn't report an account of {subject}, number{place}" for place, subject in enumerate(each)]


def test_groups_are_found_and_the_largest_comes_first() -> None:
    found = find_topics(places(), texts())
    assert [topic.documents for topic in found.topics] == list(SIZES)
    assert found.members.tolist() == np.repeat([0, 1, 2], SIZES).tolist()


def test_terms_tell_a_group_from_the_others() -> None:
    found = find_topics(places(), texts())
    assert [set(topic.terms) for topic in found.topics] == [set(subject.split()) for subject in SUBJECTS]


def test_a_term_and_its_other_forms_come_once() -> None:
    rows = np.array([[0, 0]] * 9 + [[1, 1]] * 9, np.float32)
    said = ["pod pods node nodes container containers"] * 9 + ["soup soups cook cooks cooking lentil"] * 9
    for topic in find_topics(rows, said).topics:
        assert len(topic.terms) == len({term[:3] for term in topic.terms}) == 3


def test_no_topic_is_named_by_what_no_picture_has_room_for() -> None:
    rows = np.array([[0, 0]] * 9 + [[1, 1]] * 9, np.float32)
    said = [f"soup {'a' * 300}"] * 9 + ["keys rotate"] * 9
    assert {term for topic in find_topics(rows, said).topics for term in topic.terms} == {"soup", "keys", "rotate"}


def test_one_document_is_one_topic() -> None:
    found = find_topics(np.zeros((1, 2), np.float32), ["lentil soup"])
    assert [(set(topic.terms), topic.documents) for topic in found.topics] == [({"lentil", "soup"}, 1)]


def test_documents_without_words_have_a_topic_without_terms() -> None:
    assert find_topics(np.zeros((3, 2), np.float32), ["", "12", "the"]).topics[0].terms == ()


def test_the_same_places_give_the_same_topics() -> None:
    rows = np.random.default_rng(0).random((200, 2)).astype(np.float32)
    said = [f"word{chr(97 + place % 26)}" for place in range(200)]
    one, other = find_topics(rows, said), find_topics(rows, said)
    assert one.topics == other.topics
    assert one.members.tolist() == other.members.tolist()
