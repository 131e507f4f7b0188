"""Plans: what ``docsim train`` does with the options that were given, and by default with those that were not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from docsim.errors import TrainingError
from docsim.training.data.pairs import Examples
from docsim.training.loop.learning import Plan
from docsim.training.loop.siamese import Objective
from docsim.training.loop.trainer import Schedule

__all__ = ["plan", "with_epochs"]


@dataclass(frozen=True, slots=True)
class _Defaults:
    loss: str
    steps: int
    batch: int
    rate: float
    optimizer: str
    probe_every: int


_DOCUMENTS = _Defaults("softmax", steps=200, batch=512, rate=0.02, optimizer="adagrad", probe_every=20)
_EXAMPLES = {
    "scored": _Defaults("cosent", steps=2000, batch=64, rate=0.005, optimizer="adagrad", probe_every=50),
    "positive": _Defaults("softmax", steps=1000, batch=128, rate=0.01, optimizer="adagrad", probe_every=50),
    "triplet": _Defaults("triplet", steps=1000, batch=64, rate=0.01, optimizer="adagrad", probe_every=50),
}
_OTHER_TOWERS = {"optimizer": "adam", "rate": 1e-3}
"""What an ``lstm`` or a ``transformer`` learns with; an ``average`` tower is all token vectors."""


def plan(given: Mapping[str, Any], examples: Examples | None) -> Plan:
    """Return a plan.

    Args:
        given: Options by name, None where not given: ``loss``, ``temperature``, ``margin``, ``matryoshka``,
            ``negatives``, ``steps``, ``batch``, ``learning_rate``, ``embedding_rate``, ``freeze``, ``unfreeze_at``,
            ``seed``, ``time_limit`` and ``tower``.
        examples: Labelled examples, or None to learn from documents.

    Raises:
        TrainingError: A number is out of its range.
    """
    defaults = _DOCUMENTS if examples is None else _EXAMPLES[examples.kind]
    rate = given["learning_rate"] if given["learning_rate"] is not None else defaults.rate
    name = defaults.optimizer
    if given["tower"] in ("lstm", "transformer"):
        name = str(_OTHER_TOWERS["optimizer"])
        rate = given["learning_rate"] if given["learning_rate"] is not None else float(str(_OTHER_TOWERS["rate"]))
    schedule = Schedule(
        steps=given["steps"] or defaults.steps,
        learning_rate=rate,
        optimizer=name,
        freeze=given["freeze"],
        unfreeze_at=given["unfreeze_at"],
        embedding_share=1.0 if given["embedding_rate"] is None else given["embedding_rate"] / rate,
        probe_every=defaults.probe_every,
        time_limit=given["time_limit"],
    )
    objective = Objective(
        given["loss"] or defaults.loss, given["temperature"], given["margin"], _dims(given["matryoshka"])
    )
    batch = given["batch"] or defaults.batch
    return Plan(objective, schedule, batch=batch, seed=given["seed"], mined=given["negatives"])


def with_epochs(plan: Plan, epochs: int | None, per_epoch: int) -> Plan:
    """Return the plan with as many steps as ``epochs`` of ``per_epoch`` batches have, if ``epochs`` is given."""
    return plan if epochs is None else replace(plan, schedule=replace(plan.schedule, steps=epochs * per_epoch))


def _dims(text: str | None) -> tuple[int, ...]:
    """Return the numbers of ``64,128,256``."""
    try:
        dims = tuple(int(part) for part in text.split(",")) if text else ()
    except ValueError:
        dims = (0,)
    if any(dim < 1 for dim in dims):
        raise TrainingError(f"expected numbers of components such as 64,128,256; got {text!r}")
    return dims
