"""A server as it really runs: ``docsim serve`` in a process of its own."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import httpx2  # what clients of servers in this process are made of

from docsim import Document, Encoder, Index
from docsim.serving.access import Scope
from docsim.serving.server_database import ServerDatabase
from docsim.serving.tokens import Tokens
from docsim.use.log import UseLog
from docsim.use.records import Event, Question, Shown

ROOT = Path(__file__).parent.parent
PAGES = (
    Document("soup.md", "Boil the lentils until the soup is soft.", "Lentil soup", {"team": "kitchen"}),
    Document("stew.md", "Cook the lentils in water until the stew is soft.", "Lentil stew", {"team": "kitchen"}),
    Document("keys.md", "Rotate the signing keys every year.", "Signing keys", {"team": "sre"}),
    Document("travel/ticket.md", "Book a train ticket for the team.", "Train tickets"),
)


@dataclass
class Served:
    """A running server: its address, what it wrote to standard error, and clients of it."""

    address: str
    process: subprocess.Popen[str]
    log: list[str] = field(default_factory=list)

    def client(self, token: str | None = None, *, headers: dict[str, str] | None = None) -> httpx.Client:
        sent = (headers or {}) | ({"Authorization": f"Bearer {token}"} if token else {})
        return httpx.Client(base_url=self.address, headers=sent, timeout=60, trust_env=False)

    def end(self) -> int:
        """Ask the server to end, and return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20)

    def lines(self) -> list[dict[str, Any]]:
        """Return the lines of JSON in the log."""
        return [json.loads(line) for line in self.log if line.startswith("{")]


@contextmanager
def serving(index: Path, *options: str, docsim: Path | None = None) -> Iterator[Served]:
    """Serve an index at a free port for the length of the block, with this checkout or an installed ``docsim``."""
    checkout = (sys.executable, "-c", "from docsim.cli import run; run()")
    command = [*((str(docsim),) if docsim else checkout), "serve", "--index", str(index), "--port", "0"]
    environment = {"OMP_NUM_THREADS": "1"} | ({} if docsim else {"PYTHONPATH": str(ROOT)})
    process = subprocess.Popen(
        [*command, *options], stderr=subprocess.PIPE, text=True, cwd=index.parent,
        env=os.environ | environment,
    )  # fmt: skip
    served = Served("", process)
    assert process.stderr is not None
    reader: threading.Thread | None = None
    try:
        for line in process.stderr:
            served.log.append(line)
            if found := re.search(r"Serving .* at (http://\S+?)/$", line):
                served.address = found[1].replace("0.0.0.0", "127.0.0.1")
                break
        assert served.address, "".join(served.log)
        reader = threading.Thread(target=lambda: served.log.extend(process.stderr or ()), daemon=True)
        reader.start()
        with served.client() as client:
            assert client.get("/readyz").status_code == 200
        yield served
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if reader:
            reader.join()
        process.stderr.close()


def made(path: Path, encoder: Path, documents: Sequence[Document] = PAGES) -> Path:
    """Make an index of some documents."""
    with Index.create(path, encoder=Encoder.load(encoder)) as index:
        index.sync(documents)
    return path


def token(index: Path, name: str, *, scope: Scope = "read", groups: Sequence[str] | None = None) -> str:
    """Make a token for an index."""
    return Tokens(ServerDatabase(index)).add(name, scope=scope, groups=groups)


def problem(answer: httpx.Response | httpx2.Response, status: int) -> str:
    """Check that an answer is a problem of a status, and return its sentence."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    told = answer.json()
    assert told["status"] == status
    assert told["request_id"] == answer.headers["x-request-id"]
    assert "Traceback" not in answer.text
    detail = told["detail"]
    assert isinstance(detail, str)
    return detail


def asked_before(index: Path) -> None:
    """Record that people asked three questions: one that a page answers, and two, nearly the same, that none does."""
    with UseLog.opened(index) as log:
        for number in range(4):
            shown = (Shown(1, "soup.md", 1.0), Shown(2, "keys.md", 0.5))
            asked = Question("lentil soup", "page", f"p{number}", shown, 1, 1)
            log.write([asked, Event(asked.id, "opened", "soup.md")])
            log.write([Question("zeppelin mooring permits", "page", f"p{number}", shown, 1, 1)])
        log.write([Question("permits for mooring a zeppelin", "page", "p9", (Shown(1, "keys.md", 0.5),), 1, 1)])
