"""Loss functions of embeddings and labels, written with ``keras.ops``.

    cosine_mse        scored pairs      the cosine should equal the score
    cosent            scored pairs      pairs with a higher score should have a higher cosine
    in_batch_softmax  positive pairs    the partner of a text should be the nearest of all partners in the batch
    triplet           triplets          the positive should be nearer than the negative, by a margin
    matryoshka        wraps any         the first components should also work on their own
    with_teacher      wraps any         texts should be as similar to each other as a teacher finds them

Embeddings are float tensors ``(texts, dim)`` of unit rows, so their inner product is the cosine. A loss is a scalar,
averaged over the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from keras import ops

from docsim.training.towers.layers import Tensor

__all__ = [
    "Loss",
    "cosent",
    "cosine_mse",
    "in_batch_softmax",
    "matryoshka",
    "similarity_divergence",
    "triplet",
    "unit_rows",
    "with_teacher",
]

Loss = Callable[..., Tensor]
"""A function from embeddings, positional, and labels, by name, to a scalar."""

_FAR_BELOW = -1e9  # a logit that takes no part in a softmax; not infinity, whose gradient is NaN
_SMALLEST_SQUARE = 1e-24


def cosine_mse(first: Tensor, second: Tensor, *, scores: Tensor) -> Tensor:
    """Return the mean squared error of the cosine: ``mean((a_i . b_i - s_i)^2)``.

    The regression objective of Reimers and Gurevych, "Sentence-BERT", EMNLP 2019, section 3
    (https://aclanthology.org/D19-1410/).

    Args:
        first: Unit rows ``(pairs, dim)``.
        second: Unit rows ``(pairs, dim)``.
        scores: Target cosine of each pair, ``(pairs,)``, in [-1, 1].
    """
    return ops.mean(ops.square(_cosines(first, second) - scores))


def cosent(first: Tensor, second: Tensor, *, scores: Tensor, scale: float = 20.0) -> Tensor:
    """Return ``log(1 + sum over s_i > s_j of exp(scale (c_j - c_i)))``, where ``c`` are the cosines of the pairs.

    Only the order of the scores matters, as for Spearman's correlation. CoSENT, by Jianlin Su, 2022
    (https://kexue.fm/archives/8847).

    Args:
        first: Unit rows ``(pairs, dim)``.
        second: Unit rows ``(pairs, dim)``.
        scores: Similarity of each pair, ``(pairs,)``, on any scale; higher means more similar.
        scale: Inverse temperature of the differences between cosines.
    """
    cosines = _cosines(first, second) * scale
    differences = ops.expand_dims(cosines, 0) - ops.expand_dims(cosines, 1)  # [i, j]: c_j - c_i
    above = ops.expand_dims(scores, 1) > ops.expand_dims(scores, 0)  # [i, j]: pair i should be above pair j
    terms = ops.where(above, differences, _FAR_BELOW)
    return ops.logsumexp(ops.concatenate([ops.zeros((1,), dtype=terms.dtype), ops.reshape(terms, (-1,))]))


def in_batch_softmax(
    anchors: Tensor,
    positives: Tensor,
    negatives: Tensor | None = None,
    *,
    temperature: float = 0.05,
    excluded: Tensor | None = None,
    excluded_negatives: Tensor | None = None,
) -> Tensor:
    """Return the cross-entropy of finding each text's partner among all partners in the batch, in both directions.

    ``-log(exp(a_i . p_i / t) / sum_j exp(a_i . p_j / t))``, averaged over the batch, then averaged with the same for
    anchors and positives exchanged. Multiple negatives ranking: Henderson et al., "Efficient Natural Language Response
    Suggestion for Smart Reply", 2017, section 4.4 (https://arxiv.org/abs/1705.00652). With a temperature and in both
    directions: Radford et al., "CLIP", ICML 2021, figure 3 (https://arxiv.org/abs/2103.00020).

    Args:
        anchors: Unit rows ``(pairs, dim)``.
        positives: Unit rows ``(pairs, dim)``; row i is the partner of anchor i.
        negatives: Hard negatives, unit rows ``(any number, dim)``: further wrong partners, for the anchors only.
        temperature: Above 0; the smaller, the more the nearest wrong partners count.
        excluded: Bool ``(pairs, pairs)``; True where row and column must not be negatives of each other although they
            are not a pair, such as near-duplicates. The diagonal is never excluded.
        excluded_negatives: Bool ``(pairs, negatives)``; True where a hard negative is none of that anchor's.
    """
    logits = ops.matmul(anchors, ops.transpose(positives)) / temperature
    if excluded is not None:
        itself = ops.eye(ops.shape(logits)[0], dtype="bool")
        logits = ops.where(ops.logical_and(excluded, ops.logical_not(itself)), _FAR_BELOW, logits)
    backward = _own_entropy(ops.transpose(logits))
    if negatives is not None:
        wrong = ops.matmul(anchors, ops.transpose(negatives)) / temperature
        if excluded_negatives is not None:
            wrong = ops.where(excluded_negatives, _FAR_BELOW, wrong)
        logits = ops.concatenate([logits, wrong], axis=1)
    return (_own_entropy(logits) + backward) / 2


def triplet(anchors: Tensor, positives: Tensor, negatives: Tensor, *, margin: float = 0.2) -> Tensor:
    """Return ``mean(max(0, a_i . n_i - a_i . p_i + margin))``.

    Schroff, Kalenichenko and Philbin, "FaceNet", CVPR 2015, equation 3 (https://arxiv.org/abs/1503.03832), with cosines
    instead of squared distances, which are ``2 - 2 cosine`` for unit rows.

    Args:
        anchors: Unit rows ``(triplets, dim)``.
        positives: Unit rows ``(triplets, dim)``.
        negatives: Unit rows ``(triplets, dim)``.
        margin: By how much the positive's cosine should exceed the negative's.
    """
    return ops.mean(ops.relu(_cosines(anchors, negatives) - _cosines(anchors, positives) + margin))


def matryoshka(loss: Loss, dims: Sequence[int]) -> Loss:
    """Return a loss that applies ``loss`` to the first components alone.

    ``mean over d in dims of loss(first d components, scaled to length one)``: Kusupati et al., "Matryoshka
    Representation Learning", NeurIPS 2022, equation 1 with equal weights (https://arxiv.org/abs/2205.13147).

    Args:
        loss: Any loss of this module, or one with the same conventions.
        dims: Numbers of leading components, each at least 1. Include the full width to train all components as well.

    Raises:
        ValueError: ``dims`` is empty or holds a number below 1.
    """
    if not dims or min(dims) < 1:
        raise ValueError(f"expected at least one number of components, each at least 1; got {list(dims)}")

    def wrapped(*embeddings: Tensor | None, **labels: Tensor) -> Tensor:
        total: Tensor = 0.0
        for dim in dims:
            cut = [None if rows is None else unit_rows(rows[:, :dim]) for rows in embeddings]
            total = total + loss(*cut, **labels)
        return total / len(dims)

    return wrapped


def with_teacher(loss: Loss, *, weight: float, temperature: float = 0.05) -> Loss:
    """Return a loss that adds, ``weight`` times, how far texts' similarities are from those that a teacher finds.

    The texts' embeddings are the last argument, the teacher's embeddings of them the label ``taught``. The added term
    is ``similarity_divergence`` of the two.

    Args:
        loss: Any loss of this module; it gets all embeddings but the last, and all labels but ``taught``.
        weight: Weight of the added term, above 0.
        temperature: Above 0; the smaller, the more the nearest texts count.
    """

    def wrapped(*embeddings: Tensor | None, taught: Tensor, **labels: Tensor) -> Tensor:
        divergence = similarity_divergence(embeddings[-1], taught=taught, temperature=temperature)
        return loss(*embeddings[:-1], **labels) + weight * divergence

    return wrapped


def similarity_divergence(rows: Tensor, *, taught: Tensor, temperature: float) -> Tensor:
    """Return how far the similarities between texts are from those that a teacher finds.

    The mean over i of ``KL(softmax_j(t_i . t_j / T), softmax_j(s_i . s_j / T))`` with j over all other texts:
    similarity distributions as in Fang et al., "SEED", ICLR 2021, section 3.2 (https://arxiv.org/abs/2101.04731),
    without its queue.

    Args:
        rows: Embeddings of texts ``s``, unit rows ``(texts, dim)``.
        taught: The teacher's embeddings of the same texts ``t``, unit rows ``(texts, width)``.
        temperature: Above 0; the smaller, the more the nearest texts count.
    """
    own, wanted = (_others(one, temperature) for one in (rows, taught))
    return ops.mean(ops.sum(ops.exp(wanted) * (wanted - own), axis=1))


def unit_rows(rows: Tensor) -> Tensor:
    """Return rows ``(texts, dim)`` scaled to length one; a row of zeros stays zero."""
    return rows / ops.sqrt(ops.maximum(ops.sum(rows * rows, axis=-1, keepdims=True), _SMALLEST_SQUARE))


def _cosines(first: Tensor, second: Tensor) -> Tensor:
    """Return the inner product of each row with its partner, ``(rows,)``."""
    return ops.sum(first * second, axis=-1)


def _others(rows: Tensor, temperature: float) -> Tensor:
    """Return the log-softmax of each row's similarities to all other rows, ``(rows, rows)``."""
    logits = ops.matmul(rows, ops.transpose(rows)) / temperature
    itself = ops.eye(ops.shape(logits)[0], dtype="bool")
    return ops.log_softmax(ops.where(itself, _FAR_BELOW, logits), axis=1)


def _own_entropy(logits: Tensor) -> Tensor:
    """Return the mean cross-entropy of choosing column i in row i of ``logits`` ``(rows, columns)``."""
    chosen = ops.sum(logits * ops.eye(ops.shape(logits)[0], ops.shape(logits)[1], dtype=logits.dtype), axis=1)
    return ops.mean(ops.logsumexp(logits, axis=1) - chosen)
