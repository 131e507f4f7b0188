"""The jobs that are killed half way: what they begin with, what they do, and what may be found in between."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
from encoder_variants import with_other_dim
from opened import texts_of
from tiny_encoder import WORDS
from turned_encoder import turned

from docsim.cli.documents import rm
from docsim.encoding.encoder import Encoder
from docsim.engine.records import SourceName
from docsim.index import Index
from docsim.jobs import adapt, backup
from docsim.jobs.forget import forget
from docsim.maintenance import verify
from docsim.models import Document
from docsim.reindex import generations, instant, reindexing
from docsim.reindex.examination import GateOptions

__all__ = ["JOBS", "NEW", "OLD", "OTHER_DIM", "Job", "check", "create_and_sync", "documents"]

OLD = {f"d{i}": f"lentils soup number {i}" for i in range(8)}
NEW = {f"d{i}": f"restore the database {i}" if i % 2 else f"lentils soup number {i}" for i in range(2, 12)}
FEWER = {id: text for id, text in OLD.items() if id not in ("d0", "d3", "d7")}
OTHER_DIM = 24
MANY = {f"d{n}": " ".join(np.random.default_rng(n).choice(WORDS[15:], 8)) for n in range(60)}
"""Enough to learn an alignment from."""

FORGOTTEN = {f"gone{i}": f"holiday calendar number {i}" for i in range(5)}
ANYTHING = GateOptions(max_loss=1, publish_anyway=True)


def nothing(_: Path) -> None:
    pass


@dataclass(frozen=True)
class Job:
    """What is killed half way: from one state to another, through the states that may be found in between.

    Attributes:
        live: The dimensions of the live generation, before and after.
        beside: What it writes beside the index.
        is_damaged: Whether files of the index are damaged before, and the job mends them.
        before: Looks at what a kill left.
        after: Looks at what the next run has left.
    """

    prepare: Callable[[Path, Encoder], None]
    run: Callable[[Path, Encoder], None]
    states: tuple[dict[str, str], ...]
    live: tuple[int, int] = (32, 32)
    beside: tuple[str, ...] = ()
    is_damaged: bool = False
    before: Callable[[Path], None] = nothing
    after: Callable[[Path], None] = nothing


def documents(texts: dict[str, str]) -> list[Document]:
    return [Document(id, text) for id, text in texts.items()]


def create_and_sync(path: Path, encoder: Encoder, texts: dict[str, str], index_type: str | None = None) -> None:
    with Index.create(path, encoder=encoder, index_type=index_type) as index:
        index.sync(documents(texts))


def remove(path: Path, _: Encoder) -> None:
    with Index.open(path) as index:
        index.remove(["d0", "d3", "d7"])


def remove_by_command(path: Path, _: Encoder) -> None:
    with Index.open(path) as index:
        is_removed = not index.has("d0")
        if is_removed:  # the next write does what is left
            index.remove([])
    if not is_removed:
        try:
            rm.main(["d0", "d3", "d7", "--index", str(path), "--quiet"], standalone_mode=False)
        except click.Abort:  # what click makes of an interruption
            raise KeyboardInterrupt from None


def prepare_upgrade(path: Path, encoder: Encoder) -> None:
    create_and_sync(path, encoder, OLD)
    with_other_dim(encoder.path, path.with_name("other"), OTHER_DIM)


def upgrade(path: Path, _: Encoder) -> None:
    with Index.open(path) as index:
        reindexing.reindex(index, Encoder.load(path.with_name("other")), gate=GateOptions(max_loss=1))


def prepare_rollback(path: Path, encoder: Encoder) -> None:
    """Leave two generations, of which the older lacks documents."""
    prepare_upgrade(path, encoder)
    upgrade(path, encoder)
    create_and_sync(path, Encoder.load(path.with_name("other")), NEW)


def go_back(path: Path, _: Encoder) -> None:
    with Index.open(path) as index:
        generations.rollback(index, to=1)


def prune(path: Path, _: Encoder) -> None:
    with Index.open(path) as index:
        generations.prune(index, keep=1)


def between(old: dict[str, str], new: dict[str, str]) -> tuple[dict[str, str], ...]:
    """Return the states that a sync may leave: new documents in order, and what vanished removed at the very end."""
    return (*(old | dict(list(new.items())[:count]) for count in range(len(new) + 1)), new)


# Upgrading at once, and publishing what was upgraded to


def prepare_instant(path: Path, encoder: Encoder) -> None:
    create_and_sync(path, encoder, MANY)
    if not path.with_name("other").exists():
        turned(encoder.path, path.with_name("other"))


def upgrade_at_once(path: Path, _: Encoder) -> None:
    with Index.open(path) as index:
        assert instant.upgrade(index, Encoder.load(path.with_name("other")))


def answers_mapped(path: Path) -> None:
    with Index.open(path) as index:
        assert index.search("soup").adapter


def prepare_mapped(path: Path, encoder: Encoder) -> None:
    prepare_instant(path, encoder)
    upgrade_at_once(path, encoder)


def publish_mapped(path: Path, _: Encoder) -> None:
    with Index.open(path) as index:
        if any(one.generation.state == "building" for one in index.engine.generations()):
            reindexing.reindex(index, None, gate=ANYTHING)


def answers_published(path: Path) -> None:
    with Index.open(path) as index:
        assert (index.search("soup").adapter, index.search("soup").generation) == (False, 2)


# Publishing what training has left


def prepare_adapted(path: Path, encoder: Encoder) -> None:
    """Leave an index as a training leaves it: with an encoder that is noted and not published."""
    prepare_upgrade(path, encoder)
    with Index.open(path) as index:
        workspace = index.engine.workspace()
        shutil.copytree(path.with_name("other"), workspace / "encoder")
        adapt.note(index, adapt.task(index), Encoder.load(workspace / "encoder"))


def publish_adapted(path: Path, _: Encoder) -> None:
    with Index.open(path) as index:
        done = adapt.adapt(index, adapt.AdaptOptions(gate=ANYTHING))
        assert done.trained is None, "it was trained again"
        assert done.reindexed.published


def nothing_is_left_to_adapt(path: Path) -> None:
    with Index.open(path) as index:
        assert adapt.task(index).is_live
        assert not index.engine.workspace().exists()


# Repairing, forgetting a source, backing up and restoring


def prepare_damage(path: Path, encoder: Encoder) -> None:
    """Damage the words, and the FAISS files of both generations."""
    prepare_rollback(path, encoder)
    for file in [*path.glob("words/*.words"), *path.glob("generations/*/index.faiss")]:
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1
        file.write_bytes(content)


def repair(path: Path, _: Encoder) -> None:
    with Index.open(path) as index:
        assert verify.repair(index) == []


def prepare_two_sources(path: Path, encoder: Encoder) -> None:
    create_and_sync(path, encoder, OLD)
    with Index.open(path) as index:
        index.sync(documents(FORGOTTEN), source=SourceName("folder", "/holidays", "holidays"))


def forget_one(path: Path, _: Encoder) -> None:
    with Index.open(path) as index:
        if len(index.engine.sources().sources()) > 1:
            forget(index, "holidays")
        else:  # it is forgotten; the next write does what is left
            index.sync(documents(OLD))


def back_up(path: Path, _: Encoder) -> None:
    if not path.with_name("copy").exists():
        backup.back_up(path, path.with_name("copy"))


def copy_is_whole_or_absent(path: Path) -> None:
    if (copy := path.with_name("copy")).exists():
        with Index.open(copy) as index:
            check(index, (NEW,))


def copy_is_whole(path: Path) -> None:
    assert path.with_name("copy").exists()
    copy_is_whole_or_absent(path)
    assert not path.with_name("copy.tmp").exists()


def prepare_restore(path: Path, encoder: Encoder) -> None:
    create_and_sync(path, encoder, NEW)
    if not path.with_name("backup").exists():
        backup.back_up(path, path.with_name("backup"))
    create_and_sync(path, encoder, OLD)


def restore(path: Path, _: Encoder) -> None:
    backup.restore(path.with_name("backup"), path, replace=True)


def nothing_is_left_of_what_was_replaced(path: Path) -> None:
    assert not path.with_name("index.tmp").exists()


JOBS = {
    "create": Job(lambda *_: None, lambda path, one: create_and_sync(path, one, OLD), between({}, OLD)),
    "sync": Job(
        lambda path, one: create_and_sync(path, one, OLD),
        lambda path, one: create_and_sync(path, one, NEW),
        between(OLD, NEW),
    ),
    "remove": Job(lambda path, one: create_and_sync(path, one, OLD), remove, (OLD, FEWER)),
    "rm": Job(lambda path, one: create_and_sync(path, one, OLD), remove_by_command, (OLD, FEWER)),
    "approximate": Job(
        lambda path, one: create_and_sync(path, one, OLD, index_type="IVF1,SQ8"),
        lambda path, one: create_and_sync(path, one, NEW),
        between(OLD, NEW),
    ),
    "reindex": Job(prepare_upgrade, upgrade, (OLD,), (32, OTHER_DIM)),
    "rollback": Job(prepare_rollback, go_back, (NEW,), (OTHER_DIM, 32)),
    "prune": Job(prepare_rollback, prune, (NEW,), (OTHER_DIM, OTHER_DIM)),
    "upgrade": Job(prepare_instant, upgrade_at_once, (MANY,), after=answers_mapped),
    "publish": Job(prepare_mapped, publish_mapped, (MANY,), after=answers_published),
    "adapt": Job(prepare_adapted, publish_adapted, (OLD,), (32, OTHER_DIM), after=nothing_is_left_to_adapt),
    "repair": Job(prepare_damage, repair, (NEW,), (OTHER_DIM, OTHER_DIM), is_damaged=True),
    "forget": Job(prepare_two_sources, forget_one, (OLD | FORGOTTEN, OLD)),
    "backup": Job(
        prepare_rollback,
        back_up,
        (NEW,),
        (OTHER_DIM, OTHER_DIM),
        beside=("copy", "copy.tmp"),
        before=copy_is_whole_or_absent,
        after=copy_is_whole,
    ),
    "restore": Job(
        prepare_restore,
        restore,
        (OLD, NEW),
        beside=("index.tmp",),
        after=nothing_is_left_of_what_was_replaced,
    ),
}


def check(index: Index, states: tuple[dict[str, str], ...], *, is_damaged: bool = False) -> None:
    """Assert that the index is sound, holds one of the states, and answers from just that one."""
    held = texts_of(index)
    assert held in states, f"holds {held}"
    assert is_damaged or verify.problems(index) == []
    results = index.search_many(list(held.values()), 100)
    for text, result in zip(held.values(), results, strict=True):
        assert {hit.id for hit in result.hits} == set(held)
        assert held[result.hits[0].id] == text
        assert abs(result.hits[0].similarity - 1) < 5e-3
