"""Metrics: what Prometheus reads: those of requests, and what the index and its writer are like now."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from datetime import datetime

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from docsim.index import Index
from docsim.serving.request_log import REGISTRY
from docsim.serving.writing import Jobs

__all__ = ["VARIABLE", "exposition"]

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
"""Where several workers put their numbers together; has to be set before prometheus_client is imported."""


class _State(Collector):
    """Numbers that are read when they are asked for."""

    def __init__(self, index: Index, jobs: Jobs) -> None:
        self._index, self._jobs = index, jobs

    def collect(self) -> Iterator[Metric]:
        """Yield each number."""
        with self._index.engine.snapshot() as snapshot:
            counts, revision, generation = snapshot.counts(), snapshot.revision, snapshot.generation.number
        sources = self._index.engine.sources()
        read = [datetime.fromisoformat(one.finished).timestamp() for one in sources.sources() if one.finished]
        yield GaugeMetricFamily("docsim_documents", "Documents in the index", counts.documents)
        yield GaugeMetricFamily("docsim_passages", "Passages in the index", counts.passages)
        yield GaugeMetricFamily("docsim_revision", "Revision of the index", revision)
        yield GaugeMetricFamily("docsim_generation", "Generation that answers", generation)
        yield GaugeMetricFamily("docsim_failed_documents", "Documents that could not be read", len(sources.failures()))
        yield GaugeMetricFamily("docsim_waiting_jobs", "Jobs that are not over", self._jobs.waiting())
        if read:
            yield GaugeMetricFamily(
                "docsim_sync_age_seconds", "Seconds since a source was read", time.time() - max(read)
            )


def exposition(index: Index, jobs: Jobs) -> bytes:
    """Return all metrics in Prometheus' text format, those of requests from all workers."""
    state = CollectorRegistry()
    state.register(_State(index, jobs))
    requests = REGISTRY
    if VARIABLE in os.environ:
        requests = CollectorRegistry()
        MultiProcessCollector(requests)  # type: ignore[no-untyped-call]
    return generate_latest(requests) + generate_latest(state)
