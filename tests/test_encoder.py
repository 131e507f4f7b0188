"""The encoder at run time: a small real one, and the one that is shipped."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from docsim.encoding import batching
from docsim.encoding import encoder as module
from docsim.encoding.encoder import Encoder
from docsim.errors import EncoderError
from docsim.runtime import onnxruntime

TEXTS = ["How do I rotate the signing keys?", "Boil the lentils until soft", "train ticket " * 300, "x", "", "Soup!"]


@pytest.fixture(scope="module")
def encoder(tiny_encoder_dir: Path) -> Encoder:
    return Encoder.load(tiny_encoder_dir)


@pytest.fixture(scope="module")
def shipped() -> Encoder:
    return Encoder.default()


@pytest.fixture
def copied(tiny_encoder_dir: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_encoder_dir, tmp_path / "encoder"))


def edit(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    manifest = json.loads((path / "manifest.json").read_text(encoding="utf-8"))
    change(manifest)
    (path / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")


def test_rows_have_length_one(encoder: Encoder) -> None:
    assert np.linalg.norm(encoder.encode(TEXTS), axis=1) == pytest.approx(1, abs=1e-5)


def test_embeddings_are_contiguous_float32_rows(encoder: Encoder) -> None:
    embeddings = encoder.encode(TEXTS)
    assert (str(embeddings.dtype), embeddings.shape, embeddings.flags.c_contiguous) == ("float32", (6, 32), True)


def test_no_texts_give_no_rows(encoder: Encoder) -> None:
    assert encoder.encode([]).shape == (0, 32)


def test_equal_texts_get_equal_embeddings(encoder: Encoder) -> None:
    first, second = encoder.encode(["signing keys", "signing keys"])
    assert float(first @ second) == pytest.approx(1, abs=1e-6)


def test_the_sum_of_token_vectors_decides_and_not_their_order(encoder: Encoder) -> None:
    first, second = encoder.encode(["train ticket", "ticket train"])
    assert first == pytest.approx(second, abs=1e-6)


def test_a_text_alone_and_among_others_gets_the_same_embedding(encoder: Encoder) -> None:
    alone = np.concatenate([encoder.encode([text]) for text in TEXTS])
    assert np.abs(encoder.encode(TEXTS) - alone).max() < 1e-6


@settings(deadline=None, max_examples=30)
@given(order=st.permutations(range(len(TEXTS))))
def test_rows_come_in_the_order_of_the_texts(tiny_encoder_dir: Path, order: list[int]) -> None:
    encoder = Encoder.load(tiny_encoder_dir)
    assert encoder.encode([TEXTS[i] for i in order]) == pytest.approx(encoder.encode(TEXTS)[order], abs=1e-6)


@settings(deadline=None, max_examples=200)
@given(text=st.text(st.characters(codec=None)))
def test_any_text_has_an_embedding_of_length_one(tiny_encoder_dir: Path, text: str) -> None:
    (row,) = Encoder.load(tiny_encoder_dir).encode([text])
    assert float(np.linalg.norm(row)) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("text", ["", " \n\t", "\x00", "\u200b", "\U0001f600", "\u4e2d"], ids=ascii)
def test_texts_without_a_known_token_get_the_embedding_of_the_empty_text(encoder: Encoder, text: str) -> None:
    assert encoder.encode([text]) == pytest.approx(encoder.encode([""]), abs=1e-6)


def test_an_unpaired_surrogate_counts_as_a_replacement_character(encoder: Encoder) -> None:
    broken, repaired = encoder.encode(["train \ud800 ticket", "train \ufffd ticket"])
    assert broken == pytest.approx(repaired, abs=1e-6)


def test_a_megabyte_is_read_up_to_the_token_limit(encoder: Encoder) -> None:
    long = "garden " * encoder.max_tokens
    assert encoder.encode([long + "soup " * 200_000]) == pytest.approx(encoder.encode([long]), abs=1e-6)


def test_many_chunks_give_what_one_gives(encoder: Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [f"{text} {number}" for number in range(40) for text in TEXTS]
    whole = encoder.encode(texts)
    monkeypatch.setattr(module, "_CHUNK_CHARACTERS", 500)
    assert np.abs(encoder.encode(texts) - whole).max() < 1e-6


def test_several_threads_get_what_one_gets(encoder: Encoder) -> None:
    expected = encoder.encode(TEXTS)
    found: list[float] = []

    def work() -> None:
        found.extend(float(np.abs(encoder.encode(TEXTS) - expected).max()) for _ in range(20))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 80
    assert max(found) < 1e-6


def test_one_string_instead_of_a_list_is_refused(encoder: Encoder) -> None:
    with pytest.raises(TypeError, match=r"pass \[text\]"):
        encoder.encode("a text")


def test_a_batch_holds_no_more_padded_tokens_than_its_budget() -> None:
    lengths = np.array([1, 4000, 3, 5000, 9, 4000, 1], dtype=np.int64)
    batches = list(batching.batches(lengths, 4096))
    assert sorted(row for rows in batches for row in rows.tolist()) == list(range(7))
    assert all(len(rows) == 1 or len(rows) * lengths[rows].max() <= 4096 for rows in batches)


def test_the_fingerprint_does_not_depend_on_the_name(copied: Path, encoder: Encoder) -> None:
    edit(copied, lambda manifest: manifest.update(name="another", lineage={}))
    assert Encoder.load(copied).fingerprint == encoder.fingerprint


def test_the_fingerprint_is_64_hexadecimal_digits(encoder: Encoder) -> None:
    assert len(bytes.fromhex(encoder.fingerprint)) == 32


def test_a_changed_setting_is_not_what_the_fingerprint_tells_of(copied: Path) -> None:
    edit(copied, lambda manifest: manifest.update(max_tokens=7))
    with pytest.raises(EncoderError, match="says the fingerprint is"):
        Encoder.load(copied)


@pytest.mark.parametrize("name", ["tower.onnx", "tokenizer.json"])
def test_a_damaged_file_is_named(copied: Path, name: str) -> None:
    content = bytearray((copied / name).read_bytes())
    content[len(content) // 2] ^= 1
    (copied / name).write_bytes(content)
    with pytest.raises(EncoderError, match=f"damaged: {name} does not match"):
        Encoder.load(copied)


@pytest.mark.parametrize("name", ["tower.onnx", "tokenizer.json"])
def test_a_missing_file_is_named(copied: Path, name: str) -> None:
    (copied / name).unlink()
    with pytest.raises(EncoderError, match=f"{name} cannot be read"):
        Encoder.load(copied)


def test_a_directory_without_an_encoder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match=r"found no such directory"):
        Encoder.load(tmp_path / "nowhere")
    with pytest.raises(EncoderError, match=r"found no manifest\.json in it"):
        Encoder.load(tmp_path)


@pytest.mark.parametrize("content", [b"{", b"\xff\xff", b"[" * 10])
def test_a_manifest_that_is_not_json_is_refused(copied: Path, content: bytes) -> None:
    (copied / "manifest.json").write_bytes(content)
    with pytest.raises(EncoderError, match=r"manifest\.json cannot be read"):
        Encoder.load(copied)


@pytest.mark.parametrize("content", ["[]", "{}", '{"format": 99}'])
def test_another_format_version_is_refused(copied: Path, content: str) -> None:
    (copied / "manifest.json").write_text(content, encoding="utf-8")
    with pytest.raises(EncoderError, match="this docsim reads version 1"):
        Encoder.load(copied)


@pytest.mark.parametrize("field", ["name", "dim", "max_tokens", "fingerprint", "preprocessing", "files", "kind"])
def test_a_manifest_that_lacks_a_field_is_refused(copied: Path, field: str) -> None:
    edit(copied, lambda manifest: manifest.pop(field))
    with pytest.raises(EncoderError, match="has a missing or wrong field"):
        Encoder.load(copied)


def test_the_shipped_encoder_ranks_a_paraphrase_above_another_subject(shipped: Encoder) -> None:
    question, answer, other = shipped.encode(
        ["How do I cook lentils?", "Boil the beans until they are soft.", "The server rejects expired certificates."]
    )
    assert float(question @ answer) > float(question @ other) + 0.1


def test_the_shipped_encoder_fits_in_16_megabytes(shipped: Encoder) -> None:
    assert sum(file.stat().st_size for file in shipped.path.iterdir()) <= 16_000_000


def test_the_shipped_encoder_names_its_teacher(shipped: Encoder) -> None:
    lineage = json.loads((shipped.path / "manifest.json").read_text(encoding="utf-8"))["lineage"]
    assert lineage["teacher"] == "all-MiniLM-L6-v2"


def test_encoding_does_not_load_tensorflow_or_keras(tiny_encoder_dir: Path) -> None:
    script = (
        "import sys\n"
        "from docsim.encoding.encoder import Encoder\n"
        f"assert Encoder.load({str(tiny_encoder_dir)!r}).encode(['a text']).shape == (1, 32)\n"
        "heavy = {'tensorflow', 'keras', 'keras_hub', 'tf2onnx', 'onnx', 'torch'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_an_encoder_of_fewer_components_gives_the_leading_ones_at_length_one(
    tiny_encoder_dir: Path, encoder: Encoder
) -> None:
    short = Encoder.load(tiny_encoder_dir, dim=16)
    leading = encoder.encode(TEXTS)[:, :16]
    expected = leading / np.linalg.norm(leading, axis=1, keepdims=True)
    assert short.dim == 16
    assert np.abs(short.encode(TEXTS) - expected).max() < 1e-6


def test_an_encoder_of_fewer_components_has_a_fingerprint_of_its_own(tiny_encoder_dir: Path, encoder: Encoder) -> None:
    short = Encoder.load(tiny_encoder_dir, dim=16)
    assert short.fingerprint != encoder.fingerprint
    assert short.fingerprint == Encoder.load(tiny_encoder_dir, dim=16).fingerprint


def test_all_components_are_the_encoder_itself(tiny_encoder_dir: Path, encoder: Encoder) -> None:
    assert Encoder.load(tiny_encoder_dir, dim=32).fingerprint == encoder.fingerprint


@pytest.mark.parametrize("dim", [8, 31, 64])
def test_components_that_the_encoder_was_not_trained_to_do_with_are_refused(tiny_encoder_dir: Path, dim: int) -> None:
    with pytest.raises(EncoderError, match=f"was trained for: 32, 16; got {dim}"):
        Encoder.load(tiny_encoder_dir, dim=dim)


def test_the_shipped_encoder_does_with_half_its_components(shipped: Encoder) -> None:
    texts = ["The invoice was not paid", "A bill is still open", "Boil the lentils until soft"]
    rows = Encoder.default(dim=128).encode(texts)
    assert rows.shape == (3, 128)
    assert np.abs(rows @ rows.T - shipped.encode(texts) @ shipped.encode(texts).T).max() < 0.2


def test_onnx_runtime_still_keeps_the_bytes_of_a_model_where_docsim_drops_them(tiny_encoder_dir: Path) -> None:
    content = (tiny_encoder_dir / "tower.onnx").read_bytes()
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    assert session._model_bytes == content, "see docsim/encoding/tower_session.py"
