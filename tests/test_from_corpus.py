"""Encoders made of documents alone, for languages that the shipped vocabularies spell out."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

keras = pytest.importorskip("keras")

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers  # noqa: E402

from docsim.encoding.encoder import Encoder, Preprocessing  # noqa: E402
from docsim.encoding.spelling import spelled_out_share  # noqa: E402
from docsim.errors import TrainingError, UsageError  # noqa: E402
from docsim.index import Index  # noqa: E402
from docsim.jobs.adapt import AdaptOptions, adapt  # noqa: E402
from docsim.jobs.train import CORPUS, LabelledTexts, TrainOptions, train  # noqa: E402
from docsim.maintenance.vocabulary_advice import advice, read_vocabulary  # noqa: E402
from docsim.models import Document  # noqa: E402
from docsim.reindex.examination import GateOptions  # noqa: E402
from docsim.training.towers.average import average_tower  # noqa: E402
from docsim.training.towers.saving import EncoderParts, Lineage, save  # noqa: E402
from docsim.training.wordvectors.from_corpus import corpus_parts  # noqa: E402

pytestmark = pytest.mark.training

KITCHEN = "повар варит суп режет лук морковь кастрюля плита соль перец рецепт ужин тарелка".split()  # noqa: SIM905
GARAGE = "механик чинит двигатель меняет масло колесо тормоз гараж ключ бензин дорога машина".split()  # noqa: SIM905


def texts(words: list[str], count: int, seed: int) -> list[str]:
    """Return texts of sentences of seven words each."""
    drawn = random.Random(seed)
    return ["\n\n".join(" ".join(drawn.choices(words, k=7)) + "." for _ in range(12)) for _ in range(count)]


def test_texts_on_one_subject_are_alike(tmp_path: Path) -> None:
    kitchen, garage = texts(KITCHEN, 20, 1), texts(GARAGE, 20, 2)
    encoder = save(corpus_parts(kitchen + garage), tmp_path / "made", name="made", lineage=Lineage(seed=0))
    rows = encoder.encode([*texts(KITCHEN, 2, 3), *texts(GARAGE, 2, 4)])
    similarities = rows @ rows.T
    assert similarities[0, 1] > similarities[0, 2] + 0.3
    assert similarities[2, 3] > similarities[1, 3] + 0.3
    assert encoder.unknown_shares(kitchen).max() == 0


def with_tokenizer(tokenizer: Tokenizer, path: Path) -> Encoder:
    """Return an encoder that has a tokenizer, and vectors that don't matter."""
    rows = np.random.default_rng(0).standard_normal((tokenizer.get_vocab_size(), 8)).astype(np.float32)
    rows[0] = 0
    preprocessing = Preprocessing(0, 1, special_tokens=False)
    parts = EncoderParts(average_tower(rows), tokenizer, preprocessing, kind="average", max_tokens=500)
    return save(parts, path, name="made", lineage=Lineage(seed=0))


def test_a_vocabulary_of_ideographs_reads_chinese(tmp_path: Path) -> None:
    text = "因公出差的员工应在月底前提交费用报销。超过二十欧元的收据必须附上。"
    letters = {letter: number for number, letter in enumerate(dict.fromkeys(["[PAD]", "[UNK]", *text]))}
    tokenizer = Tokenizer(models.WordPiece(letters, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    assert spelled_out_share(with_tokenizer(tokenizer, tmp_path / "chinese"), [text]) == 0
    assert spelled_out_share(Encoder.default(), [text]) == 1


def test_what_is_read_byte_by_byte_is_spelled_out(tmp_path: Path) -> None:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    numbers = {letter: number for number, letter in enumerate(["<pad>", "<unk>", *alphabet])}
    words = ["the", "th", "he", "Ġthe"]
    merges = [("t", "h"), ("th", "e"), ("Ġ", "the")]
    numbers |= {word: len(numbers) + place for place, word in enumerate(words)}
    tokenizer = Tokenizer(models.BPE(numbers, merges, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    encoder = with_tokenizer(tokenizer, tmp_path / "bytes")
    assert spelled_out_share(encoder, ["the the the"]) == 0
    assert spelled_out_share(encoder, ["出張の費用は", "Механик меняет", "nothing known"]) == 1


def test_the_same_texts_make_the_same_encoder(tmp_path: Path) -> None:
    some = texts(KITCHEN + GARAGE, 30, 5)
    first, second = (
        save(corpus_parts(some), tmp_path / name, name="made", lineage=Lineage(seed=0)) for name in ("a", "b")
    )
    assert first.fingerprint == second.fingerprint


@pytest.mark.parametrize("given", [[], ["суп"], ["", " "]])
def test_too_few_texts_are_refused_in_a_sentence(given: list[str]) -> None:
    with pytest.raises(TrainingError, match="to make a vocabulary of"):
        corpus_parts(given)


def test_labelled_examples_make_no_vocabulary(tmp_path: Path) -> None:
    file = tmp_path / "pairs.tsv"
    file.write_text("a\tb\n" + "".join(f"soup {n}\tstew {n}\n" for n in range(20)), encoding="utf-8")
    with pytest.raises(UsageError, match="expected documents, from which a vocabulary can be made"):
        train(LabelledTexts(file), tmp_path / "out", TrainOptions(start=CORPUS))


@pytest.mark.thorough
@pytest.mark.slow
def test_an_encoder_that_is_named_is_trained_whatever_the_language(tmp_path: Path) -> None:
    with Index.create(tmp_path / "index", encoder=Encoder.default()) as index:
        index.sync([Document(f"d{number}", text) for number, text in enumerate(texts(KITCHEN, 30, 8))])
        options = AdaptOptions(start=Encoder.default().path, time_limit=2, gate=GateOptions(publish_anyway=True))
        adapted = adapt(index, options)
    assert adapted.trained is not None
    assert adapted.trained.encoder.manifest["lineage"]["parent"] == Encoder.default().fingerprint


@pytest.mark.slow
def test_an_index_in_such_a_language_gets_a_vocabulary_of_its_own(tmp_path: Path) -> None:
    every = [*texts(KITCHEN, 40, 6), *texts(GARAGE, 40, 7)]
    with Index.create(tmp_path / "index", encoder=Encoder.default()) as index:
        index.sync([Document(f"d{number}", text) for number, text in enumerate(every)])
        options = AdaptOptions(time_limit=1, gate=GateOptions(publish_anyway=True))
        assert "docsim adapt makes a vocabulary" in (advice(read_vocabulary(index)) or "")
        adapted = adapt(index, options)
        assert adapted.trained is not None
        encoder = index.encoder
        assert encoder.fingerprint == adapted.trained.encoder.fingerprint
        assert encoder.unknown_shares(every).max() == 0
        rows = encoder.encode([every[0], every[1], every[41]])
        assert rows[0] @ rows[1] > rows[0] @ rows[2]
        assert np.isfinite(rows).all()
        assert "docsim adapt" not in (advice(read_vocabulary(index)) or "")
