"""Writing: jobs that change documents, done one after the other by the one writer.

A request becomes a job in the database of the server, which outlives every process. Whichever process of a server holds
``serving.lock`` does the jobs; when it ends, however it ends, another takes over, and does again what was being done:
a job that is done twice has the same outcome as one that is done once. What takes minutes, because it changes the
encoder, is done beside it: see ``docsim.serving.encoder_jobs``.

Documents that came this way are a source of their own, ``api``. What another source holds is changed there only, as its
next sync would bring it back.
"""

from __future__ import annotations

import json
import logging
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Literal, get_args

from filelock import FileLock, Timeout

from docsim import threads
from docsim.engine.records import SourceName
from docsim.errors import DocsimError
from docsim.index import Index
from docsim.ingest.sources import Source
from docsim.jobs.backup import SERVING_LOCK
from docsim.jobs.sync import SyncOptions, sync_source
from docsim.models import Document, Failure
from docsim.serving.server_database import ServerDatabase, instant
from docsim.serving.watching import Watching

__all__ = ["Change", "Job", "Jobs", "Kind", "Rebuild", "Writing"]

logger = logging.getLogger(__name__)

Change = Literal["put", "delete"]
"""Jobs that change documents."""

Rebuild = Literal["publish", "rollback", "reindex", "adapt"]
"""Jobs that change which encoder answers."""

Kind = Change | Rebuild

_SOURCE = SourceName("api", "api", "api")
_PAUSE = 0.2
"""Seconds between two looks for jobs that another process took in, and for the lock."""

_LAST_SECONDS = 2.0
"""Seconds that the job in progress has when the server ends."""

_COLUMNS = "id, kind, state, submitted, finished, result, progress"
_KEPT = 1000
"""Finished jobs that can still be asked about."""


@dataclass(frozen=True, slots=True)
class Job:
    """Something to write.

    Attributes:
        id: What it is asked about by.
        kind: What is to be done.
        state: ``queued``, ``running``, ``done`` or ``failed``.
        submitted: When it came, ISO 8601 in UTC.
        finished: When it was done, or failed; None before.
        result: What was done, counted as by ``docsim index --json`` or ``docsim reindex --json``, with the revision
            from which on a search sees it; or what went wrong; None before.
        progress: How far it is, of what takes minutes: the step, how much of it is done and how much there is.
    """

    id: str
    kind: str
    state: str
    submitted: str
    finished: str | None
    result: dict[str, Any] | None
    progress: dict[str, Any] | None

    @property
    def is_over(self) -> bool:
        """Whether it is done, or has failed."""
        return self.state in ("done", "failed")


class Jobs:
    """The jobs of an index."""

    def __init__(self, database: ServerDatabase) -> None:
        """Keep them in a database."""
        self._database = database
        self.came = threading.Event()

    def put(self, documents: Sequence[Document], owner: str) -> Job:
        """Take in documents to add or replace."""
        content = [{"id": one.id, "title": one.title, "text": one.text, "metadata": one.metadata} for one in documents]
        return self._submit("put", content, owner)

    def delete(self, ids: Sequence[str], owner: str) -> Job:
        """Take in ids of documents to remove."""
        return self._submit("delete", list(ids), owner)

    def rebuild(self, kind: Rebuild, asked: Mapping[str, Any], owner: str) -> Job:
        """Take in a change of the encoder that answers; see ``docsim.jobs.job_process`` for what can be asked for."""
        return self._submit(kind, dict(asked), owner)

    def _submit(self, kind: Kind, content: object, owner: str) -> Job:
        id = secrets.token_urlsafe(12)
        held = json.dumps(content, ensure_ascii=False).encode()
        sql = "INSERT INTO jobs (id, kind, state, owner, content, submitted) VALUES (?, ?, 'queued', ?, ?, ?)"
        self._database.execute(sql, id, kind, owner, held, instant())
        self.came.set()
        found = self.job(id)
        assert found is not None
        return found

    def job(self, id: str) -> Job | None:
        """Return a job, or None when there is none or it has been forgotten."""
        rows = self._database.rows(f"SELECT {_COLUMNS} FROM jobs WHERE id = ?", id)
        return _job(rows[0]) if rows else None

    def rebuilds(self, most: int = 20) -> list[Job]:
        """Return the last jobs that changed the encoder that answers, or are to, latest first."""
        kinds = get_args(Rebuild)
        sql = f"SELECT {_COLUMNS} FROM jobs WHERE kind IN ({_marks(kinds)}) ORDER BY number DESC LIMIT ?"
        return [_job(row) for row in self._database.rows(sql, *kinds, most)]

    def waiting(self) -> int:
        """Return how many jobs are not over."""
        return int(
            (self._database.rows("SELECT count(*) FROM jobs WHERE state IN ('queued', 'running')") or [[0]])[0][0]
        )

    def next(self, kinds: Sequence[str]) -> tuple[int, str, Any] | None:
        """Return number, kind and content of the first job of some kinds that is not over, which then is running."""
        sql = (
            "SELECT number, kind, content FROM jobs WHERE state IN ('queued', 'running')"
            f" AND kind IN ({_marks(kinds)}) ORDER BY number LIMIT 1"
        )
        for number, kind, content in self._database.rows(sql, *kinds):
            self._database.execute("UPDATE jobs SET state = 'running' WHERE number = ?", number)
            return number, kind, json.loads(content)
        return None

    def note(self, number: int, progress: Mapping[str, Any]) -> None:
        """Record how far a job is."""
        self._database.execute(
            "UPDATE jobs SET progress = ? WHERE number = ?", json.dumps(progress, ensure_ascii=False), number
        )

    def finish(self, number: int, state: str, result: Mapping[str, Any]) -> None:
        """Record how a job ended, and forget what was to be written and jobs of long ago."""
        sql = "UPDATE jobs SET state = ?, result = ?, finished = ?, content = NULL WHERE number = ?"
        self._database.execute(sql, state, json.dumps(result, ensure_ascii=False), instant(), number)
        self._database.execute("DELETE FROM jobs WHERE state IN ('done', 'failed') AND number <= ?", number - _KEPT)


def _job(row: Sequence[Any]) -> Job:
    id, kind, state, submitted, finished, *held = row
    result, progress = (json.loads(one) if one else None for one in held)
    return Job(id, kind, state, submitted, finished, result, progress)


def _marks(values: Sequence[object]) -> str:
    """Return as many question marks as there are values."""
    return ", ".join("?" * len(values))


class Writing:
    """A thread that does the jobs, while no other process of a server of the index does."""

    def __init__(
        self,
        index: Index,
        jobs: Jobs,
        sources: Sequence[Source] = (),
        beside: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        """Make the thread; ``running`` starts it.

        Args:
            index: The index that is written to.
            jobs: What is to be done.
            sources: What the index is kept up to date with.
            beside: What else this process does while it is the one that does jobs.
        """
        self._index, self._jobs, self._beside = index, jobs, beside
        self._sources = sources
        self._watching = Watching(sources, index.path, jobs.came.set)
        self._ending = threading.Event()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Do jobs for the length of the block; at its end, finish the one that is being done, if that is quick.

        One that takes longer is stopped between two transactions, or in one that then never happened, and done again.
        """
        thread = threads.start(self._run, name="docsim-writing")
        try:
            yield
        finally:
            self._ending.set()
            self._jobs.came.set()
            thread.join(_LAST_SECONDS)

    def _run(self) -> None:
        lock = FileLock(self._index.path / SERVING_LOCK, timeout=0)
        while not self._ending.is_set():
            try:
                with lock, self._watching.running(), self._beside():
                    self._write()
            except Timeout:
                self._ending.wait(1.0)
            except Exception:
                logger.exception("the writer stopped, and goes on in a second")
                self._ending.wait(1.0)

    def _write(self) -> None:
        """Do jobs until the server ends."""
        while not self._ending.is_set():
            self._jobs.came.clear()
            if job := self._jobs.next(get_args(Change)):
                self._do(*job)
            elif source := self._watching.due():
                self._read(source)
            else:
                self._jobs.came.wait(_PAUSE)

    def _read(self, source: Source) -> None:
        """Bring the index up to date with a source; what goes wrong is logged, and tried again at the next change."""
        try:
            report = sync_source(self._index, source, SyncOptions(wait=True), among=self._sources)
        except DocsimError as error:
            logger.error("the source %s could not be read: %s", source.name, error)
            return
        if report.added or report.changed or report.removed:
            counts = f"{report.added} added, {report.changed} changed, {report.removed} removed"
            logger.warning("the source %s was read: %s", source.name, counts)
        for failure in report.failures:
            logger.error("not read: %s in the source %s: %s", failure.path, source.name, failure.reason)

    def _do(self, number: int, kind: str, content: Any) -> None:
        try:
            result = self._put(content) if kind == "put" else self._delete(content)
            with self._index.engine.snapshot() as snapshot:
                result["revision"] = snapshot.revision
        except Exception as error:  # whatever it is, what comes after this job has to be done
            logger.error("job %d failed", number, exc_info=error)
            told = str(error) if isinstance(error, DocsimError) else "this should not happen; the server's log says why"
            self._jobs.finish(number, "failed", {"error": told})
        else:
            self._jobs.finish(number, "done", result)

    def _put(self, records: Sequence[dict[str, Any]]) -> dict[str, Any]:
        items = [self._item(Document(**record)) for record in records]
        report = self._index.sync(items, source=_SOURCE, prune=False, wait=True)
        failures = [{"id": one.path, "reason": one.reason} for one in report.failures]
        counts = {"added": report.added, "changed": report.changed, "unchanged": report.unchanged, "removed": 0}
        return {**counts, "failures": failures}

    def _item(self, document: Document) -> Document | Failure:
        reason = self.refusal(document.id)
        return Failure(document.id, reason) if reason else document

    def _delete(self, ids: Sequence[str]) -> dict[str, Any]:
        refused = {id: reason for id in ids if (reason := self.refusal(id))}
        removed = self._index.remove([id for id in ids if id not in refused], wait=True)
        failures = [{"id": id, "reason": reason} for id, reason in refused.items()]
        return {"added": 0, "changed": 0, "unchanged": 0, "removed": removed, "failures": failures}

    def refusal(self, id: str) -> str | None:
        """Return why a document cannot be changed here, or None if it can."""
        sources = self._index.engine.sources()
        number = sources.number(id)
        others = [] if number is None else [one.source for one in sources.holders(number) if one.source != _SOURCE]
        if not others:
            return None
        return (
            f"expected a document that came over HTTP, {id!r} comes from the source {others[0].name}; change it there"
        )
