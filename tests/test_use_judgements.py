"""Judgements from use: what clicks and thumbs amount to, whoever is loud, and in whatever order they come."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from docsim.use.asked import asked
from docsim.use.clicks import read_clicks
from docsim.use.judgements import Judged, Judgement, judged
from docsim.use.records import Event, Kind, Question, Session, Shown
from docsim.use.sittings import key_of, sittings

DOCUMENTS = ("a", "b", "c", "d", "e", "f")
START = 1_750_000_000.0


def session(
    text: str,
    *happened: tuple[Kind, str] | tuple[Kind, str, float],
    person: str | None = None,
    shown: str = "abcdef",
    at: float = START,
    id: str = "",
) -> Session:
    ranked = tuple(Shown(rank, one, 1 / rank) for rank, one in enumerate(shown, start=1))
    question = Question(text, "page", person, ranked, 1, 1, asked=at, **({"id": id} if id else {}))  # type: ignore[arg-type]
    events = [
        Event(question.id, one[0], one[1] or None, one[2] if len(one) > 2 else None, person, at + 1) for one in happened
    ]
    return Session(question, tuple(events))


def judgements(found: Judged, text: str) -> dict[str, Judgement]:
    return {each.document: each for one in found.questions if one.text == text for each in one.judgements}


events = st.lists(
    st.tuples(st.sampled_from(("opened", "good", "bad", "found")), st.sampled_from(DOCUMENTS)), max_size=4
)
held = st.lists(
    st.builds(
        lambda text, happened, person, shown, minute: session(
            text, *happened, person=person, shown="".join(shown), at=START + 60.0 * minute
        ),
        st.sampled_from(("soup", "Soup?", "soup stock", "keys", "train tickets")),
        events,
        st.sampled_from((None, "p1", "p2", "p3", "p4")),
        st.permutations(DOCUMENTS),
        st.integers(0, 2000),
    ),
    max_size=25,
)


@pytest.mark.properties
@given(held=held, seed=st.integers(0, 9))
@settings(max_examples=examples(15, 100), deadline=None)
def test_the_order_of_sessions_makes_no_difference(held: list[Session], seed: int) -> None:
    shuffled = Random(seed).sample(held, len(held))
    assert judged(shuffled) == judged(held)
    assert asked(shuffled) == asked(held)


@pytest.mark.properties
@given(held=held)
@settings(max_examples=examples(15, 100), deadline=None)
def test_without_clicks_and_thumbs_there_are_no_judgements(held: list[Session]) -> None:
    assert judged([replace(one, events=()) for one in held]).questions == ()
    found = judged(held)
    touched = {key_of(one.question.text) for one in held for event in one.events if event.kind != "dwell"}
    assert {key_of(one.text) for one in found.questions} <= touched
    for one in found.questions:
        for each in one.judgements:
            assert 0 <= each.grade <= 3
            assert 0 < each.confidence < 1


def test_what_people_say_counts_before_what_they_open() -> None:
    clicks = [session("soup", ("opened", "a"), ("opened", "b"), person=f"p{n}", at=START + 99 * n) for n in range(9)]
    before = judgements(judged(clicks), "soup")
    assert (before["a"].grade, before["b"].grade) == (2, 2)
    said = session("soup", ("bad", "a"), ("found", "c"), person="q", at=START + 5000)
    after = judgements(judged([*clicks, said]), "soup")
    assert (after["a"].grade, after["b"].grade, after["c"].grade) == (0, 2, 3)


def test_people_who_disagree_make_a_judgement_less_sure_and_are_told() -> None:
    said: list[tuple[Kind, str]] = [("good", "p1"), ("good", "p2"), ("bad", "p3")]
    found = judged([session("soup", (kind, "a"), person=who, at=START + n) for n, (kind, who) in enumerate(said)])
    (one,) = judgements(found, "soup").values()
    alone = judgements(judged([session("soup", ("good", "a"), person="p1")]), "soup")["a"]
    assert (one.grade, one.good, one.bad) == (2, 2, 1)
    assert one.disagreement == pytest.approx(1 / 3)
    assert one.confidence < alone.confidence


def test_a_later_word_of_the_same_person_replaces_the_earlier() -> None:
    said = [session("soup", ("bad", "a"), person="p", at=START + 9), session("Soup!", ("good", "a"), person="p")]
    assert [(one.grade, one.bad, one.good) for one in judged(said).questions[0].judgements] == [(0, 1, 0)]


def test_whoever_asks_again_and_again_counts_as_one_person() -> None:
    loud = [session("soup", ("opened", "f"), person="loud", at=START + 600 * n) for n in range(40)]
    others = [session("soup", ("opened", "a"), person=f"p{n}", at=START + n) for n in range(4)]
    found = judgements(judged([*loud, *others]), "soup")
    assert [found["f"].clicks, found["a"].clicks] == pytest.approx([1, 4])
    assert (found["a"].grade, found["f"].grade) == (2, 1)


def test_what_looks_like_a_machine_is_left_out() -> None:
    crawler = [
        session(f"page {n}", *(("opened", one) for one in DOCUMENTS), person="bot", at=START + n) for n in range(25)
    ]
    busy = [session(f"number {n}", ("opened", "a"), person="busy", at=START + n) for n in range(1001)]
    found = judged([*crawler, *busy, session("soup", ("opened", "a"), person="p")])
    assert [one.text for one in found.questions] == ["soup"]
    assert found.left_out == 1026


def test_questions_that_were_only_half_typed_are_left_out() -> None:
    typed = [session(text, person="p", at=START + n) for n, text in enumerate(("par", "parental", "parental leave"))]
    held, left_out = sittings([*typed, session("parental", person="other", at=START + 1)])
    assert (sorted(one.text for one in held), left_out) == (["parental", "parental leave"], 2)


def test_who_leaves_a_document_at_once_has_not_found_it_there() -> None:
    left = session("soup", ("opened", "a"), ("dwell", "a", 2.0), ("opened", "c"), ("dwell", "c", 60.0), person="p")
    found = judgements(judged([left]), "soup")
    assert (found["a"].grade, found["c"].grade) == (0, 1)


def clicks(count: int, falling: float, *, swaps: float, seed: int = 0) -> tuple[list[Session], dict[str, str]]:
    """Sessions of people who look at rank r with probability r ** -falling, and what each question's answer is."""
    random = Random(seed)
    answers = {f"question {n}": random.choice(DOCUMENTS) for n in range(60)}
    made = []
    for number in range(count):
        text, answer = random.choice(list(answers.items()))
        ranked, pair = list(DOCUMENTS), None
        ranked.sort(key=lambda one: (one != answer) + random.random() * 1.5)
        if random.random() < swaps:
            pair = random.randrange(1, len(ranked))
            if random.random() < 0.5:
                ranked[pair - 1], ranked[pair] = ranked[pair], ranked[pair - 1]
        happened: list[tuple[Kind, str]] = [
            ("opened", one)
            for rank, one in enumerate(ranked, start=1)
            if random.random() < rank**-falling * (0.8 if one == answer else 0.15)
        ]
        one = session(text, *happened, person=f"p{number % 97}", shown="".join(ranked), at=START + 99.0 * number)
        made.append(replace(one, question=replace(one.question, pair=pair)))
    return made, answers


@pytest.mark.parametrize("swaps", [0.0, 1.0])
def test_the_bias_of_position_is_found_and_taken_out(swaps: float) -> None:
    made, answers = clicks(1200, 1.0, swaps=swaps)
    found = read_clicks(sittings(made)[0])
    assert found.propensities[:4].tolist() == pytest.approx([1, 1 / 2, 1 / 3, 1 / 4], abs=0.17)
    concluded = judged(made)
    best = {one.text: one.judgements[0].document for one in concluded.questions}
    right = sum(best[text] == answer for text, answer in answers.items() if text in best)
    assert right >= 0.9 * len(answers)
    most = dict.fromkeys(answers, False)
    for text in answers:  # counting clicks alone finds fewer
        opened = [event.document for one in made if one.question.text == text for event in one.events]
        most[text] = max(DOCUMENTS, key=opened.count) == answers[text]
    assert right >= sum(most.values())


def test_questions_of_the_same_words_are_for_the_same_part_and_a_fifth_is_for_the_gate() -> None:
    texts = [f"word{n} and soup{n % 7}" for n in range(300)]
    asked_ = [session(text, ("opened", "a"), person="p", at=START + 99.0 * n) for n, text in enumerate(texts)]
    parts = {one.text: one.part for one in judged(asked_).questions}
    swapped = [session(" ".join(text.split()[::-1]), ("opened", "a"), at=START + n) for n, text in enumerate(texts)]
    other = {" ".join(one.text.split()[::-1]): one.part for one in judged(swapped).questions}
    assert parts == other
    assert 0.12 < sum(part == "gate" for part in parts.values()) / len(parts) < 0.28
    assert set(judged(asked_).qrels("gate")) == {one.id for one in judged(asked_).questions if one.part == "gate"}
