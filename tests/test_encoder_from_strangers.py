"""An encoder from a stranger costs what it weighs, reads no other files, and is refused in one sentence."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from docsim.encoding import copying, manifest
from docsim.encoding.encoder import Encoder
from docsim.encoding.manifest import Preprocessing, fingerprint
from docsim.errors import EncoderError

SECRET = "nobody else reads this"


@pytest.fixture
def stranger(tiny_encoder_dir: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_encoder_dir, tmp_path / "stranger"))


def write(path: Path, said: dict[str, Any]) -> None:
    """Write a manifest with the fingerprint that it must have."""
    settings, tokens = Preprocessing(**said["preprocessing"]), said["max_tokens"]
    said["fingerprint"] = fingerprint(said["files"], preprocessing=settings, max_tokens=tokens)
    (path / "manifest.json").write_text(json.dumps(said), encoding="utf-8")


def of_preprocessing(**changes: object) -> Callable[[dict[str, Any]], None]:
    return lambda said: said["preprocessing"].update(changes)


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("dim", lambda said: said.update(dim=float("inf"))),
        ("dim", lambda said: said.update(dim=2**24)),
        ("max_tokens", lambda said: said.update(max_tokens=float("inf"))),
        ("max_tokens", lambda said: said.update(max_tokens=-5)),
        ("components", of_preprocessing(components=-5)),
        ("padding_id", of_preprocessing(padding_id=2**40)),
        ("padding_id", of_preprocessing(padding_id="x")),
        ("empty_id", of_preprocessing(empty_id=1.5)),
        ("lineage", lambda said: said.update(lineage="x")),
        ("kind", lambda said: said.update(kind="averagd")),
        ("kind", lambda said: said.update(kind=["average"])),
        ("precision", lambda said: said.update(precision="float3")),
        ("dims", lambda said: said.update(dims=16)),
        ("dims", lambda said: said.update(dims=["x"])),
    ],
)
def test_a_setting_that_no_encoder_has_is_named(
    stranger: Path, field: str, change: Callable[[dict[str, Any]], None]
) -> None:
    said = manifest.read_manifest(stranger)
    change(said)
    write(stranger, said)
    with pytest.raises(EncoderError, match=rf"manifest.json has a missing or wrong field \({field}: "):
        Encoder.load(stranger)


def test_more_components_than_the_tower_gives_are_refused(stranger: Path) -> None:
    said = manifest.read_manifest(stranger)
    said["dim"] = said["preprocessing"]["components"] = 400
    write(stranger, said)
    with pytest.raises(EncoderError, match=r"says 400 components, tower\.onnx gives 32"):
        Encoder.load(stranger)


def test_a_deep_manifest_is_refused(stranger: Path) -> None:
    (stranger / "manifest.json").write_text("[" * 200_000)
    with pytest.raises(EncoderError, match=r"manifest\.json cannot be read \(maximum recursion depth"):
        Encoder.load(stranger)


def test_a_large_manifest_is_refused(stranger: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifest, "_LARGEST_MANIFEST", 100)
    with pytest.raises(EncoderError, match=r"manifest\.json cannot be read \(it is larger than 0 MB\)"):
        Encoder.load(stranger)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such files")
@pytest.mark.parametrize("name", ["manifest.json", "tower.onnx", "tokenizer.json"])
@pytest.mark.parametrize("kind", ["device", "pipe"])
def test_what_may_have_no_end_is_not_read(stranger: Path, name: str, kind: str) -> None:
    (stranger / name).unlink()
    if kind == "device":
        (stranger / name).symlink_to("/dev/zero")
    else:
        os.mkfifo(stranger / name)
    with pytest.raises(EncoderError, match=f"{name} cannot be read .it is no regular file"):
        Encoder.load(stranger)


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights on Windows")
@pytest.mark.parametrize("name", ["README.md", "notes.txt"])
def test_a_link_to_another_file_is_not_copied_into_an_index(stranger: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "secret").write_text(SECRET)
    (stranger / name).unlink(missing_ok=True)
    (stranger / name).symlink_to(tmp_path / "secret")
    encoder = Encoder.load(stranger)
    copying.copy(encoder, tmp_path / "copy")
    assert not (tmp_path / "copy" / name).exists()
    assert Encoder.load(tmp_path / "copy").fingerprint == encoder.fingerprint


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights on Windows")
def test_a_link_to_the_file_that_the_manifest_describes_is_copied(stranger: Path, tmp_path: Path) -> None:
    shutil.move(stranger / "tower.onnx", tmp_path / "blob")
    (stranger / "tower.onnx").symlink_to(tmp_path / "blob")
    copying.copy(Encoder.load(stranger), tmp_path / "copy")
    assert (tmp_path / "copy" / "tower.onnx").read_bytes() == (tmp_path / "blob").read_bytes()
    assert not (tmp_path / "copy" / "tower.onnx").is_symlink()


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights on Windows")
def test_a_link_to_another_tower_than_the_manifest_describes_is_refused(stranger: Path, tmp_path: Path) -> None:
    said = manifest.read_manifest(stranger)
    said["files"]["tower.keras"] = "0" * 64
    write(stranger, said)
    (tmp_path / "secret").write_text(SECRET)
    (stranger / "tower.keras").unlink(missing_ok=True)
    (stranger / "tower.keras").symlink_to(tmp_path / "secret")
    with pytest.raises(EncoderError, match=r"tower\.keras does not match its digest"):
        copying.copy(Encoder.load(stranger), tmp_path / "copy")


@pytest.mark.parametrize("row", [float("nan"), float("inf"), None])
def test_rows_that_are_no_embeddings_are_refused(
    stranger: Path, monkeypatch: pytest.MonkeyPatch, row: float | None
) -> None:
    encoder = Encoder.load(stranger)
    run = encoder._run
    monkeypatch.setattr(encoder, "_run", lambda batch: run(batch)[:, 1:] if row is None else run(batch) * row)
    with pytest.raises(EncoderError, match="expected unit vectors from the encoder"):
        encoder.encode(["leave"])
