"""``tower.keras`` from anybody is loaded only if it is made of docsim's own layers."""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import resource
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from effort import thorough

keras = pytest.importorskip("keras")
h5py = pytest.importorskip("h5py")

from docsim.errors import EncoderError  # noqa: E402
from docsim.training.towers.average import average_tower  # noqa: E402
from docsim.training.towers.keras_file import load_tower  # noqa: E402
from docsim.training.towers.kinds import KINDS, build_tower  # noqa: E402

pytestmark = pytest.mark.training

VECTORS = np.random.default_rng(0).normal(size=(9, 8)).astype(np.float32)


@pytest.mark.parametrize("kind", ["average", "transformer", *thorough("lstm")])
def test_every_kind_of_tower_is_loaded(tmp_path: Path, kind: str) -> None:
    tower = build_tower(kind, VECTORS)
    tower.save(tmp_path / "tower.keras")
    ids = np.array([[1, 2, 3]], dtype=np.int32)
    expected = keras.ops.convert_to_numpy(tower(ids))
    assert keras.ops.convert_to_numpy(load_tower(tmp_path / "tower.keras")(ids)) == pytest.approx(expected, abs=1e-6)


def described(file: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """Write a tower whose description was changed."""
    average_tower(VECTORS).save(file)
    with zipfile.ZipFile(file) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(content["config.json"])
    change(config)
    content["config.json"] = json.dumps(config).encode()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    return file


def of_function(config: dict[str, Any]) -> None:
    config["config"]["layers"][2] = {
        "module": "keras.layers",
        "class_name": "Lambda",
        "config": {},
        "registered_name": None,
    }


def of_module(config: dict[str, Any]) -> None:
    config["config"]["layers"][2].update(module="os", class_name="system", registered_name=None)


def of_reader(config: dict[str, Any]) -> None:
    config["config"]["layers"][2].update(module="keras.layers", class_name="StringLookup", registered_name=None)


def of_downloader(config: dict[str, Any]) -> None:
    initializer = {"module": "keras.utils", "class_name": "get_file", "config": {}, "registered_name": "get_file"}
    config["config"]["layers"][1]["config"]["initializer"] = initializer


def of_impostor(config: dict[str, Any]) -> None:
    config["config"]["layers"][2].update(class_name="Anything", registered_name="docsim>Anything")


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (of_function, r"keras\.layers\.Lambda"),
        (of_module, r"os\.system"),
        (of_reader, r"keras\.layers\.StringLookup"),
        (of_downloader, r"keras\.utils\.get_file"),
        (of_impostor, "Anything"),
    ],
)
def test_other_classes_and_functions_are_not_loaded(
    tmp_path: Path, change: Callable[[dict[str, Any]], None], name: str
) -> None:
    with pytest.raises(EncoderError, match=f"of docsim's own layers in .*; it names .*{name}"):
        load_tower(described(tmp_path / "tower.keras", change))


def filled(weights: Any) -> None:
    weights.create_dataset("huge", shape=(10**7, 10**5), dtype="f4", fillvalue=1.0)  # 4 TB, none of it stored


def compressed(weights: Any) -> None:
    weights.create_dataset("huge", data=np.ones((4000, 1000), "f4"), compression="gzip")


def elsewhere(weights: Any) -> None:
    weights["theirs"] = h5py.ExternalLink("/etc/other.h5", "/secret")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (filled, "an array that takes 4000000 MB and is not stored"),
        (compressed, "is not stored as such"),
        (elsewhere, "refer to other places or files"),
    ],
)
def test_weights_that_take_more_memory_than_their_file_or_other_files_are_refused(
    tmp_path: Path, change: Callable[[Any], None], reason: str
) -> None:
    file = tmp_path / "tower.keras"
    average_tower(VECTORS).save(file)
    with zipfile.ZipFile(file) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    stream = io.BytesIO(content["model.weights.h5"])
    with h5py.File(stream, "r+") as weights:
        change(weights)
    content["model.weights.h5"] = stream.getvalue()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    with pytest.raises(EncoderError, match=reason):
        load_tower(file)


def test_a_torn_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "tower.keras"
    average_tower(VECTORS).save(file)
    file.write_bytes(file.read_bytes()[:200])
    with pytest.raises(EncoderError, match="expected a Keras model in"):
        load_tower(file)


def test_a_model_without_its_weights_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "tower.keras"
    average_tower(VECTORS).save(file)
    with zipfile.ZipFile(file) as archive:
        config = archive.read("config.json")
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("config.json", config)
    with pytest.raises(EncoderError, match=r"expected a Keras model in .*model\.weights\.h5"):
        load_tower(file)


def large(config: dict[str, Any]) -> None:
    config["config"]["layers"][1]["config"]["vocabulary"] = 10**10


def wide(config: dict[str, Any]) -> None:
    config["config"]["layers"][1]["config"]["dim"] = 10**9


@pytest.mark.parametrize("change", [large, wide])
def test_a_description_that_asks_for_more_memory_than_its_weights_take_is_refused(
    tmp_path: Path, change: Callable[[dict[str, Any]], None]
) -> None:
    with pytest.raises(EncoderError, match=r"it needs [0-9,]+ weights, and holds [0-9,]+ bytes of them"):
        load_tower(described(tmp_path / "tower.keras", change))


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("config.json", b"[1, 2]", "its description is a list, not an object"),
        ("config.json", b"[" * 100_000, "it cannot be read"),
        ("config.json", b'{"a": "' + b" " * 10**6 + b'"}', "its description is too large"),
        ("config.json", b'{"class_name": {}, "module": [], "config": 3}', "it names"),
        ("config.json", b"{}", "cannot be loaded|it cannot be"),
        ("assets/vocabulary.txt", b"theirs", "it holds 'assets/vocabulary.txt', which is no part of a tower"),
        ("model.weights.npz", b"theirs", "it holds 'model.weights.npz', which is no part of a tower"),
        ("model.weights.h5", b"theirs", "it cannot be read"),
    ],
)
def test_what_is_no_part_of_a_tower_is_refused(tmp_path: Path, name: str, content: bytes, reason: str) -> None:
    file = tmp_path / "tower.keras"
    average_tower(VECTORS).save(file)
    with zipfile.ZipFile(file) as archive:
        kept = {name: archive.read(name) for name in archive.namelist()} | {name: content}
    with zipfile.ZipFile(file, "w") as archive:
        for one, data in kept.items():
            archive.writestr(one, data)
    with pytest.raises(EncoderError, match=reason):
        load_tower(file)


@pytest.mark.thorough
@pytest.mark.parametrize("kind", KINDS)
def test_any_setting_of_any_layer_is_taken_or_refused(tmp_path: Path, kind: str) -> None:
    build_tower(kind, VECTORS).save(tmp_path / "good.keras")
    with zipfile.ZipFile(tmp_path / "good.keras") as archive:
        kept = {name: archive.read(name) for name in archive.namelist()}
    layers = json.loads(kept["config.json"])["config"]["layers"]
    places = [(number, setting) for number, layer in enumerate(layers) for setting in layer["config"]]
    for (number, setting), value in itertools.product(places, (-1, 10**12, 1.5, "x", None, [1], {"a": 1})):
        changed = json.loads(kept["config.json"])
        changed["config"]["layers"][number]["config"][setting] = value
        with zipfile.ZipFile(tmp_path / "tower.keras", "w") as archive:
            for name, data in (kept | {"config.json": json.dumps(changed).encode()}).items():
                archive.writestr(name, data)
        with contextlib.suppress(EncoderError):
            load_tower(tmp_path / "tower.keras")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 4_000_000  # kilobytes
