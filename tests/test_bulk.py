"""Encoding in bulk, in processes: files that are whole or not there, and re-indexing from them, over two engines."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import bulk
import numpy as np
import psutil
import pytest
from click.testing import CliRunner, Result
from dict_engine import DictEngine
from encoder_variants import with_nan, with_other_dim
from told import Told
from turned_encoder import turned

from docsim import Document, Encoder, Index
from docsim.bulk import files as bulk_files
from docsim.bulk import prepared, processes, shards
from docsim.bulk.embedding import Job, embed_shard, path_of
from docsim.cli import main
from docsim.encoding.documents import kept_embeddings
from docsim.errors import DocsimError, FingerprintMismatch, StoreError, UsageError
from docsim.jobs import embed as jobs
from docsim.jobs import reindex as reindexing
from docsim.jobs.embed import BulkOptions, EmbeddedInBulk
from docsim.jobs.reindex import ReindexOptions
from docsim.reindex.examination import GateOptions

COUNT = 60
ANY = GateOptions(max_loss=1)
SMALL = BulkOptions(workers=2, shard=8)
ONE = replace(SMALL, workers=1)


@pytest.fixture(scope="module")
def other(tiny_encoder_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another encoder of the same similarities."""
    return turned(tiny_encoder_dir, tmp_path_factory.mktemp("other") / "turned")


@pytest.fixture(scope="module")
def made(tiny_encoder_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bulk.made(tmp_path_factory.mktemp("made") / "index", tiny_encoder_dir, COUNT)


@pytest.fixture(scope="module")
def embedded(made: Path, other: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, EmbeddedInBulk]:
    """The embeddings of the index under the other encoder, in files, and what was told of them."""
    out = tmp_path_factory.mktemp("embedded")
    with Index.open(made) as index:
        return out, jobs.embed(index, Encoder.load(other), out, SMALL)


@pytest.fixture
def index(made: Path, tmp_path: Path) -> Iterator[Index]:
    with Index.open(shutil.copytree(made, tmp_path / "index")) as index:
        yield index


@pytest.fixture
def out(embedded: tuple[Path, EmbeddedInBulk], tmp_path: Path) -> Path:
    """A copy of the embeddings in files, which a test may change."""
    return shutil.copytree(embedded[0], tmp_path / "out")


def job_of(index: Index, encoder: Encoder, out: Path) -> Job:
    return Job(str(encoder.path), encoder.fingerprint, encoder.dim, str(out), str(index.path))


def dictionaries(folder: Path, encoder: Encoder) -> Index:
    index = Index(DictEngine.create(folder, encoder))
    index.sync(bulk.pages(COUNT))
    return index


ENGINES: dict[str, Callable[[Path, Encoder], Index]] = {
    "local": lambda folder, encoder: Index.open(bulk.made(folder / "local", encoder.path, COUNT)),
    "dict": dictionaries,
}

# Files


def test_files_say_which_passages_they_hold_and_another_program_reads_them(
    index: Index, other: Path, embedded: tuple[Path, EmbeddedInBulk]
) -> None:
    encoder, (out, done) = Encoder.load(other), embedded
    rows = bulk.rows(out)
    assert (done.documents, done.passages, done.shards, done.made) == (COUNT, len(rows), 8, 8)
    assert done.folder == out / encoder.fingerprint[:16]
    assert {row["id"] for row in rows} == {f"page{number:04}.md" for number in range(COUNT)}
    for row in rows:
        document = index.document(row["id"])
        assert row["digest"] == document.digest
        assert document.document.text[row["start"] : row["end"]]
        assert len(row["embedding"]) == encoder.dim
    spans = {(row["id"], row["start"], row["end"]) for row in rows}
    assert spans == {(id, one.start, one.end) for id in {row["id"] for row in rows} for one in index.passages(id)}


def test_vectors_are_those_of_a_plain_reindex(index: Index, other: Path, out: Path) -> None:
    reindexing.reindex(index, Encoder.load(other), ReindexOptions(ANY))
    bulk.check_equal(bulk.vectors(out), bulk.stored(index))


def test_a_shard_is_encoded_once_and_gives_the_same_file_again(index: Index, other: Path, tmp_path: Path) -> None:
    encoder = Encoder.load(other)
    job = job_of(index, encoder, tmp_path / "out")
    shard = shards.of_index(index, documents=8)[1]
    first = embed_shard(shard, job)
    path = path_of(job, shard.name)
    content = path.read_bytes()
    again = embed_shard(shard, job)
    assert (first.made, first.documents, again.made, again.documents) == (True, 8, False, 0)
    path.unlink()
    assert embed_shard(shard, job).made
    assert path.read_bytes() == content
    assert list(bulk.files(tmp_path / "out")) == [path.name]


def test_a_changed_document_concerns_one_shard(index: Index, other: Path, out: Path) -> None:
    before = bulk.files(out)
    index.sync([Document("page0003.md", "An altogether new text")], prune=False)
    index.remove(["page0041.md"])
    done = jobs.embed(index, Encoder.load(other), out, ONE)
    after = bulk.files(out)
    assert (done.made, done.shards) == (2, 8)
    assert len(before.keys() & after.keys()) == 6
    ids = [row["id"] for row in bulk.rows(out)]
    assert set(ids) == {f"page{number:04}.md" for number in range(COUNT)} - {"page0041.md"}
    assert ids.count("page0003.md") == 1


def test_a_damaged_file_is_never_used(other: Path, out: Path) -> None:
    encoder = Encoder.load(other)
    (path, *_) = out.rglob("*.arrow")
    content = bytearray(path.read_bytes())
    vectors = bulk_files.read(path, encoder).embeddings.tobytes()
    content[content.find(vectors) + 100] ^= 0x10
    path.write_bytes(content)
    with pytest.raises(StoreError, match="are damaged"):
        prepared.prepared(encoder, out)
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(StoreError, match="cannot be read"):
        prepared.prepared(encoder, out)
    path.write_bytes(b"")
    with pytest.raises(StoreError, match="cannot be read"):
        prepared.prepared(encoder, out)


def test_files_of_another_encoder_are_not_looked_at(other: Path, tiny_encoder_dir: Path, out: Path) -> None:
    encoder, own = Encoder.load(other), Encoder.load(tiny_encoder_dir)
    with pytest.raises(StoreError, match="found none"):
        prepared.prepared(own, out)
    moved = bulk_files.folder_of(out, own.fingerprint)
    bulk_files.folder_of(out, encoder.fingerprint).rename(moved)
    with pytest.raises(StoreError, match="expected embeddings of"):
        prepared.prepared(own, out)


def test_an_encoder_that_was_exchanged_is_refused(index: Index, other: Path, tmp_path: Path) -> None:
    job = replace(job_of(index, Encoder.load(other), tmp_path / "out"), fingerprint="0" * 64)
    with pytest.raises(FingerprintMismatch, match="every machine has to see the same encoder"):
        embed_shard(shards.of_index(index)[0], job)
    with pytest.raises(DocsimError, match="every machine has to see the same encoder"):
        list(processes.run(shards.of_index(index), job, workers=1))


def test_what_is_no_unit_vector_is_not_written(index: Index, tiny_encoder_dir: Path, tmp_path: Path) -> None:
    broken = Encoder.load(with_nan(tiny_encoder_dir, tmp_path / "broken"))  # for texts with "garden"
    index.sync([Document("bad", "a garden")], prune=False)
    with pytest.raises(DocsimError, match="expected unit vectors from the encoder broken"):
        jobs.embed(index, broken, tmp_path / "out", ONE)
    assert "bad" not in {row["id"] for row in bulk.rows(tmp_path / "out")}


def test_fewer_components_are_encoded_as_chosen(
    index: Index, tiny_encoder_dir: Path, tmp_path: Path, other: Path
) -> None:
    short = Encoder.load(with_other_dim(tiny_encoder_dir, tmp_path / "short", 8))
    assert jobs.embed(index, short, tmp_path / "out", ONE).documents == COUNT
    assert {len(row["embedding"]) for row in bulk.rows(tmp_path / "out")} == {8}


# Looking up


def test_what_is_known_is_looked_up_and_the_rest_is_encoded(index: Index, other: Path, out: Path) -> None:
    encoder = Encoder.load(other)
    known = prepared.prepared(encoder, out)
    items = [(one, index.passages(one.id)) for one in bulk.pages(COUNT)]
    items.insert(7, (Document("new", "words that nobody has seen"), items[0][1][:1]))
    expected = kept_embeddings(encoder, items)
    for found, row in zip(kept_embeddings(known, items), expected, strict=True):
        np.testing.assert_array_equal(found, row)
    assert (known.found, known.encoded) == (len(known), 1)
    assert (known.fingerprint, known.dim, known.name) == (encoder.fingerprint, encoder.dim, encoder.name)
    assert kept_embeddings(known, []) == []


# Re-indexing


@pytest.mark.parametrize("engine", ENGINES)
def test_a_reindex_takes_over_what_is_known_and_encodes_what_is_not(
    engine: str, tiny_encoder_dir: Path, other: Path, out: Path, tmp_path: Path
) -> None:
    encoder = Encoder.load(other)
    with ENGINES[engine](tmp_path, Encoder.load(tiny_encoder_dir)) as index:
        index.sync([Document("page0003.md", "An altogether new text"), Document("new.md", "One more")], prune=False)
        told = Told()
        options = ReindexOptions(ANY, embeddings=out)
        done = reindexing.reindex(index, encoder, options, progress=told)
        assert (done.published, done.embedded) == (True, COUNT + 1)
        assert index.generation().fingerprint == encoder.fingerprint
        found = bulk.stored(index)
        known = {place: row for place, row in bulk.vectors(out).items() if place[0] != "page0003.md"}
        assert f"{len(known):,} passages were in the files, 2 were encoded here." in told.said
        new = {place: row for place, row in found.items() if place not in known}
        assert {id for id, _ in new} == {"page0003.md", "new.md"}
        bulk.check_equal({place: found[place] for place in known}, known)
        assert index.search("An altogether new text", 1).hits[0].id == "page0003.md"


def test_a_reindex_in_processes_leaves_nothing_behind(index: Index, other: Path, tmp_path: Path) -> None:
    encoder = Encoder.load(other)
    before = set(tmp_path.iterdir())
    told = Told()
    done = reindexing.reindex(index, encoder, ReindexOptions(ANY, bulk=SMALL), progress=told)
    assert (done.published, done.embedded) == (True, COUNT)
    assert any(text.endswith("0 were encoded here.") for text in told.said)
    assert set(tmp_path.iterdir()) == before
    again = reindexing.reindex(index, encoder, ReindexOptions(ANY, bulk=SMALL))
    assert (again.published, again.embedded) == (True, 0)


def test_a_reindex_without_an_encoder_goes_on_with_the_unfinished_one(
    index: Index, other: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="no re-index is unfinished"):
        reindexing.reindex(index, None, ReindexOptions(ANY, bulk=ONE))
    with index.engine.rebuilder(wait=False) as rebuilder:
        rebuilder.begin(Encoder.load(other))
    done = reindexing.reindex(index, None, ReindexOptions(ANY, bulk=ONE, embeddings=tmp_path / "out"))
    assert (done.published, done.embedded) == (True, COUNT)
    assert len(bulk.files(tmp_path / "out")) == 8


# The command line


def docsim(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(one) for one in arguments])


def test_the_command_line_embeds_and_reindexes(index: Index, other: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = ("embed", "--index", index.path, "--encoder", other, "--out", out, "--shard", "8", "--workers", "1")
    told = json.loads(docsim(*command, "--json").stdout)
    assert (told["documents"], told["shards"], told["made"], told["failures"]) == (COUNT, 8, 8, [])
    assert "8 of 8 files were there already" in docsim(*command).stdout
    assert docsim("reindex", "--index", index.path, "--encoder", other, "--from", out, "--force").exit_code == 0
    bulk.check_equal(bulk.stored(index), bulk.vectors(out))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["embed", "--out", "o", "--index", "INDEX"], "expected --encoder, got none"),
        (["embed", "--out", "o", "--encoder", "E", "FILE", "--index", "INDEX"], "expected files or --index, got both"),
        (["embed", "--out", "o", "--encoder", "E", "--index", "INDEX", "--address", "auto"], "with Ray only"),
        (["reindex", "--encoder", "E", "--index", "INDEX", "--workers", "2"], "expected --on with --address"),
        (["reindex", "--encoder", "E", "--index", "INDEX", "--from", "nowhere"], "found none"),
        (["embed", "--out", "o", "--encoder", "E", "FILE", "FILE"], "expected each file once"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    arguments: list[str], sentence: str, index: Index, other: Path, tmp_path: Path
) -> None:
    (tmp_path / "a.jsonl").write_text('{"id": "a", "text": "b"}')
    given = {"INDEX": index.path, "E": other, "FILE": tmp_path / "a.jsonl", "o": tmp_path / "out"}
    done = docsim(*(given.get(one, one) for one in arguments))
    assert done.exit_code in (1, 2)
    assert sentence in done.stderr
    assert index.generation().number == 1


def test_files_of_records_are_read_split_and_encoded(other: Path, tmp_path: Path) -> None:
    for number in range(3):
        lines = [json.dumps({"id": one.id, "text": one.text, "title": one.title}) for one in bulk.pages(9)[number::3]]
        (tmp_path / f"part{number}.jsonl").write_text("\n".join(lines))
    (tmp_path / "part2.jsonl").write_text((tmp_path / "part2.jsonl").read_text() + "\n{broken")
    parts = sorted(tmp_path.glob("part*.jsonl"))
    stdout = bulk.run("embed", *parts, "--encoder", other, "--out", tmp_path / "out", "--json", code=3)
    told = json.loads(stdout)
    assert (told["shards"], told["documents"], len(told["failures"])) == (3, 9, 1)
    assert "part2.jsonl" in told["failures"][0]
    bulk.made(tmp_path / "index", other, 9)
    with Index.open(tmp_path / "index") as index:
        bulk.check_equal(bulk.vectors(tmp_path / "out"), bulk.stored(index))


# Kills


@pytest.mark.faults
def test_a_run_that_was_killed_goes_on(tiny_encoder_dir: Path, other: Path, tmp_path: Path) -> None:
    bulk.made(tmp_path / "index", tiny_encoder_dir, 200)
    out = tmp_path / "out"
    command = ("embed", "--index", tmp_path / "index", "--encoder", other, "--out", out, "--shard", "1", "--json")
    process = bulk.start(*command)
    bulk.wait_for_files(out, 20, process)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    there = len(list(out.rglob("*.arrow")))
    assert 20 <= there < 200
    told = json.loads(bulk.run(*command))
    assert told["shards"] == 200
    assert told["made"] <= 200 - there  # a worker may have finished one more before it noticed
    with Index.open(tmp_path / "index") as index:
        reindexing.reindex(index, Encoder.load(other), ReindexOptions(ANY))
        bulk.check_equal(bulk.vectors(out), bulk.stored(index))


@pytest.mark.thorough
@pytest.mark.faults
def test_a_process_that_dies_is_replaced(tiny_encoder_dir: Path, other: Path, tmp_path: Path) -> None:
    bulk.made(tmp_path / "index", tiny_encoder_dir, 200)
    out = tmp_path / "out"
    given = ("--shard", "1", "--workers", "2", "--json")
    process = bulk.start("embed", "--index", tmp_path / "index", "--encoder", other, "--out", out, *given)
    bulk.wait_for_files(out, 20, process)
    workers = psutil.Process(process.pid).children()
    assert len(workers) == 2
    os.kill(workers[0].pid, signal.SIGKILL)
    stdout, stderr = process.communicate()
    assert process.returncode == 0, stderr
    assert json.loads(stdout)["made"] == 200
    assert len(bulk.vectors(out)) == len(bulk.rows(out))
    assert len({row["id"] for row in bulk.rows(out)}) == 200


@pytest.mark.thorough
@pytest.mark.faults
def test_a_reindex_from_files_that_was_killed_goes_on(tiny_encoder_dir: Path, other: Path, tmp_path: Path) -> None:
    bulk.made(tmp_path / "index", tiny_encoder_dir, 200)
    out = tmp_path / "out"
    command = ("reindex", "--index", tmp_path / "index", "--encoder", other, "--from", out, "--on", "processes")
    process = bulk.start(*command, "--shard", "2", "--force")
    bulk.wait_for_files(out, 30, process)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    with Index.open(tmp_path / "index") as index:
        assert index.generation().number == 1
        bulk.run(*command, "--shard", "2", "--force")
        assert index.generation().number == 2
        bulk.check_equal(bulk.stored(index), bulk.vectors(out))


# Threads


def test_an_encoder_has_as_many_threads_as_it_is_given(tiny_encoder_dir: Path) -> None:
    one, all = Encoder.load(tiny_encoder_dir, threads=1), Encoder.load(tiny_encoder_dir)
    assert (one.threads, all.threads) == (1, os.cpu_count())
    texts = [document.text for document in bulk.pages(20)]
    np.testing.assert_array_equal(one.encode(texts), all.encode(texts))
    with pytest.raises(UsageError, match="expected 1 thread or more"):
        Encoder.load(tiny_encoder_dir, threads=0)


def test_numbers_below_one_and_addresses_without_ray_are_refused() -> None:
    with pytest.raises(UsageError, match="expected workers to be 1 or more, got 0"):
        BulkOptions(workers=0)
    with pytest.raises(UsageError, match="expected threads to be 1 or more, got 0"):
        BulkOptions(threads=0)
    with pytest.raises(UsageError, match="expected shard to be 1 or more, got 0"):
        BulkOptions(shard=0)
    with pytest.raises(UsageError, match="with Ray only"):
        BulkOptions(address="auto")
