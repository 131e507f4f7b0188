"""Encoding in bulk on Ray: real clusters of this machine, of one and of two nodes, of which parts die."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import bulk
import psutil
import pytest
from encoder_variants import with_nan
from turned_encoder import turned

from docsim import Document, Encoder, Index
from docsim.bulk import on_ray
from docsim.jobs import embed as jobs
from docsim.jobs.embed import BulkOptions

pytestmark = [pytest.mark.thorough, pytest.mark.timeout(900)]

COUNT = 60

TWO_NODES = """
import sys, time
from ray.cluster_utils import Cluster
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
second = cluster.add_node(num_cpus=2)
print(cluster.address, flush=True)
sys.stdin.readline()
cluster.remove_node(second, allow_graceful=False)
print("removed", flush=True)
sys.stdin.readline()
cluster.shutdown()
"""


@pytest.fixture(scope="module")
def other(tiny_encoder_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return turned(tiny_encoder_dir, tmp_path_factory.mktemp("other") / "turned")


@pytest.fixture(scope="module")
def index(tiny_encoder_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bulk.made(tmp_path_factory.mktemp("ray") / "index", tiny_encoder_dir, COUNT)


@pytest.fixture(scope="module")
def expected(index: Path, other: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files that processes write, one for each document."""
    out = tmp_path_factory.mktemp("expected")
    with Index.open(index) as opened:
        jobs.embed(opened, Encoder.load(other), out, BulkOptions(shard=1))
    return bulk.files(out)


def command(index: Path, other: Path, out: Path) -> tuple[str | Path, ...]:
    given = ("--shard", "1", "--workers", "2", "--json")
    return ("embed", "--index", index, "--encoder", other, "--out", out, "--on", "ray", *given)


def said(stderr: str) -> str:
    """Return what docsim said, without what Ray did: that it logs no more, and which of its processes have died."""
    marks = ("Set ray log level", "(raylet)", "(autoscaler", "A worker died")
    return "".join(line for line in stderr.splitlines(keepends=True) if not any(mark in line for mark in marks))


def actors(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """Return the processes in which shards are encoded."""
    return [one for one in psutil.Process(process.pid).children(recursive=True) if "MapWorker" in one.name()]


def test_an_actor_that_is_killed_is_replaced_and_the_files_are_those_of_processes(
    index: Path, other: Path, expected: dict[str, bytes], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    process = bulk.start(*command(index, other, out))
    bulk.wait_for_files(out, 5, process)
    killed = actors(process)[0]
    killed.kill()
    stdout, stderr = process.communicate()
    assert (process.returncode, said(stderr)) == (0, "")
    told = json.loads(stdout)
    assert (told["shards"], told["failures"]) == (COUNT, [])
    assert bulk.files(out) == expected


def test_a_driver_that_was_killed_goes_on(index: Path, other: Path, expected: dict[str, bytes], tmp_path: Path) -> None:
    out = tmp_path / "out"
    process = bulk.start(*command(index, other, out))
    bulk.wait_for_files(out, 10, process)
    family = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    _, alive = psutil.wait_procs(family, timeout=180)
    assert alive == []  # a cluster of this machine ends with the run that made it
    there = len(list(out.rglob("*.arrow")))
    told = json.loads(bulk.run(*command(index, other, out)))
    assert told["made"] == COUNT - there
    assert bulk.files(out) == expected


@pytest.fixture
def two_nodes(tmp_path: Path) -> Iterator[tuple[str, subprocess.Popen[str], dict[str, str]]]:
    """The address of a cluster of two nodes, the process that holds it, and the environment that it needs."""
    environment = {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_USAGE_STATS_ENABLED": "0",
        "PYTHONPATH": str(bulk.ROOT),
    }
    process = subprocess.Popen(
        [sys.executable, "-c", TWO_NODES], env=os.environ | environment, text=True, cwd=tmp_path,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdin is not None
    try:
        yield process.stdout.readline().strip(), process, environment
    finally:
        family = psutil.Process(process.pid).children(recursive=True)
        process.stdin.close()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
        for one in psutil.wait_procs(family, timeout=10)[1]:
            one.kill()
        process.stdout.close()


def test_a_node_that_is_lost_takes_nothing_with_it(
    two_nodes: tuple[str, subprocess.Popen[str], dict[str, str]],
    index: Path,
    other: Path,
    expected: dict[str, bytes],
    tmp_path: Path,
) -> None:
    address, cluster, environment = two_nodes
    assert cluster.stdin is not None
    assert cluster.stdout is not None
    out = tmp_path / "out"
    refused = bulk.start(*command(index, other, out), "--address", address, environment={"RAY_AUTH_TOKEN": "a" * 64})
    _, stderr = refused.communicate()
    assert refused.returncode == 1
    assert "expected a Ray cluster at" in stderr
    process = bulk.start(*command(index, other, out), "--address", address, environment=environment)
    bulk.wait_for_files(out, 5, process)
    cluster.stdin.write("\n")
    cluster.stdin.flush()
    assert cluster.stdout.readline() == "removed\n"
    stdout, stderr = process.communicate()
    assert process.returncode == 0, stderr
    assert json.loads(stdout)["shards"] == COUNT
    assert bulk.files(out) == expected


def test_a_shard_that_cannot_be_encoded_is_told_in_a_sentence(
    index: Path, tiny_encoder_dir: Path, tmp_path: Path
) -> None:
    broken = with_nan(tiny_encoder_dir, tmp_path / "broken")  # for texts with "garden"
    with Index.create(tmp_path / "index", encoder=Encoder.load(tiny_encoder_dir)) as made:
        made.sync([Document("bad", "a garden")])
    process = bulk.start(*command(tmp_path / "index", broken, tmp_path / "out"))
    _, stderr = process.communicate()
    assert process.returncode == 1
    assert said(stderr) == "Error: expected unit vectors from the encoder broken, got others, perhaps NaN\n"


def test_ray_is_left_a_cpu() -> None:
    assert [on_ray.workers_of(cores, threads) for cores, threads in ((1, 1), (2, 1), (9, 1), (9, 4), (8, 4))] == [
        1, 1, 8, 2, 1,
    ]  # fmt: skip
