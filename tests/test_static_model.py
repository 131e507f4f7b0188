"""Static embeddings of model2vec and sentence-transformers, compared with the means of their vectors in NumPy."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray
from safetensors.numpy import save_file
from tiny_bert import write_json
from tiny_encoder import WORDS, tiny_tokenizer
from tiny_models import byte_pairs, pieces, write_modules
from tokenizers import Tokenizer

keras = pytest.importorskip("keras")

from docsim.cli import main  # noqa: E402
from docsim.encoding.encoder import Encoder  # noqa: E402
from docsim.errors import TrainingError  # noqa: E402
from docsim.training.imports.importing import Wishes, import_encoder  # noqa: E402
from docsim.training.towers.average import token_vectors  # noqa: E402
from docsim.training.towers.kinds import trainable  # noqa: E402
from docsim.training.towers.saving import load  # noqa: E402

pytestmark = pytest.mark.training

TEXTS = [
    "soup",
    "boil the lentils until soft",
    "How do we rotate the signing keys?",
    "\u4e2d soup \u6587 caf\u00e9 cat",
]
RANDOM = np.random.default_rng(3)


def drawn(*shape: int) -> NDArray[np.float32]:
    return RANDOM.normal(size=shape).astype(np.float32)


def unit(row: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(row / np.linalg.norm(row))


def ids(tokenizer: Tokenizer, text: str) -> list[int]:
    found: list[int] = tokenizer.encode(text, add_special_tokens=False).ids
    return found


def model2vec(path: Path, tokenizer: Tokenizer, tensors: Mapping[str, NDArray[np.generic]]) -> Path:
    path.mkdir()
    write_json(path / "config.json", {"model_type": "model2vec", "normalize": True})
    tokenizer.save(str(path / "tokenizer.json"))
    save_file(dict(tensors), path / "model.safetensors")
    return path


@pytest.mark.parametrize("make", [tiny_tokenizer, pieces], ids=["WordPiece", "Unigram"])
def test_model2vec_averages_known_tokens(tmp_path: Path, make: type[Tokenizer]) -> None:
    tokenizer = make()
    vectors = drawn(tokenizer.get_vocab_size(), 8)
    encoder = import_encoder(model2vec(tmp_path / "m", tokenizer, {"embeddings": vectors}), tmp_path / "made")
    unknown = tokenizer.token_to_id("[UNK]") or tokenizer.token_to_id("<unk>")
    wanted = [unit(vectors[[id for id in ids(tokenizer, text) if id != unknown]].mean(axis=0)) for text in TEXTS]
    assert (encoder.encode(TEXTS) * np.stack(wanted)).sum(axis=1).min() > 0.9999


def test_weights_and_shared_rows_of_model2vec_are_applied(tmp_path: Path) -> None:
    tokenizer = tiny_tokenizer()
    count = tokenizer.get_vocab_size()
    rows, weights, mapping = drawn(40, 8), RANDOM.random(count).astype(np.float32), RANDOM.integers(0, 40, count)
    tensors = {"embeddings": rows.astype(np.float16), "weights": weights, "mapping": mapping}
    encoder = import_encoder(model2vec(tmp_path / "m", tokenizer, tensors), tmp_path / "made")
    used = ids(tokenizer, TEXTS[1])
    wanted = unit((rows[mapping[used]] * weights[used][:, None]).sum(axis=0))
    assert float(encoder.encode([TEXTS[1]])[0] @ wanted) > 0.9999


def test_a_mapping_to_rows_that_do_not_exist_is_refused(tmp_path: Path) -> None:
    tokenizer = tiny_tokenizer()
    tensors = {"embeddings": drawn(40, 8), "mapping": np.full(tokenizer.get_vocab_size(), 40)}
    with pytest.raises(TrainingError, match="expected rows from 0 to 39"):
        import_encoder(model2vec(tmp_path / "m", tokenizer, tensors), tmp_path / "made")


def test_a_mapping_that_makes_far_too_many_vectors_is_refused(tmp_path: Path) -> None:
    tensors: dict[str, NDArray[np.generic]] = {"embeddings": drawn(1, 10_000), "mapping": np.zeros(1_000_000, np.int8)}
    path = model2vec(tmp_path / "original", tiny_tokenizer(), tensors)
    with pytest.raises(TrainingError, match=r"from 1 to 500 million numbers .* shape \(1000000, 10000\)"):
        import_encoder(path, tmp_path / "made")


def test_fewer_vectors_than_tokens_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="expected a vector for each token"):
        import_encoder(model2vec(tmp_path / "m", tiny_tokenizer(), {"embeddings": drawn(40, 8)}), tmp_path / "made")


def test_a_static_embedding_averages_all_tokens_that_of_id_0_among_them(tmp_path: Path) -> None:
    tokenizer, path = byte_pairs(), tmp_path / "static"
    folder = path / "0_StaticEmbedding"
    folder.mkdir(parents=True)
    write_modules(path, {"0_StaticEmbedding": "StaticEmbedding", "1_Normalize": "Normalize"})
    tokenizer.save(str(folder / "tokenizer.json"))
    vectors = drawn(tokenizer.get_vocab_size(), 8)
    save_file({"embedding.weight": vectors}, folder / "model.safetensors")
    encoder = import_encoder(path, tmp_path / "made")
    texts = [*TEXTS, "soup <s> cat <pad>"]
    wanted = [unit(vectors[ids(tokenizer, text)].mean(axis=0)) for text in texts]
    assert 0 in ids(tokenizer, texts[-1])
    assert (encoder.encode(texts) * np.stack(wanted)).sum(axis=1).min() > 0.9999


def test_a_static_import_is_an_average_tower_that_can_be_trained(tmp_path: Path) -> None:
    tokenizer = tiny_tokenizer()
    tensors = {"embeddings": drawn(tokenizer.get_vocab_size(), 8)}
    encoder = import_encoder(model2vec(tmp_path / "m", tokenizer, tensors), tmp_path / "made")
    parts = load(encoder.path)
    tower = trainable(parts.tower)
    assert (parts.kind, len(tower.trainable_variables)) == ("average", 2)
    assert token_vectors(tower).shape == (tokenizer.get_vocab_size() + 1, 8)


def test_a_static_import_learns_from_documents(tmp_path: Path) -> None:
    tokenizer = tiny_tokenizer()
    tensors = {"embeddings": drawn(tokenizer.get_vocab_size(), 8)}
    import_encoder(model2vec(tmp_path / "m", tokenizer, tensors), tmp_path / "made", Wishes(convention="e5"))
    folder = tmp_path / "docs"
    folder.mkdir()
    for number, word in enumerate(WORDS[:40]):
        text = f"# {word}\n\n" + " ".join(WORDS[number % 7 :: 3]) + f" {word} " * 5 + " [PAD] \u4e2d"
        (folder / f"{number}.md").write_text(text, encoding="utf-8")
    arguments = ["--corpus", str(folder), "--from", str(tmp_path / "made"), "--out", str(tmp_path / "trained")]
    result = CliRunner().invoke(main, ["train", *arguments, "--steps", "2"])
    assert result.exit_code == 0, result.output
    trained = Encoder.load(tmp_path / "trained")
    assert (trained.query_prefix, trained.document_prefix) == ("query: ", "passage: ")
    assert trained.manifest["lineage"]["parent"] == Encoder.load(tmp_path / "made").fingerprint


def test_a_text_of_unknown_words_alone_still_has_an_embedding(tmp_path: Path) -> None:
    tokenizer = tiny_tokenizer()
    tensors = {"embeddings": drawn(tokenizer.get_vocab_size(), 8)}
    encoder = import_encoder(model2vec(tmp_path / "m", tokenizer, tensors), tmp_path / "made")
    assert np.linalg.norm(encoder.encode(["\u4e2d\u6587", ""]), axis=1) == pytest.approx([1, 1], abs=1e-3)
