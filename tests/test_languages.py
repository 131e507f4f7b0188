from __future__ import annotations

import pytest

from docsim.text.languages import language_of, language_of_script
from docsim.text.stemming import ALGORITHMS, stems
from docsim.text.tokens import tokens

SENTENCES = {
    "en": "How do I claim a train ticket that the company paid for?",
    "de": "Wie beantrage ich Urlaub, und wer muss ihn genehmigen?",
    "fr": "Comment est-ce que je peux demander des congés pour le mois prochain ?",
    "es": "¿Cómo puedo pedir las vacaciones que no he tomado este año?",
    "it": "Come posso chiedere le ferie che non ho ancora preso con il mio ufficio?",
    "pt": "Como posso pedir as férias que não tirei até o fim do ano?",
    "nl": "Hoe kan ik vakantie aanvragen, en wie moet het goedkeuren?",
    "sv": "Hur kan jag ansöka om semester, och vem ska godkänna det?",
    "pl": "Jak złożyć wniosek o urlop i czy muszę to zrobić przed końcem roku?",
    "tr": "İzin için nasıl başvurabilirim ve bu ne kadar sürer?",
    "hu": "Hogyan kell szabadságot kérni, és ki az, aki jóváhagyja?",
    "ro": "Cum pot să cer concediu și cine este cel care îl aprobă pentru mine?",
    "fi": "Miten haen lomaa, ja kuka on se joka hyväksyy sen?",
    "cs": "Jak se žádá o dovolenou a kdo ji musí schválit, když je to po termínu?",
}


@pytest.mark.parametrize(("language", "sentence"), SENTENCES.items())
def test_a_sentence_tells_its_language(language: str, sentence: str) -> None:
    assert language_of(tokens(sentence)) == language


@pytest.mark.parametrize("text", ["", "kubernetes", "Datei", "0x80070005", "年假", "лес и поле", "v -o z"])
def test_too_little_tells_no_language(text: str) -> None:
    assert language_of(tokens(text)) is None


@pytest.mark.parametrize(
    ("word", "language"),
    [("лес", "ru"), ("δρομος", "el"), ("كتاب", "ar"), ("लेख", "hi"), ("forest", None), ("年假", None)],
)
def test_words_of_other_scripts_tell_their_stemmer(word: str, language: str | None) -> None:
    assert language_of_script(word) == language


@pytest.mark.parametrize(
    ("language", "some"),
    [
        ("en", ["train", "trains", "training"]),
        ("de", ["haus", "hauses", "hauser"]),
        ("fr", ["conge", "conges"]),
        ("ru", ["леса", "лесу", "лесом"]),
        ("es", ["vacacion", "vacaciones"]),
    ],
)
def test_forms_of_a_word_have_one_stem(language: str, some: list[str]) -> None:
    assert len(set(stems(some, language))) == 1


def test_words_of_a_language_without_a_stemmer_stay_as_they_are() -> None:
    assert stems(["words", "of"], "xx") == ["words", "of"]


@pytest.mark.parametrize("language", sorted(ALGORITHMS))
def test_every_stemmer_is_there(language: str) -> None:
    assert len(stems(["abc", ""], language)) == 2
