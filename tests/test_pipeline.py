"""The pipeline: what is read before an error is committed, and an interruption gives up what is being encoded."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from docsim.encoding.documents import kept_embeddings
from docsim.encoding.encoder import Encoder
from docsim.indexing import pipeline
from docsim.models import Document, Passage


def _read(given: list[list[int]], error: BaseException | None = None) -> Iterator[list[int]]:
    yield from given
    if error:
        raise error


def test_every_batch_is_encoded_and_committed_in_order() -> None:
    committed: list[tuple[list[int], int]] = []
    advanced: list[int] = []
    count = pipeline.run(
        _read([[1, 2], [3], [4, 5, 6]]),
        encode=lambda batch, _: sum(batch),
        commit=lambda batch, total: committed.append((batch, total)),
        advance=advanced.append,
    )
    assert (count, committed, advanced) == (6, [([1, 2], 3), ([3], 3), ([4, 5, 6], 15)], [2, 1, 3])


def test_what_was_read_before_an_error_is_committed() -> None:
    committed: list[list[int]] = []
    with pytest.raises(OSError, match="gone"):
        pipeline.run(
            _read([[1], [2], [3]], OSError("gone")),
            encode=lambda batch, _: batch,
            commit=lambda batch, _: committed.append(batch),
        )
    assert committed == [[1], [2], [3]]


@pytest.mark.parametrize("stage", ["encode", "commit"])
def test_an_error_in_a_stage_ends_the_run_and_nothing_later_is_committed(stage: str) -> None:
    committed: list[list[int]] = []

    def encode(batch: list[int], _: pipeline.IsStopped) -> list[int]:
        if stage == "encode" and batch == [2]:
            raise ValueError("broken")
        return batch

    def commit(batch: list[int], _: list[int]) -> None:
        if stage == "commit" and batch == [2]:
            raise ValueError("broken")
        committed.append(batch)

    with pytest.raises(ValueError, match="broken"):
        pipeline.run(_read([[1], [2], [3], [4]]), encode=encode, commit=commit)
    assert committed == [[1]]


def test_an_interruption_gives_up_the_batch_that_is_being_encoded() -> None:
    begun, committed = threading.Event(), list[list[int]]()

    def interrupted() -> Iterator[list[int]]:
        yield [1]
        assert begun.wait(10)
        raise KeyboardInterrupt

    def encode(batch: list[int], is_stopped: pipeline.IsStopped) -> list[int]:
        begun.set()
        while not is_stopped():  # as long as an encoding may take
            pass
        raise InterruptedError

    with pytest.raises(KeyboardInterrupt):
        pipeline.run(interrupted(), encode=encode, commit=lambda batch, _: committed.append(batch))
    assert committed == []


def test_an_encoder_gives_up_when_its_texts_are_no_longer_wanted(tiny_encoder_dir: Path) -> None:
    encoder = Encoder.load(tiny_encoder_dir)
    items = [(Document(str(number), "boil the lentils " * 50), [Passage(0, 800, "")]) for number in range(40)]
    wanted = kept_embeddings(encoder, items, is_stopped=lambda: False)
    assert len(wanted) == 40
    assert all(np.isfinite(rows).all() for rows in wanted)
    with pytest.raises(InterruptedError):
        kept_embeddings(encoder, items, is_stopped=lambda: True)
