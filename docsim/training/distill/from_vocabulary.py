"""Distillation from the vocabulary: a static ``average`` tower from a sentence encoder, without any text, in a minute.

1. Every vocabulary entry is passed through the teacher on its own, as ``[CLS] token [SEP]``. Its vector is the mean of
   the states of ``[CLS]`` and of the token; including the state of ``[SEP]`` adds noise.
2. The vectors are centred, reduced by principal component analysis, and whitened: each component is scaled to
   variance one, because the teacher's few large components say more about word form than about meaning.
3. Each vector is scaled to length one and weighted by the rarity of its token.

Without whitening and unit length, this is the recipe of model2vec (Tulkens and van Dongen, "Model2Vec: Fast
State-of-the-Art Static Embeddings", 2024). The weights are smooth inverse frequencies (Arora, Liang and Ma, "A Simple
but Tough-to-Beat Baseline for Sentence Embeddings", ICLR 2017, section 3). Frequencies are estimated from the order of
the vocabulary, which for WordPiece is by frequency: by Zipf's law, the token of rank r has a share of 1 / (r H_n).
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from docsim.encoding.encoder import Encoder, Preprocessing
from docsim.errors import TrainingError
from docsim.progress import SILENT, Progress
from docsim.training.distill.teacher import Teacher
from docsim.training.towers.average import MAX_TOKENS, average_tower
from docsim.training.towers.layers import PADDING_ID
from docsim.training.towers.saving import EncoderParts, Lineage, save

__all__ = [
    "DistillationRecipe",
    "StudentVocabulary",
    "distill_and_save",
    "distill_vocabulary",
    "ranks",
    "reduced",
    "sif_weights",
    "student_vocabulary",
    "token_states",
    "weighted",
]

UNKNOWN_ID = PADDING_ID + 1
_UNKNOWN_WEIGHT = 1e-3  # small enough to matter only in texts without known tokens
_UNUSED = re.compile(r"\[unused\d+\]")
_TOKENS_AT_ONCE = 1024


@dataclass(frozen=True, slots=True)
class DistillationRecipe:
    """Parameters of a distillation; the defaults did best in ``benchmarks/distillation.py``.

    Attributes:
        dim: Components of the embeddings, at most the teacher's width.
        sif: The constant ``a`` of smooth inverse frequency; smaller values give frequent tokens less weight.
        whitening: Power of the standard deviation by which each component is divided: 0 for none, 1 for full whitening.
        unit_tokens: Whether token vectors are scaled to length one before they are weighted.
    """

    dim: int = 256
    sif: float = 3e-4
    whitening: float = 1.0
    unit_tokens: bool = True


@dataclass(frozen=True, slots=True)
class StudentVocabulary:
    """A student's vocabulary: id 0 is padding, id 1 stands for unknown tokens.

    Attributes:
        tokenizer: Maps texts to the student's ids; adds no special tokens.
        tokens: Token of each student id.
        teacher_ids: The teacher's id of each student id.
    """

    tokenizer: Tokenizer
    tokens: tuple[str, ...]
    teacher_ids: tuple[int, ...]


def distill_vocabulary(teacher: Teacher, recipe: DistillationRecipe, *, progress: Progress = SILENT) -> EncoderParts:
    """Return a static student of ``teacher``.

    Args:
        teacher: A sentence encoder with a WordPiece tokenizer.
        recipe: Size and weighting.
        progress: Told after each batch of tokens.

    Raises:
        TrainingError: The tokenizer is of another kind, or ``dim`` exceeds what the teacher can give.
    """
    vocabulary = student_vocabulary(teacher.tokenizer)
    states = token_states(teacher, vocabulary.teacher_ids, progress=progress)
    vectors = weighted(reduced(states.mean(axis=1), recipe), sif_weights(ranks(vocabulary.tokens), recipe.sif))
    return EncoderParts(
        tower=average_tower(vectors),
        tokenizer=vocabulary.tokenizer,
        preprocessing=Preprocessing(PADDING_ID, UNKNOWN_ID, special_tokens=False, by_word=True),
        kind="average",
        max_tokens=MAX_TOKENS,
    )


def distill_and_save(
    out: str | Path,
    teacher: Teacher,
    *,
    recipe: DistillationRecipe,
    name: str,
    seed: int = 0,
    progress: Progress = SILENT,
) -> Encoder:
    """Distil ``teacher`` and save the student as an encoder directory.

    Args:
        out: Directory to write; an encoder that is already there is replaced.
        teacher: A sentence encoder with a WordPiece tokenizer.
        recipe: Size and weighting.
        name: Display name of the encoder.
        seed: Recorded in the manifest; this recipe is not random.
        progress: Told after each batch of tokens.

    Raises:
        TrainingError: The tokenizer is of another kind, or ``dim`` exceeds what the teacher can give.
        EncoderError: ``out`` holds something other than an encoder.
    """
    parts = distill_vocabulary(teacher, recipe, progress=progress)
    lineage = Lineage(seed=seed, teacher=teacher.name, material=teacher.digest)
    return save(parts, out, name=name, lineage=lineage)


def student_vocabulary(tokenizer: Tokenizer) -> StudentVocabulary:
    """Return the vocabulary without entries that are useless to a static student, such as ``[unused0]`` and ``[CLS]``.

    Raises:
        TrainingError: The tokenizer is not a WordPiece tokenizer with ``[PAD]``.
    """
    settings = json.loads(tokenizer.to_str())
    model = settings["model"]
    if model.get("type") != "WordPiece" or "[PAD]" not in model["vocab"]:
        raise TrainingError(f"expected a teacher with a WordPiece tokenizer that has [PAD]; got {model.get('type')}")
    first = ("[PAD]", model["unk_token"])
    excluded = {*first, *(entry["content"] for entry in settings["added_tokens"] if entry["special"])}
    by_id = sorted(model["vocab"], key=model["vocab"].__getitem__)
    tokens = (*first, *(token for token in by_id if token not in excluded and not _UNUSED.fullmatch(token)))
    teacher_ids = tuple(model["vocab"][token] for token in tokens)
    model["vocab"] = {token: position for position, token in enumerate(tokens)}
    settings.update(added_tokens=[], post_processor=None, padding=None, truncation=None)
    return StudentVocabulary(Tokenizer.from_str(json.dumps(settings)), tokens, teacher_ids)


def token_states(teacher: Teacher, token_ids: Sequence[int], *, progress: Progress = SILENT) -> NDArray[np.float32]:
    """Return the teacher's states of ``[CLS]`` and of the token, for texts of one token each.

    Args:
        teacher: A sentence encoder.
        token_ids: The teacher's ids of the tokens.
        progress: Told after each batch of tokens.

    Returns:
        float32 ``(len(token_ids), 2, width)``.

    Raises:
        TrainingError: The teacher's tokenizer does not add one special token before a text and one after it.
    """
    around = teacher.tokenizer.encode("").ids
    if len(around) != 2:
        raise TrainingError(
            f"expected a teacher whose tokenizer adds [CLS] and [SEP] to a text; it adds {len(around)} tokens"
        )
    texts = np.array([[around[0], token_id, around[1]] for token_id in token_ids], dtype=np.int32)
    states = np.empty((len(texts), 2, teacher.width), dtype=np.float32)
    progress.begin("asking the teacher", len(texts))
    for start in range(0, len(texts), _TOKENS_AT_ONCE):
        batch = texts[start : start + _TOKENS_AT_ONCE]
        states[start : start + len(batch)] = teacher.states(batch)[:, :2]
        progress.advance(len(batch))
    return states


def reduced(states: NDArray[np.float32], recipe: DistillationRecipe) -> NDArray[np.float64]:
    """Return ``states`` ``(tokens, width)`` projected onto their first principal components, float64 ``(tokens, dim)``.

    The sign of each component is chosen so that its largest weight is positive; equal input gives equal output.

    Raises:
        TrainingError: There are fewer components than ``recipe.dim``.
    """
    most = min(states.shape[1], len(states) - 1)
    if not 1 <= recipe.dim <= most:
        raise TrainingError(f"expected dim from 1 to {most} for this teacher; got {recipe.dim}")
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

    The vocabulary lists words and word pieces by frequency. Single characters come first, in the order of their code
    points; they carry little meaning and all get rank 1.
    """
    single = np.array([len(token) == 1 for token in tokens])
    return np.where(single, 1, np.maximum(np.cumsum(~single) - UNKNOWN_ID - 1, 1))


def sif_weights(rank: NDArray[np.int64], a: float) -> NDArray[np.float64]:
    """Return ``a / (a + p)`` for tokens of given ranks, with the frequency ``p`` by Zipf's law: float64, in (0, 1)."""
    harmonic = np.log(len(rank)) + np.euler_gamma
    return np.asarray(a / (a + 1 / ((rank + 1) * harmonic)))


def weighted(vectors: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return token vectors ``(tokens, dim)`` times their weights ``(tokens,)`` as float32; padding gets zeros."""
    table = vectors * weights[:, None]
    table[PADDING_ID] = 0
    table[UNKNOWN_ID] *= _UNKNOWN_WEIGHT
    return table.astype(np.float32)
