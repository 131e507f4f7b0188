"""Loads a ``tower.keras`` that may come from a stranger: only docsim's own layers, and nothing that runs code.

Keras' safe mode refuses functions written in Python. A description of a model can name other classes, though, some of
which read files or call functions by name, so their names are checked before Keras sees them.
"""

from __future__ import annotations

import json
import math
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import keras

from docsim.errors import EncoderError
from docsim.training.towers import weights_file
from docsim.training.towers.keras_private import without_memory
from docsim.training.towers.layers import Pooling, TokenVectors, UnitLength, WeightedTokenSum
from docsim.training.towers.lstm import Lstm
from docsim.training.towers.transformer import Distances, EncoderBlock, Positions
from docsim.training.towers.weights_file import WEIGHTS

__all__ = ["load_tower"]

_LARGEST_DESCRIPTION = 1_000_000  # bytes; that of 24 blocks has 60,000
_RATIO = 20  # of what weights unpack to, to the size of the file
_CONFIG, _METADATA = "config.json", "metadata.json"
_DAMAGED = (zipfile.BadZipFile, zlib.error)

_OWN = {
    f"docsim>{layer.__name__}"
    for layer in (Distances, EncoderBlock, Lstm, Pooling, Positions, TokenVectors, UnitLength, WeightedTokenSum)
}
_OF_KERAS = {
    *("Activation", "Add", "Dense", "DTypePolicy", "Functional", "InputLayer", "LayerNormalization", "Rescaling"),
    *("GlorotUniform", "Ones", "RandomNormal", "Zeros"),  # initializers
}
_TENSOR = "__keras_tensor__"


def load_tower(file: Path) -> keras.Model:
    """Return the Keras model in a ``tower.keras`` file.

    Raises:
        EncoderError: It is damaged, or made of anything but docsim's layers.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            described = _described(archive)
            weights = min(archive.getinfo(WEIGHTS).file_size, _RATIO * file.stat().st_size)  # what it says may be false
            if reason := weights_file.problem(archive):
                raise ValueError(f"its weights {reason}")
    except (OSError, KeyError, ValueError, RecursionError, RuntimeError, EOFError, *_DAMAGED) as error:
        raise EncoderError(f"expected a Keras model in {file}; it cannot be read ({error})") from error
    for name in _strangers(described):
        raise EncoderError(
            f"expected a Keras model of docsim's own layers in {file}; it names {name}. It is not loaded"
        )
    try:
        if (numbers := _numbers(described)) > weights:
            raise ValueError(f"it needs {numbers:,} weights, and holds {weights:,} bytes of them")
        return keras.saving.load_model(str(file), compile=False, safe_mode=True)
    except Exception as error:  # Keras raises many types
        raise EncoderError(f"expected a Keras model that can be loaded in {file}; it cannot be: {error}") from error


def _described(archive: zipfile.ZipFile) -> dict[str, object]:
    """Return the description of the model in a ``tower.keras``.

    Raises:
        ValueError: The archive holds something else.
    """
    if others := set(archive.namelist()) - {_CONFIG, _METADATA, WEIGHTS}:  # such as files that layers would read
        raise ValueError(f"it holds {min(others)!r}, which is no part of a tower")
    if archive.getinfo(_CONFIG).file_size > _LARGEST_DESCRIPTION:
        raise ValueError("its description is too large")
    described = json.loads(archive.read(_CONFIG))
    if not isinstance(described, dict):
        raise ValueError(f"its description is a {type(described).__name__}, not an object")
    described.pop("compile_config", None)  # not loaded
    return described


def _numbers(described: dict[str, object]) -> int:
    """Return how many numbers the weights of a model have; none is made: a line can ask for any amount of memory."""
    with without_memory():
        model = keras.saving.deserialize_keras_object(described, safe_mode=True)
    return sum(math.prod(variable.shape) for variable in model.variables)


def _strangers(described: object) -> Iterator[str]:
    """Yield the names of classes and functions that no tower of docsim is made of."""
    waiting = [described]
    while waiting:
        one = waiting.pop()
        if isinstance(one, list):
            waiting += one
        elif isinstance(one, dict):
            waiting += one.values()
            if "class_name" in one and not _is_known(one):
                yield f"{one.get('module')}.{one['class_name']}"


def _is_known(named: dict[str, object]) -> bool:
    name, registered, module = named["class_name"], named.get("registered_name"), named.get("module")
    if not isinstance(name, str) or name == _TENSOR:
        return name == _TENSOR
    if isinstance(registered, str) and registered.startswith("docsim>"):
        return registered in _OWN and registered == f"docsim>{name}"
    return (
        name in _OF_KERAS
        and registered in (None, name)
        and isinstance(module, str)
        and (module == "keras" or module.startswith("keras."))
    )
