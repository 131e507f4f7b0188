"""Shards on Ray Data: on this machine, or on a cluster that is there already.

Ray starts a lost actor again and gives its shards to others; those whose files are written are not encoded again.
Without an address, a cluster of this machine is made for the run, which listens on this machine only, asks for a token
that nobody else has, and is ended with the run.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import asdict
from tempfile import TemporaryDirectory
from typing import Any

from docsim import extras, offline
from docsim.bulk.embedding import Done, Job, embed_shard
from docsim.bulk.shards import Shard
from docsim.bulk.worker import limit_threads
from docsim.errors import DocsimError

__all__ = ["run", "workers_of"]

_STORE_BYTES = 200 << 20  # of the memory that Ray shares: only names of shards go through it
_SPARE = 1  # CPUs that are left to Ray's own work, without which it waits for itself


def run(shards: Sequence[Shard], job: Job, *, workers: int | None, address: str | None) -> Iterator[Done]:
    """Encode shards with some actors, and yield each as it is done.

    Args:
        shards: What is to be done.
        job: What they have in common.
        workers: How many actors, at least 1, of ``job.threads`` CPUs each; by default as many as there is room for.
        address: Of a cluster; ``auto`` for the one that Ray finds. None makes one of this machine.

    Raises:
        MissingExtra: The extra ``ray`` is not installed.
        DocsimError: There is no cluster, it has no room, or a shard cannot be encoded; those that were done stay.
    """
    extras.require("ray", "encoding on Ray")
    with _cluster(job, workers=workers, address=address) as ray:
        count = workers or workers_of(int(ray.cluster_resources().get("CPU", 0)), job.threads)
        yield from _done(ray, shards, job, min(count, max(1, len(shards))))


def workers_of(cores: int, threads: int) -> int:
    """Return how many actors have room on some CPUs, one of which is left to Ray; at least 1."""
    return max(1, (cores - _SPARE) // threads)


def _done(ray: Any, shards: Sequence[Shard], job: Job, workers: int) -> Iterator[Done]:
    from ray.data import ActorPoolStrategy, DataContext

    logging.getLogger("ray.data").setLevel(logging.CRITICAL)  # progress is told by docsim, and errors are raised
    context = DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    given = ray.data.from_items([{"shard": json.dumps(asdict(one))} for one in shards], override_num_blocks=len(shards))
    embedded = given.map(
        _Embedder,
        fn_constructor_kwargs={"job": asdict(job)},
        compute=ActorPoolStrategy(size=workers, max_tasks_in_flight_per_actor=2),
        num_cpus=job.threads,
    )
    try:
        for row in embedded.iter_rows():
            yield _read(row)
    except ray.exceptions.RayError as error:
        raise DocsimError(f"Ray could not encode a shard: {_reason(error)}") from error


class _Embedder:
    """An actor: keeps its encoder, and encodes one shard at a time; what goes wrong is told, and not tried again."""

    def __init__(self, job: dict[str, Any]) -> None:
        limit_threads(job["threads"])
        self._job = Job(**job)

    def __call__(self, row: dict[str, str]) -> dict[str, str]:
        try:
            done = asdict(embed_shard(Shard(**json.loads(row["shard"])), self._job))
        except Exception as error:  # whatever it is, the process that asked tells it
            done = {"error": f"{error}" or type(error).__name__}
        return {"done": json.dumps(done)}


def _read(row: dict[str, str]) -> Done:
    given = json.loads(row["done"])
    if "error" in given:
        raise DocsimError(given["error"])
    return Done(**given | {"failures": tuple(given["failures"])})


@contextmanager
def _cluster(job: Job, *, workers: int | None, address: str | None) -> Iterator[Any]:
    """Join a cluster, or make one, for the length of the block."""
    offline.before_ray()
    # Ray prints to standard output which of its processes died; that is for what a command answers.
    with TemporaryDirectory(prefix="docsim-ray-") as folder, redirect_stdout(sys.stderr):
        if address is None:
            os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
        import ray

        try:
            _start(ray, folder, job, workers=workers, address=address)
            yield ray
        finally:
            ray.shutdown()


def _start(ray: Any, folder: str, job: Job, *, workers: int | None, address: str | None) -> None:
    quiet = {"log_to_driver": False, "logging_level": "ERROR", "configure_logging": True}
    try:
        if address is not None:
            ray.init(address=address, **quiet)
            return
        count = workers or workers_of((os.cpu_count() or 1) + _SPARE, job.threads)
        ray.init(
            num_cpus=count * job.threads + _SPARE,
            include_dashboard=False,
            object_store_memory=_STORE_BYTES,
            _temp_dir=folder,
            _node_ip_address="127.0.0.1",
            **quiet,
        )
    except (ConnectionError, RuntimeError, ValueError, OSError, ray.exceptions.RayError) as error:
        where = f"a Ray cluster at {address}" if address else "to start Ray on this machine"
        raise DocsimError(f"expected {where}: {_reason(error)}") from error


def _reason(error: BaseException) -> str:
    """Return what went wrong in one line."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
