"""The configuration of a training: loss, schedule, pairs and teacher.

The defaults are those that did best on average (docs/research/training.md has the measurements) and are the same for
every knowledge base. ``docsim.training.loop.defaults`` adjusts them to the kind of texts and tower.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

from docsim.encoding.encoder import Encoder
from docsim.errors import TrainingError
from docsim.models import TrainingOptions
from docsim.progress import SILENT, Progress
from docsim.training.data.document_pairs import SpanRecipe
from docsim.training.loop.losses import Loss, cosent, cosine_mse, in_batch_softmax, matryoshka, triplet, with_teacher
from docsim.training.loop.schedule import Schedule

__all__ = ["LOSSES", "NEGATIVES", "Objective", "TeacherConfig", "TrainingConfig"]

LOSSES: dict[str, Loss] = {"softmax": in_batch_softmax, "cosent": cosent, "mse": cosine_mse, "triplet": triplet}
"""Loss functions by name."""

NEGATIVES = ("none", "bm25", "encoder", "both")
"""Where hard negatives can come from."""


@dataclass(frozen=True, slots=True)
class Objective:
    """The loss and its parameters. Their names and values are part of what identifies a job when it resumes.

    Attributes:
        loss: One of ``LOSSES``.
        temperature: Temperature of ``softmax``; for ``cosent``, the inverse of its scale.
        margin: Margin of ``triplet``, in cosines.
        matryoshka: Numbers of leading components that must work on their own; empty for all components only.
        guidance: Weight of the teacher's loss, as in ``losses.with_teacher``; 0 without a teacher.
    """

    loss: str = "softmax"
    temperature: float = 0.07
    margin: float = TrainingOptions().margin
    matryoshka: tuple[int, ...] = ()
    guidance: float = 0.0

    def __post_init__(self) -> None:
        """Validate the loss and its parameters.

        Raises:
            TrainingError: The loss is unknown, or a parameter is out of its range.
        """
        if self.loss not in LOSSES:
            raise TrainingError(f"expected one of the losses {', '.join(LOSSES)}; got {self.loss!r}")
        if not (self.temperature > 0 and self.margin > 0):  # written so that NaN is refused, too
            raise TrainingError(
                f"expected a temperature and a margin above 0; got {self.temperature:g} and {self.margin:g}"
            )
        if any(dim < 1 for dim in self.matryoshka):
            raise TrainingError(
                f"expected numbers of components for matryoshka, each at least 1; got {list(self.matryoshka)}"
            )

    def function(self) -> Loss:
        """Return the loss as a function of embeddings and labels."""
        parameters = {
            "softmax": {"temperature": self.temperature},
            "cosent": {"scale": 1 / self.temperature},
            "triplet": {"margin": self.margin},
        }
        loss: Loss = partial(LOSSES[self.loss], **parameters.get(self.loss, {}))
        loss = with_teacher(loss, weight=self.guidance) if self.guidance else loss
        return matryoshka(loss, self.matryoshka) if self.matryoshka else loss


@dataclass(frozen=True, slots=True)
class TeacherConfig:
    """A teacher for training on documents.

    Attributes:
        teacher: Any encoder.
        cache: Directory in which its embeddings are kept.
        weight: Weight of the teacher's loss beside the loss on pairs; see ``losses.with_teacher``. None chooses 1 for
            short documents, where the median is at most ``preparation.SHORT`` tokens, and otherwise 0: the teacher is
            then not used.
        progress: Told after every 256 passages that the teacher has embedded.
    """

    teacher: Encoder
    cache: Path
    weight: float | None = None
    progress: Progress = SILENT

    def __post_init__(self) -> None:
        """Validate the weight.

        Raises:
            TrainingError: The weight is not a finite number of at least 0.
        """
        if self.weight is not None and not 0 <= self.weight < math.inf:
            raise TrainingError(f"expected a teacher weight of at least 0; got {self.weight:g}")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingConfig:
    """Everything that can be configured about a training.

    Attributes:
        objective: The loss.
        schedule: How long and how fast to train.
        recipe: How documents make pairs.
        batch_size: Pairs in a batch.
        seed: Random seed.
        negatives: Where hard negatives come from, one of ``NEGATIVES``.
        corpus_weights: Whether an ``average`` tower that was not yet trained on a corpus starts with token weights
            mixed from its own and the corpus' inverse document frequencies, by their geometric mean.
        damped: Whether such a tower is trained, and later encodes, so that each further occurrence of a token in a
            text counts less.
        keep_lengths: Whether training on documents leaves the lengths of an ``average`` tower's token vectors as they
            are, which say how much each token counts, and changes only their directions.
    """

    objective: Objective = field(default_factory=Objective)
    schedule: Schedule
    recipe: SpanRecipe = field(default_factory=SpanRecipe)
    batch_size: int = 512
    seed: int = 0
    negatives: str = "none"
    corpus_weights: bool = True
    damped: bool = True
    keep_lengths: bool = True

    def __post_init__(self) -> None:
        """Validate batch size and negatives.

        Raises:
            TrainingError: A batch has fewer than two pairs, or the source of negatives is unknown.
        """
        if self.batch_size < 2:
            raise TrainingError(f"expected a batch size of at least 2; got {self.batch_size}")
        if self.negatives not in NEGATIVES:
            raise TrainingError(f"expected hard negatives from {', '.join(NEGATIVES)}; got {self.negatives!r}")

    def digest(self, texts: str, parent: str) -> str:
        """Return the SHA-256 (64 hex digits) of what is learned from, and of how pairs are made from it.

        Args:
            texts: Digest of the texts.
            parent: Fingerprint of the encoder that training starts from.
        """
        content = [
            texts,
            parent,
            asdict(self.recipe),
            self.batch_size,
            self.seed,
            self.negatives,
            self.corpus_weights,
            self.damped,
            self.keep_lengths,
        ]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()
