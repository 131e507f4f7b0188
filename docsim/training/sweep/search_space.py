"""The search space of a sweep: kinds of towers, starting points, and the ranges of hyper-parameters."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import optuna

from docsim.encoding.encoder import read_manifest
from docsim.errors import TrainingError
from docsim.training.sweep.hyperparameters import Hyperparameters, default_hyperparameters
from docsim.training.towers.kinds import KINDS
from docsim.training.towers.starting_point import DEFAULT, SCRATCH, encoder_directory

__all__ = ["SearchSpace", "optuna_parameters"]

_RATES = {"average": (0.003, 0.1), "lstm": (2e-4, 5e-3), "transformer": (1e-4, 3e-3)}
_BATCHES, _UNITS = (64, 128, 256, 512), (64, 128, 256)


@dataclass(frozen=True, slots=True)
class SearchSpace:
    """What a sweep tries.

    Attributes:
        towers: Kinds of towers.
        starts: Starting points: ``default``, ``scratch`` or encoder directories.
    """

    towers: tuple[str, ...] = KINDS
    starts: tuple[str, ...] = (DEFAULT, SCRATCH)

    def __post_init__(self) -> None:
        """Validate the towers and starting points.

        Raises:
            TrainingError: A tower is unknown, or there is no tower or no starting point.
        """
        if not self.towers or not self.starts or not set(self.towers) <= set(KINDS):
            raise TrainingError(
                f"expected towers of the kinds {', '.join(KINDS)} and a starting point; got "
                f"{', '.join(self.towers) or 'no tower'} from {', '.join(self.starts) or 'no starting point'}"
            )

    def defaults(self) -> list[Hyperparameters]:
        """Return the default hyper-parameters of every tower from every starting point."""
        return [
            default_hyperparameters(tower, start, new_tower=_is_new(tower, start))
            for start in self.starts
            for tower in self.towers
        ]

    def suggest(self, trial: optuna.Trial) -> Hyperparameters:
        """Return the hyper-parameters that Optuna suggests for a trial."""
        tower = trial.suggest_categorical("tower", self.towers)
        start = trial.suggest_categorical("start", self.starts)
        new, contextual = _is_new(tower, start), tower != "average"
        return Hyperparameters(
            tower=tower,
            start=start,
            learning_rate=trial.suggest_float(f"{tower}.learning_rate", *_RATES[tower], log=True),
            temperature=trial.suggest_float("temperature", 0.02, 0.2, log=True),
            batch=trial.suggest_categorical("batch", _BATCHES),
            strike=trial.suggest_float("strike", 0.0, 1.0),
            embedding_share=trial.suggest_float("embedding_share", 0.1, 10.0, log=True) if contextual else 1.0,
            units=trial.suggest_categorical("units", _UNITS) if new else None,
            layers=trial.suggest_int("layers", 1, 2) if new else None,
        )


def optuna_parameters(given: Hyperparameters) -> dict[str, object]:
    """Return hyper-parameters by the names under which ``SearchSpace.suggest`` asks Optuna for them."""
    named = {name: value for name, value in asdict(given).items() if value is not None}
    named[f"{given.tower}.learning_rate"] = named.pop("learning_rate")
    return named


def _is_new(tower: str, start: str) -> bool:
    """Return whether a new tower is built, whose shape can be chosen; an encoder of the same kind brings its own."""
    return tower != "average" and (start == SCRATCH or read_manifest(encoder_directory(start))["kind"] != tower)
