"""Distillation: a static ``average`` tower from a sentence encoder, with no text and in about a minute.

1. Every vocabulary entry is passed through the teacher on its own, as ``[CLS] token [SEP]``. Its vector is the mean of
   the states of ``[CLS]`` and of the token; that of ``[SEP]`` adds noise.
2. The vectors are centred, reduced by principal component analysis, and whitened: each component is scaled to
   variance one, since the teacher's few large components say more about word form than about meaning.
3. Each vector is scaled to length one, and weighted by how rare its token is.

Steps 1 to 3 without whitening and unit length are the recipe of model2vec (Tulkens and van Dongen, "Model2Vec: Fast
State-of-the-Art Static Embeddings", 2024). The weights are smooth inverse frequencies (Arora, Liang and Ma, "A Simple
but Tough-to-Beat Baseline for Sentence Embeddings", ICLR 2017, section 3). Frequencies are not counted but read off the
vocabulary's order, which for WordPiece is by frequency: Zipf's law gives the token of rank r a share of 1 / (r H_n).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from docsim.encoding.encoder import Encoder, Preprocessing
from docsim.errors import TrainingError
from docsim.training.distill.teacher import Teacher
from docsim.training.towers.artefact import Lineage, Parts, save
from docsim.training.towers.static import PADDING_ID, average_tower

__all__ = [
    "MAX_TOKENS",
    "Progress",
    "Recipe",
    "Vocabulary",
    "distill",
    "distill_to",
    "ranks",
    "reduced",
    "sif_weights",
    "student_vocabulary",
    "token_states",
    "weighted",
]

MAX_TOKENS = 32_768
"""Tokens of a text that a static tower reads: some 130,000 characters, and 32 MB of work space."""

UNKNOWN_ID = PADDING_ID + 1
_UNKNOWN_WEIGHT = 1e-3  # decides only where a text has nothing else
_UNUSED = re.compile(r"\[unused\d+\]")
_TOKENS_AT_ONCE = 1024

Progress = Callable[[int, int], None]
"""Called with how many tokens were passed through the teacher, and of how many."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a distillation does; the defaults are what did best in ``benchmarks/distillation.py``.

    Attributes:
        dim: Components of the embeddings; at most the teacher's width.
        sif: The constant ``a`` of smooth inverse frequency; smaller weighs frequent tokens down more.
        whitening: Power by which each component's standard deviation is divided out: 0 for none, 1 for all of it.
        unit_tokens: Whether token vectors are scaled to length one before they are weighted.
    """

    dim: int = 256
    sif: float = 3e-4
    whitening: float = 1.0
    unit_tokens: bool = True


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The student's vocabulary: id 0 is padding, id 1 stands for what it lacks.

    Attributes:
        tokenizer: Maps texts to student ids; adds no special tokens.
        tokens: The token of each student id.
        teacher_ids: The teacher's id of each student id.
    """

    tokenizer: Tokenizer
    tokens: tuple[str, ...]
    teacher_ids: tuple[int, ...]


def distill(teacher: Teacher, recipe: Recipe, *, progress: Progress | None = None) -> Parts:
    """Return a static student of ``teacher``.

    Args:
        teacher: A loaded sentence encoder with a WordPiece tokenizer.
        recipe: Size and weighting.
        progress: Called after each batch of tokens.

    Raises:
        TrainingError: The tokenizer is of another kind, or ``dim`` exceeds what the teacher can give.
    """
    vocabulary = student_vocabulary(teacher.tokenizer)
    states = token_states(teacher, vocabulary.teacher_ids, progress=progress)
    vectors = weighted(reduced(states.mean(axis=1), recipe), sif_weights(ranks(vocabulary.tokens), recipe.sif))
    return Parts(
        tower=average_tower(vectors),
        tokenizer=vocabulary.tokenizer,
        preprocessing=Preprocessing(PADDING_ID, UNKNOWN_ID, special_tokens=False, by_word=True),
        kind="average",
        max_tokens=MAX_TOKENS,
    )


def distill_to(
    out: str | Path, teacher: Teacher, *, recipe: Recipe, name: str, seed: int = 0, progress: Progress | None = None
) -> Encoder:
    """Distill ``teacher`` and save the student as an encoder directory.

    Args:
        out: Where to write it; an encoder that is there is replaced.
        teacher: A loaded sentence encoder.
        recipe: Size and weighting.
        name: The encoder's name for people.
        seed: Kept in the manifest; nothing in this recipe is random.
        progress: Called after each batch of tokens.

    Raises:
        TrainingError: The teacher is not one that can be distilled so.
        EncoderError: ``out`` holds something else.
    """
    parts = distill(teacher, recipe, progress=progress)
    lineage = Lineage(seed=seed, teacher=teacher.name, material=teacher.digest)
    return save(parts, out, name=name, lineage=lineage)


def student_vocabulary(tokenizer: Tokenizer) -> Vocabulary:
    """Return a vocabulary without what a static student cannot use: ``[unused0]``, ``[CLS]`` and their like.

    Raises:
        TrainingError: It is not a WordPiece tokenizer with ``[PAD]``.
    """
    settings = json.loads(tokenizer.to_str())
    model = settings["model"]
    if model.get("type") != "WordPiece" or "[PAD]" not in model["vocab"]:
        raise TrainingError(f"expected a teacher with a WordPiece tokenizer and [PAD]; got {model.get('type')}")
    first = ("[PAD]", model["unk_token"])
    left_out = {*first, *(entry["content"] for entry in settings["added_tokens"] if entry["special"])}
    by_id = sorted(model["vocab"], key=model["vocab"].__getitem__)
    tokens = (*first, *(token for token in by_id if token not in left_out and not _UNUSED.fullmatch(token)))
    teacher_ids = tuple(model["vocab"][token] for token in tokens)
    model["vocab"] = {token: position for position, token in enumerate(tokens)}
    settings.update(added_tokens=[], post_processor=None, padding=None, truncation=None)
    return Vocabulary(Tokenizer.from_str(json.dumps(settings)), tokens, teacher_ids)


def token_states(
    teacher: Teacher, token_ids: Sequence[int], *, progress: Progress | None = None
) -> NDArray[np.float32]:
    """Return the teacher's states of ``[CLS]`` and of the token, for texts of one token each.

    Returns:
        float32 ``(len(token_ids), 2, width)``.

    Raises:
        TrainingError: The teacher's tokenizer does not put one special token before and one after a text.
    """
    around = teacher.tokenizer.encode("").ids
    if len(around) != 2:
        raise TrainingError(f"expected a teacher that reads [CLS] text [SEP]; its tokenizer adds {len(around)} tokens")
    texts = np.array([[around[0], token_id, around[1]] for token_id in token_ids], dtype=np.int32)
    states = np.empty((len(texts), 2, teacher.backbone.hidden_dim), dtype=np.float32)
    for start in range(0, len(texts), _TOKENS_AT_ONCE):
        batch = texts[start : start + _TOKENS_AT_ONCE]
        states[start : start + len(batch)] = teacher.states(batch, np.ones_like(batch))[:, :2]
        if progress is not None:
            progress(start + len(batch), len(texts))
    return states


def reduced(states: NDArray[np.float32], recipe: Recipe) -> NDArray[np.float64]:
    """Return ``states`` ``(tokens, width)`` on their first principal components: float64 ``(tokens, dim)``.

    The sign of each component is such that its largest weight is positive, so that equal input gives equal output.

    Raises:
        TrainingError: There are fewer components than ``recipe.dim``.
    """
    most = min(states.shape[1], len(states) - 1)
    if not 1 <= recipe.dim <= most:
        raise TrainingError(f"expected a dim from 1 to {most} for this teacher; got {recipe.dim}")
    centred = states - states.mean(axis=0, dtype=np.float64)
    variances, components = np.linalg.eigh(centred.T @ centred / len(states))
    variances, components = variances[::-1][: recipe.dim], components[:, ::-1][:, : recipe.dim]
    largest = components[np.abs(components).argmax(axis=0), np.arange(recipe.dim)]
    deviations = np.sqrt(np.maximum(variances, variances[0] * 1e-9))
    vectors = centred @ (components * np.sign(largest) / deviations**recipe.whitening)
    if recipe.unit_tokens:
        vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return np.asarray(vectors)


def ranks(tokens: Sequence[str]) -> NDArray[np.int64]:
    """Return each token's rank by frequency, 1 for the most frequent: int64 ``(len(tokens),)``.

    Read off a vocabulary's order: words and pieces of them come by frequency. Single characters come first, in the
    order of their code points; they carry little meaning and all get rank 1.
    """
    single = np.array([len(token) == 1 for token in tokens])
    return np.where(single, 1, np.maximum(np.cumsum(~single) - UNKNOWN_ID - 1, 1))


def sif_weights(rank: NDArray[np.int64], a: float) -> NDArray[np.float64]:
    """Return ``a / (a + p)`` for tokens of given ranks, ``p`` by Zipf's law: float64, in (0, 1)."""
    harmonic = np.log(len(rank)) + np.euler_gamma
    return np.asarray(a / (a + 1 / ((rank + 1) * harmonic)))


def weighted(vectors: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return token vectors ``(tokens, dim)`` times their weights ``(tokens,)``; padding's are zero, float32."""
    table = vectors * weights[:, None]
    table[PADDING_ID] = 0
    table[UNKNOWN_ID] *= _UNKNOWN_WEIGHT
    return table.astype(np.float32)
