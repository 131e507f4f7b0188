"""The default configuration of a training, by kind of texts and tower, with some of it overridden."""

from __future__ import annotations

from dataclasses import dataclass, replace

from docsim.models import TrainingOptions
from docsim.training.data.document_pairs import SpanRecipe
from docsim.training.data.labelled_examples import Examples
from docsim.training.loop.config import Objective, TrainingConfig
from docsim.training.loop.schedule import Schedule

__all__ = ["training_config", "with_epochs"]


@dataclass(frozen=True, slots=True)
class _Defaults:
    loss: str
    steps: int
    batch_size: int
    learning_rate: float
    probe_every: int
    temperature: float = 0.07
    optimizer: str = "adagrad"
    longest: int = SpanRecipe().longest
    time_limit: float | None = None


_DOCUMENTS = _Defaults("softmax", steps=200, batch_size=512, learning_rate=0.01, probe_every=20, temperature=0.12)
_CONTEXTUAL = _Defaults(
    "softmax",
    steps=120,
    batch_size=96,
    learning_rate=1e-4,
    probe_every=15,
    optimizer="adam",
    longest=64,
    time_limit=240,
)
"""For an encoder that reads in context already: a few small steps, on spans short enough for a CPU."""

_EXAMPLES = {
    "scored": _Defaults("cosent", steps=2000, batch_size=64, learning_rate=0.005, probe_every=50),
    "positive": _Defaults("softmax", steps=1000, batch_size=128, learning_rate=0.01, probe_every=50),
    "triplet": _Defaults("triplet", steps=1000, batch_size=64, learning_rate=0.01, probe_every=50),
}


def training_config(
    options: TrainingOptions, examples: Examples | None = None, *, start: str = "average"
) -> TrainingConfig:
    """Return the configuration of a training.

    Args:
        options: Choices that override the defaults.
        examples: Labelled examples, or None to train on documents.
        start: The kind of the encoder to start from.

    Raises:
        TrainingError: An option is out of its range.
    """
    defaults = _defaults(options.tower, examples, start)
    rate = defaults.learning_rate if options.learning_rate is None else options.learning_rate
    schedule = Schedule(
        steps=defaults.steps if options.steps is None else options.steps,
        learning_rate=rate,
        optimizer=defaults.optimizer,
        freeze=options.freeze,
        unfreeze_at=options.unfreeze_at,
        embedding_share=1.0 if options.embedding_rate is None else options.embedding_rate / rate,
        probe_every=defaults.probe_every,
        time_limit=defaults.time_limit if options.time_limit is None else options.time_limit,
    )
    temperature = defaults.temperature if options.temperature is None else options.temperature
    objective = Objective(options.loss or defaults.loss, temperature, options.margin, options.matryoshka)
    size = defaults.batch_size if options.batch_size is None else options.batch_size
    return TrainingConfig(
        objective=objective,
        schedule=schedule,
        recipe=SpanRecipe(longest=defaults.longest),
        batch_size=size,
        seed=options.seed,
        negatives=options.negatives,
    )


def with_epochs(config: TrainingConfig, epochs: int | None, per_epoch: int) -> TrainingConfig:
    """Return the configuration with the number of steps that ``epochs`` take, if ``epochs`` is given.

    Args:
        config: A configuration.
        epochs: Passes over the texts, or None to leave the number of steps as it is.
        per_epoch: Batches in one pass.
    """
    return config if epochs is None else replace(config, schedule=replace(config.schedule, steps=epochs * per_epoch))


def _defaults(tower: str | None, examples: Examples | None, start: str) -> _Defaults:
    if tower is None and start != "average" and examples is None:
        return _CONTEXTUAL
    defaults = _DOCUMENTS if examples is None else _EXAMPLES[examples.kind]
    if tower in ("lstm", "transformer"):  # an average tower has little but token vectors, for which Adagrad is best
        return replace(defaults, optimizer="adam", learning_rate=1e-3)
    return defaults
