"""Who may read the files of an index: as the owner's umask has it; records of people and backups, the owner alone."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from docsim import Document, Encoder, Index
from docsim.jobs import backup
from docsim.serving.server_database import ServerDatabase
from docsim.serving.tokens import Tokens
from docsim.use.log import UseLog
from docsim.use.people import People

pytestmark = pytest.mark.skipif(os.name == "nt", reason="no modes of files")

OWN = {"use.db", "use.key", "serving.db"}


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture(params=[0o022, 0o077])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    asked: int = request.param
    before = os.umask(asked)
    yield asked
    os.umask(before)


@pytest.fixture
def index(umask: int, tmp_path: Path, tiny_encoder_dir: Path) -> Path:
    path = tmp_path / "index"
    with Index.create(path, encoder=Encoder.load(tiny_encoder_dir)) as index:
        index.sync([Document("a", "soup"), Document("b", "keys")])
    with UseLog.opened(path) as log:
        assert log.counts().questions == 0
    People(path).hashed("anna")
    Tokens(ServerDatabase(path)).add("anna")
    return path


def test_files_of_an_index_have_the_owners_umask_and_records_of_people_are_the_owners_alone(
    index: Path, umask: int
) -> None:
    files = [one for one in index.rglob("*") if one.is_file() and one.suffix != ".lock"]
    assert {one.name for one in files} >= {*OWN, "index.db", "manifest.json"}
    for file in files:
        is_own = any(file.name.startswith(name) for name in OWN)  # their logs, too
        assert mode(file) == (0o600 if is_own else 0o666 & ~umask), file
    assert mode(index) == 0o777 & ~umask


def test_only_its_owner_may_look_into_a_backup(index: Path, tmp_path: Path) -> None:
    backup.back_up(index, tmp_path / "backup")
    assert mode(tmp_path / "backup") == 0o700
    assert all(mode(tmp_path / "backup" / name) == 0o600 for name in OWN if (tmp_path / "backup" / name).exists())
