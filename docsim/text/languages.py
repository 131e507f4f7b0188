"""Languages: which stemmer the words of a text need, told by their script, and for the Latin script by small words.

Words of other scripts tell their stemmer themselves. The Latin script is shared by many languages, so there the text
decides: by function words, and by letters that few languages have. That is all that choosing a stemmer needs, and takes
microseconds; a detector that knows a hundred languages by their letters takes seconds to load. What is decided is
decided for each document, so one index may hold many languages.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cache

from docsim.text.tokens import token

__all__ = [
    "DEFAULT",
    "ENOUGH",
    "LANGUAGES",
    "SAMPLE",
    "evidence",
    "is_small",
    "language_of",
    "language_of_script",
    "told_by",
]

DEFAULT = "en"
"""The language of words in the Latin script where nothing tells another."""

_SMALL_WORDS = {
    "en": "the a i my of and to in is that for it with as was on are be this by at from or an not have which you can "
    "has but we they will your if when how what do all their more there one about would been its who",
    "de": "der die das und ist nicht von zu den mit dem des ein eine einen einer eines auf fur im sich als auch es an "
    "werden wird aus er hat dass sie nach bei um oder wie uber wenn nur kann konnen sind zum zur ich wir durch vom",
    "fr": "le la les de des du et est un une que qui dans pour par sur au aux avec ne pas plus ce cette ces ou sont "
    "son sa ses il elle se en vous nous comme mais peut etre ainsi leur lorsque si je",
    "es": "el la los las de del y en que es un una por con para se no al lo su como mas o sus ha sobre este esta entre "
    "cuando ser son tambien fue pero si desde puede",
    "it": "il lo la gli le di del della dei delle e che in un una per con non si da al alla sono come piu anche nel "
    "nella ha o ma se dal questo questa essere suo sua quando puo",
    "pt": "o a os as de do da dos das e que em um uma para com nao por no na nos nas se ao mais como mas foi ser sao "
    "pelo pela ou sua seu quando muito ha esta tambem",
    "nl": "de het een en van is dat in op te zijn met voor niet aan er om ook als bij naar dan of door over ze worden "
    "wordt uit kan maar heeft hij wat deze dit je ik hoe moet wie",
    "sv": "och att det som en pa ar av for med den till inte om ett har de kan var fran vid eller ska nar men sig du "
    "sa blir efter detta jag vi",
    "da": "og at det som en pa er af for med den til ikke om et har de kan var fra ved eller skal nar men sig du sa "
    "bliver efter dette jeg vi hvis",
    "no": "og at det som en pa er av for med den til ikke om et har de kan var fra ved eller skal nar men seg du sa "
    "blir etter dette jeg vi hvis",
    "fi": "ja on ei etta se oli ovat joka kun mutta tai myos han niin kuin jos ne voi sen olla tama ole mita hanen "
    "jotka vain sita mukaan",
    "pl": "i w na nie z do sie to jest ze o jak a po za od przez dla ale sa oraz przy lub tym tego juz byc ktore ktory "
    "jego czy moze",
    "cs": "a v na je se ze to s z do o k i za pro by ale jako po od pri nebo jsou byl jeho tak co jen kdyz podle ktere "
    "ktery muze",
    "hu": "a az es hogy nem egy is van ez meg de volt mint csak vagy ha ki el meg azt amely minden akkor kell lehet "
    "nincs ezt",
    "ro": "si de in la cu nu o un pe care din este sa ca pentru mai sunt au fost ce prin sau ale lui al dar daca acest "
    "aceasta despre poate",
    "tr": "ve bir bu da de icin ile ne olarak daha cok olan gibi en kadar sonra var ama ya degil her mi nasil ise veya "
    "tarafindan bunu",
    "id": "yang dan di dengan untuk dari pada ini itu tidak dalam akan adalah oleh ke atau sebagai juga dapat ada kami "
    "anda bisa telah saat",
    "et": "ja on ei et see oli ka kui mis aga voi nii selle ning oma siis ma ta veel kes",
    "lt": "ir yra kad i is su ne tai kaip buvo o bet ar apie nuo po uz iki del gali kuris",
    "ca": "el la els les de del i en que es un una per amb no al com mes o seu pel dels aquest aquesta ser son tambe "
    "quan pero des",
    "eu": "eta da ez bat ere du izan dira baina hau zen edo dute hori egin dela",
    "ga": "an na agus is ar ag do go bhi se ta le sin as ach ni mar no",
}
"""Some of the commonest words that carry no meaning, folded."""

_LETTERS = {
    "de": "äöüßÄÖÜ", "fr": "éèêëçàùûîïôœ", "es": "ñ¿¡áíóú", "pt": "ãõçâêô", "sv": "åäö", "da": "åøæ", "no": "åøæ",
    "fi": "äö", "pl": "łąęśżźćńó", "cs": "ěščřžýůďť", "hu": "őűáéóö", "ro": "țșăâîşţ", "tr": "ışğİçü", "it": "àèìòù",
    "lt": "ėųūąčęįšž", "et": "õäöü", "ca": "·àèòç",
}  # fmt: skip
"""Letters that tell a language, each a little."""

_SCRIPTS = (
    ("\u0370", "\u03ff", "el"), ("\u1f00", "\u1fff", "el"), ("\u0400", "\u052f", "ru"), ("\u0530", "\u058f", "hy"),
    ("\u0600", "\u06ff", "ar"), ("\u0900", "\u097f", "hi"), ("\u0b80", "\u0bff", "ta"),
)  # fmt: skip
"""The first and last letter of scripts that one stemmer serves, and the language of that."""

_QUESTION_WORDS = {
    "en": "me us our you he she they them am were been being had did does could should would why where whom whose than "
    "then so into out some such only own same too very just while because does",
}
"""Further words that carry no meaning in a question; they need not tell a language."""

LANGUAGES = tuple(_SMALL_WORDS)
"""The languages that are told apart, ISO 639-1."""

SAMPLE = 300
"""Tokens of a text that decide."""

ENOUGH = 2.0
"""How much has to speak for another language than the default: as much as two small words that no other has."""

_LETTER = 0.3  # what a letter tells, where a small word of one language tells 1


def _shares(found: Mapping[str, Iterable[str]], weight: float) -> dict[str, dict[int, float]]:
    """Return what each word or letter tells: languages by their place, and how much; less where several share it."""
    told: dict[str, dict[int, float]] = {}
    for place, language in enumerate(LANGUAGES):
        for one in found.get(language, ()):
            told.setdefault(one, {})[place] = weight
    return {one: {place: weight / len(each) for place in each} for one, each in told.items()}


_WORDS_TELL = _shares({language: words.split() for language, words in _SMALL_WORDS.items()}, 1.0)
_LETTERS_TELL = _shares(_LETTERS, _LETTER)


def evidence(one: str, words: Sequence[str]) -> dict[int, float]:
    """Return what a token, which stands for some words, tells: how much speaks for which of ``LANGUAGES``, by place."""
    told = _WORDS_TELL.get(words[0], {}) if words else {}
    if one.isascii():
        return told
    told = dict(told)
    for letter in one:
        for place, weight in _LETTERS_TELL.get(letter, {}).items():
            told[place] = told.get(place, 0.0) + weight
    return told


def language_of(found: Sequence[str]) -> str | None:
    """Return the language of a text in the Latin script, by its first tokens; None where they do not tell."""
    scores = [0.0] * len(LANGUAGES)
    for one, times in Counter(found[:SAMPLE]).items():
        for place, weight in evidence(one, token(one).words).items():
            scores[place] += times * weight
    return told_by(scores)


def told_by(scores: Sequence[float]) -> str | None:
    """Return the language that most speaks for, given how much speaks for each of ``LANGUAGES``; None if too little."""
    best = max(range(len(scores)), key=scores.__getitem__)
    return LANGUAGES[best] if scores[best] >= (1.0 if LANGUAGES[best] == DEFAULT else ENOUGH) else None


def is_small(word: str, language: str | None) -> bool:
    """Return whether a folded word is one of a language's small words, which carry no meaning: "how", "i", "the".

    Args:
        word: The word.
        language: The language that it is in, ISO 639-1; ``DEFAULT`` where it is not known.
    """
    return word in _small_words(language or DEFAULT)


@cache
def _small_words(language: str) -> frozenset[str]:
    return frozenset(f"{_SMALL_WORDS.get(language, '')} {_QUESTION_WORDS.get(language, '')}".split())


def language_of_script(word: str) -> str | None:
    """Return the language whose stemmer serves a word of another script than Latin; None for Latin and all others."""
    first = word[:1]
    if first < "\u0370":
        return None
    return next((language for low, high, language in _SCRIPTS if low <= first <= high), None)
