from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from docsim.engine.local import faiss_listing

DOCUMENTS = np.array([[1, 7], [4, 2], [9, 3]], np.int64)


@given(rows=st.lists(st.tuples(st.integers(0, 2**62), st.integers(0, 2**62)), min_size=1))
def test_what_was_saved_is_loaded(tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[int, int]]) -> None:
    snapshot = tmp_path_factory.mktemp("listing") / "index.faiss"
    faiss_listing.save(snapshot, "abc", np.array(rows, np.int64))
    assert faiss_listing.load(snapshot, "abc").tolist() == [list(row) for row in rows]


def test_the_listing_of_another_snapshot_is_not_used_and_is_removed(tmp_path: Path) -> None:
    snapshot = tmp_path / "index.faiss"
    (tmp_path / "documents.tmp").write_bytes(b"left by a kill")
    faiss_listing.save(snapshot, "abc", DOCUMENTS)
    assert len(faiss_listing.load(snapshot, "other")) == 0
    faiss_listing.save(snapshot, "other", DOCUMENTS)
    assert [path.name for path in tmp_path.iterdir()] == ["documents.other"]


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty", "missing", "shorter"])
def test_a_damaged_listing_is_not_used(tmp_path: Path, damage: str) -> None:
    snapshot, path = tmp_path / "index.faiss", tmp_path / "documents.abc"
    faiss_listing.save(snapshot, "abc", DOCUMENTS)
    content = path.read_bytes()
    flipped = content[:20] + bytes([content[20] ^ 1]) + content[21:]
    changed = {"truncated": content[:-1], "flipped": flipped, "empty": b"", "shorter": content[:-16]}
    path.unlink()
    if damage != "missing":
        path.write_bytes(changed[damage])
    assert len(faiss_listing.load(snapshot, "abc")) == 0
