"""The hyper-parameters of one trial of a sweep."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

from docsim.models import TrainingOptions
from docsim.training.loop.config import TrainingConfig
from docsim.training.loop.defaults import training_config
from docsim.training.towers.kinds import TowerOptions

__all__ = ["Hyperparameters", "default_hyperparameters"]


@dataclass(frozen=True, slots=True)
class Hyperparameters:
    """What a trial tries.

    Attributes:
        tower: Kind of the tower.
        start: Starting point: ``default``, ``scratch`` or an encoder directory.
        learning_rate: Learning rate.
        temperature: Temperature of the in-batch softmax.
        batch: Pairs in a batch.
        strike: Probability that a token on both sides of a pair is removed from one of them.
        embedding_share: Learning rate of token vectors as a share of that of the other weights.
        units: Width of a new ``lstm`` or ``transformer``; None if the starting point's own tower is trained.
        layers: Layers of a new ``lstm`` or ``transformer``; None if the starting point's own tower is trained.
    """

    tower: str
    start: str
    learning_rate: float
    temperature: float
    batch: int
    strike: float
    embedding_share: float = 1.0
    units: int | None = None
    layers: int | None = None

    def numbers(self) -> dict[str, float]:
        """Return the numeric hyper-parameters by name."""
        return {name: value for name, value in asdict(self).items() if isinstance(value, int | float)}

    def tower_options(self) -> TowerOptions | None:
        """Return the shape of a new tower; None for an ``average`` tower or the starting point's own."""
        if self.units is None or self.layers is None:
            return None
        return TowerOptions(units=self.units, layers=self.layers)

    def config(self, *, steps: int, seed: int, time_limit: float) -> TrainingConfig:
        """Return the configuration of the training, with defaults for what is not a hyper-parameter.

        Args:
            steps: The maximum number of steps.
            seed: Random seed.
            time_limit: Seconds that the steps may take.
        """
        options = TrainingOptions(
            tower=self.tower,
            temperature=self.temperature,
            steps=steps,
            batch_size=self.batch,
            learning_rate=self.learning_rate,
            embedding_rate=self.learning_rate * self.embedding_share,
            seed=seed,
            time_limit=time_limit,
        )
        config = training_config(options)
        schedule = replace(config.schedule, probe_every=max(1, min(config.schedule.probe_every, steps // 5)))
        return replace(config, schedule=schedule, recipe=replace(config.recipe, strike=self.strike))


def default_hyperparameters(tower: str, start: str, *, new_tower: bool) -> Hyperparameters:
    """Return the hyper-parameters of a training with default settings.

    Args:
        tower: Kind of the tower.
        start: Starting point.
        new_tower: Whether a new tower is built, whose shape can be chosen.
    """
    config = training_config(TrainingOptions(tower=tower))
    shape = TowerOptions()
    return Hyperparameters(
        tower=tower,
        start=start,
        learning_rate=config.schedule.learning_rate,
        temperature=config.objective.temperature,
        batch=config.batch_size,
        strike=config.recipe.strike,
        embedding_share=config.schedule.embedding_share,
        units=shape.units if new_tower else None,
        layers=shape.layers if new_tower else None,
    )
