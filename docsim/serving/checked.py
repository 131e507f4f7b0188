"""A check that the parameters of every request have in common."""

from __future__ import annotations

from typing import Any, get_args

from pydantic import BaseModel

__all__ = ["refuse_booleans_as_numbers"]


def refuse_booleans_as_numbers(model: type[BaseModel], given: Any) -> Any:
    """Return what a request says, unless it says ``true`` or ``false`` for a number, which pydantic takes for 1 and 0.

    Raises:
        ValueError: It does.
    """
    for name, value in given.items() if isinstance(given, dict) else ():
        field = model.model_fields.get(name)
        kinds = set() if field is None else {field.annotation, *get_args(field.annotation)}
        if isinstance(value, bool) and kinds & {int, float} and bool not in kinds:
            raise ValueError(f"expected a number for {name}, got {str(value).lower()}")
    return given
