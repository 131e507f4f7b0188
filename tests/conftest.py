"""Fixtures that several test files share."""

from __future__ import annotations

import gc
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import pytest
from filelock import FileLock

from docsim import offline

# Test processes share the cores: OpenMP's threads, of which FAISS has one a core, must not spin while they wait.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("DOCSIM_ENCODER", "fast")  # quick; tests of the accurate one name it

# Where there is room in memory, tests write there: thousands of commits wait for no disk. test_extras.py stays on disk.
_MEMORY = Path("/dev/shm")
if _MEMORY.is_dir() and os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).free > 4e9:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(_MEMORY))

# Tests import these libraries themselves, too.
offline.before_onnxruntime()
offline.before_keras()
offline.before_matplotlib()

_TESTS = Path(__file__).parent
_PACKAGE = _TESTS.parent / "docsim"
_MADE_BY = [
    _TESTS / "tiny_encoder.py",
    _PACKAGE / "encoding" / "encoder.py",
    _PACKAGE / "encoding" / "manifest.py",
    _PACKAGE / "encoding" / "tokenizer.py",
    *(_PACKAGE / "training" / "towers" / f"{module}.py" for module in ("average", "layers", "export", "saving")),
]


_SLOW_FILES = {
    "test_alignment", "test_ann", "test_ann_tuning", "test_backup", "test_cli_encoder", "test_cli_reindex",
    "test_copying", "test_corpus", "test_docs", "test_duplicates", "test_engine_conformance", "test_filter_sql",
    "test_filtered_search", "test_filters", "test_gaps", "test_gate", "test_gitignore", "test_hostile",
    "test_index_machine", "test_instant", "test_package", "test_postgres_approximate", "test_postgres_cli",
    "test_postgres_filters", "test_postgres_roles", "test_privacy", "test_query_terms", "test_rebuilding",
    "test_rerank", "test_retrieval", "test_serving_access", "test_serving_api", "test_serving_assistants",
    "test_serving_hidden", "test_serving_jobs", "test_serving_page", "test_serving_processes", "test_serving_use",
    "test_serving_watching", "test_streams", "test_sync", "test_tokenizer", "test_unprivileged_reader",
    "test_vectors", "test_word_vectors", "test_words",
}  # fmt: skip
"""Test files that take more than some seconds, which ``make check`` leaves to ``make test``."""

_TRAINING_FILES = {
    "test_cli_train", "test_distill_texts", "test_extras", "test_faults", "test_first_id", "test_graph_model",
    "test_importing", "test_keras_file", "test_losses", "test_report", "test_static_model", "test_sweep",
    "test_teacher_embeddings", "test_towers", "test_trainer", "test_training", "test_transformer_model",
    "test_use_learning",
}  # fmt: skip
"""Test files whose tests all bear a marker that makes them slow; most of them import Keras, which takes seconds."""


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out what ``make check`` runs nothing of, before it is imported."""
    is_slow = collection_path.stem in _SLOW_FILES | _TRAINING_FILES
    return True if is_slow and config.getoption("markexpr") == "not slow" else None


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collect thousands of tests without looking for garbage, and never look through what stays until the end.

    Later, what TensorFlow and others keep is looked through less often than is usual: it is large, and no garbage.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.set_threshold(2_000, 10, 50)
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark as ``slow`` what ``make check`` leaves out."""
    markers = ("thorough", "properties", "training", "faults", "browser", "extras")
    for item in items:
        if item.path.stem in _SLOW_FILES or any(item.get_closest_marker(name) for name in markers):
            item.add_marker("slow")


@pytest.fixture(scope="session")
def tiny_encoder_dir(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small real encoder of 32 components, written by the training package.

    It is made in a process of its own, so that a test session need not load TensorFlow, and kept in pytest's cache
    until the code that makes it changes.
    """
    cache: pytest.Cache | None = getattr(request.config, "cache", None)
    directory = cache.mkdir("tiny_encoder") if cache is not None else tmp_path_factory.mktemp("tiny_encoder")
    source = hashlib.sha256(b"".join(file.read_bytes() for file in _MADE_BY)).hexdigest()
    path = directory / source[:16]
    with FileLock(directory / "lock"):
        if not (path / "manifest.json").is_file():
            command = [sys.executable, str(_TESTS / "tiny_encoder.py"), str(path)]
            made = subprocess.run(command, capture_output=True, text=True, check=False)
            assert made.returncode == 0, made.stderr
    return path


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the picture out of reports, which takes longer than to re-index a few documents."""
    from docsim.rendering import plots

    monkeypatch.setattr(plots, "can_draw", lambda: False)
