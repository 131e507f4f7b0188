"""Fuzzing of what is shown: no title, id, text, name, field or question reaches a terminal raw, or a page unescaped."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import re
import shutil
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import quote

import pytest
from asked import asking
from click.shell_completion import ShellComplete
from effort import examples
from encoder_variants import with_other_dim
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from lxml import etree
from starlette.testclient import TestClient

from docsim import Document, Encoder, Index
from docsim.analysis.duplicates_page import duplicates_page
from docsim.analysis.map_page import map_page
from docsim.cli import main
from docsim.reindex import reindexing
from docsim.reindex.examination import GateOptions
from docsim.rendering import pages
from docsim.serving import request_log
from docsim.serving.server_database import ServerDatabase
from docsim.serving.tokens import Tokens
from docsim.use.log import UseLog
from docsim.use.records import Event, Question, Shown

pytestmark = pytest.mark.properties

BASE = "Boil the soup of lentils until it is soft, then sign the keys of the database and restore it. "

# What a terminal must not be sent, and what a page must not hold as markup: all of it names itself.
ATTACKS = [
    "\x1b]0;owned\x07", "\x1b[2J", "\x1b[5;45m", "\x9b5;45m", "\x9d0;owned\x9c", "\x1b]8;;http://evil\x1b\\", "\x1bc",
    "\x90q\x9c", "\u202egpj.exe", "\u2066evil", "\u200f", "\r", "\b\b", "\x00", "\x7f", "\x85", "\u2028", "[red]",
    "[/]", "[link=evil]", "<evil onevil=1>", "</script><evil>", "</title><evil>", "</textarea><evil>", "--><evil>",
    "]]><evil>", "\"><evil>", "'><evil>", "\" onevil=\"1", "' onevil='1", "{{ 7*7 }}evil", "{% evil %}",
    "javascript:evil()", "&lt;evil&gt;", "<!--", "\\u003cevil", "`evil`", "<b\x1b[2J>", "\u200b<evil>", "%1b[2J",
    "![a](javascript:evil)",
]  # fmt: skip
RAW = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
OWN = re.compile(r"\x1b\[(?!5;45m)[0-9;]*m|\x1b\[\?25[lh]|\x1b\[1A|\x1b\[2K|\r\n")
"""What docsim itself sends to a terminal: colours, and the lines of progress that replace each other."""
OWN_BAR = re.compile(r"\x1b\[2K|\x1b\[\?25l")
IN_PAGES = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")

hostile = st.lists(st.one_of(st.sampled_from(ATTACKS), st.text(max_size=4)), min_size=1, max_size=5).map("".join)
fuzzing = settings(
    max_examples=int(os.environ.get("FUZZ", "0")) or examples(2, 15),
    derandomize="FUZZ" not in os.environ,
    database=None,
    phases=(Phase.explicit, Phase.generate),  # shrinking would make an index each time
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


class Screen(io.StringIO):
    """A terminal."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


class Markup(HTMLParser):
    """The elements and attributes of a page, but for what is in its own scripts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements, self.attributes, self.texts = set[str](), list[tuple[str, str]](), list[str]()
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.add(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def on_screen(*arguments: str) -> str:
    """Return what a command prints where both of its streams are a terminal."""
    screen = Screen()
    with contextlib.redirect_stdout(screen), contextlib.redirect_stderr(screen), contextlib.suppress(SystemExit):
        main(list(arguments))
    return screen.getvalue()


def check_page(page: str) -> None:
    found = Markup(page)
    assert not {one for one in found.elements if "evil" in one}
    assert "<evil" not in page
    assert [name for name, _ in found.attributes if "evil" in name or not re.fullmatch(r"[a-z-]+", name)] == []
    addresses = [value for name, value in found.attributes if name in ("href", "src", "action")]
    assert not [one for one in addresses if one.lower().startswith("javascript:")]
    assert not IN_PAGES.search("".join(found.texts)), IN_PAGES.findall("".join(found.texts))
    assert "49evil" not in page


@pytest.fixture(scope="module")
def encoder(tiny_encoder_dir: Path) -> Encoder:
    return Encoder.load(tiny_encoder_dir)


@pytest.fixture
def home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("TERM", "xterm-256color")
    path = tmp_path_factory.mktemp("output")
    monkeypatch.setenv("XDG_STATE_HOME", str(path / "state"))
    monkeypatch.chdir(path)
    return path


@contextlib.contextmanager
def attacked(path: Path, encoder: Encoder, one: str) -> Iterator[Index]:
    """An index in which everything that comes from documents is an attack."""
    documents = [
        Document(
            f"{one}/a{number}",
            f"# {one} {number}\n\n{BASE}{one} {number}\n\n## {one}\n\n{BASE}",
            f"{one} {number}",
            {"team": one, one: one},
        )
        for number in range(2)
    ]
    documents += [Document(f"page{number}", f"{BASE[number:]} {number}", one) for number in range(22)]
    with Index.create(path, encoder=encoder) as index:
        index.sync(documents)
        record(index, one)
        yield index


def record(index: Index, one: str) -> None:
    """Record questions that are attacks, some of which nothing answers, and that people disagree."""
    first, second = ids(index, one)
    texts = ("zebra quagga", "zebra quaggas", "giraffe", "soup of lentils")
    asked = [Question(f"{text} {one}", "page", shown=(Shown(1, first, 0.5),)) for text in texts]
    said: list[Event] = [Event(each.id, kind, first) for each in asked[3:] for kind in ("opened", "good")]
    said += [Event(asked[3].id, "bad", first), Event(asked[3].id, "good", second)]
    with UseLog.opened(index.path) as log:
        log.write([*asked, *said])


def ids(index: Index, one: str) -> list[str]:
    with index.engine.snapshot() as snapshot:
        return [found.document.id for found in snapshot.scan() if found.document.metadata.get("team") is not None]


@given(one=hostile)
@fuzzing
def test_nothing_of_a_document_reaches_a_terminal_raw(home: Path, encoder: Encoder, one: str) -> None:
    path = home / f"index{len(list(home.iterdir()))}"
    folder = path.with_name(f"{path.name}-docs")
    folder.mkdir()
    name = re.sub("[/\x00\ud800-\udfff]", "", one).encode()[:200].decode("utf-8", "ignore").strip(". ") or "x"
    (folder / f"{name}.md").write_text(f"---\ntitle: {json.dumps(one)}\n---\n# {one}\n\n{BASE}{one}", errors="replace")
    (folder / f"b{name}.pdf").write_bytes(b"%PDF broken")
    (folder / f"c{name}.json").write_text("left out")
    with attacked(path, encoder, one) as index:
        first, second = ids(index, one)
    at = ("--index", str(path))
    commands = [
        ("query", f"soup {one}", *at), ("query", "soup", "--json", *at),
        ("query", "soup", "--no-fold", "-k", "30", *at), ("similar", first, *at), ("ls", *at), ("show", first, *at),
        ("show", first, "--json", *at), ("show", f"{one}no", *at), ("explain", first, second, *at),
        ("duplicates", *at), ("query", "soup", "--where", f"team = {json.dumps(one)}", *at),
        ("query", "soup", "--in", one, *at), ("index", str(folder), *at), ("index", str(folder / one), *at),
        ("status", *at), ("status", "--left-out", *at), ("sources", *at), ("forget", one, *at),
        ("open", "--print", "1"), ("verify", *at), ("gaps", "--least", "0", *at), ("hygiene", *at),
        ("gaps", "--json", *at), ("judge", *at), ("judge", "--json", *at), ("use", "export", *at),
        ("feedback", one, "--good", first, *at), ("feedback", one, "--good", one, *at), ("doctor", *at),
        ("token", "add", one, *at), ("token", "add", "reader", "--group", one, *at), ("token", "list", *at),
        ("access", "why", one, first, *at), ("access", "why", "reader", first, *at), ("map", "--out", name, *at),
        ("duplicates", "--report", f"{name}.html", *at), ("backup", f"{name}-backup", *at), ("rm", first, *at),
        ("status", one, *at), ("restore", f"{name}-backup", f"{name}-restored"),
    ]  # fmt: skip
    for command in commands:
        arguments = [part.replace("\x00", "") for part in command]
        shown = on_screen(*arguments)
        assert "Traceback" not in shown, (command, shown)
        if OWN_BAR.search(shown):  # lines of progress were replaced, with returns between them
            shown = shown.replace("\r", "")
        left = RAW.findall(OWN.sub("", shown))
        assert not left, (command[0], left, shown)


@given(one=hostile)
@fuzzing
def test_nothing_of_a_document_is_markup_of_a_page_or_a_report(home: Path, encoder: Encoder, one: str) -> None:
    path = home / f"index{len(list(home.iterdir()))}"
    other = with_other_dim(encoder.path, path.with_name(f"{path.name}-encoder"), 24)
    with attacked(path, encoder, one) as index:
        with index.engine.snapshot() as snapshot:
            check_page(duplicates_page(index.duplicates(), snapshot))
        check_page(map_page(index.map(), title=one))
        options = GateOptions(publish_anyway=True, report=path / "report")
        reindexing.reindex(index, Encoder.load(other), gate=options)
        check_page((path / "report" / "report.html").read_text(encoding="utf-8"))
        parts = pages.facts({one: one}), pages.table((one,), [(one,)]), pages.picture(b"", one)
        check_page(pages.page(one, "".join(parts)))
        first, second = ids(index, one)
    with asking(path, Tokens(ServerDatabase(path)).add("admin", scope="admin"), record=True) as client:
        client.headers["accept"] = "text/html"  # as browsers say
        shown = [

            client.get("/", params={"q": f"soup {one}"}), client.get("/", params={"q": "soup", "f": f"team={one}"}),
            client.get("/", params={"q": "soup", "part": "true"}),
            client.get(f"/d/{quoted(first)}", params={"q": one}), client.get(f"/more/{quoted(first)}"),
            client.get(f"/why/{quoted(first)}", params={"a": second}), client.get("/duplicates"),
            client.post("/have", data={"text": BASE + one}), client.get(f"/d/{quoted(one)}no"), client.get("/admin"),
            client.get("/login", params={"next": one}),
            *map(client.get, ("/admin/gaps?least=0", "/admin/hygiene", "/admin/judge", "/admin/tokens")),
            *map(client.get, ("/map?topic=0", "/admin/generations", "/admin/generations/2")),
        ]  # fmt: skip
        told = [page.status_code for page in (*shown[:8], *shown[-7:])]
        assert set(told) <= {200, 303, 503}, told
        etree.fromstring(client.get("/opensearch.xml").content)
        for page in shown:
            if not page.is_redirect:
                assert page.headers["content-type"].startswith("text/html")
                check_page(page.text)


@given(one=hostile)
@fuzzing
def test_nothing_of_a_document_is_raw_in_json_headers_or_the_log(
    home: Path, encoder: Encoder, capsys: pytest.CaptureFixture[str], one: str
) -> None:
    path = home / f"index{len(list(home.iterdir()))}"
    with attacked(path, encoder, one) as index:
        first, second = ids(index, one)
    calls: list[tuple[str, dict[str, object]]] = [("search", {"query": one}), ("fetch", {"id": first})]
    calls += [("similar", {"id": first}), ("explain", {"other": first, "id": second}), ("fetch", {"id": f"{one}no"})]
    with logged(), asking(path, log_texts=True) as client:
        answers = [
            client.get("/v1/search", params={"text": f"soup {one}"}), client.get("/v1/similar", params={"id": first}),
            client.get("/v1/explain", params={"a": first, "b": second}), client.get("/v1/status"),
            client.get("/v1/suggest", params={"text": one}),
            client.get(f"/v1/documents/{quoted(first)}"), client.get(f"/v1/documents/{quoted(one)}no"),
            client.get("/v1/documents"), client.get("/v1/search", params={"text": one, one: one}),
            client.put(f"/v1/documents/{quoted(one)}", json={"text": one, "title": one}), client.get("/v1/jobs/1"),
            client.get("/v1/search", params={"text": "soup", "where": one}), client.get(f"/{quoted(one)}"),
            client.post("/retrieval", json={"knowledge_id": one, "query": one}),
        ]  # fmt: skip
        told = [called(client, name, given) for name, given in calls]
        logging.getLogger("docsim.serving").error("not read: %s", f"{one}\nx")
    assert {answer.status_code for answer in answers[:4]} == {200}
    shown = [part for answer in answers for part in (answer.text, *answer.headers.values())]
    log = capsys.readouterr().err
    assert not [part for part in (*shown, *told, log) if RAW.search(part)]
    assert all(line.startswith(("{", "docsim.serving: not read: ")) for line in log.splitlines())


def called(client: TestClient, name: str, given: dict[str, object]) -> str:
    """Call a tool as an assistant does, and return the text that it is told."""
    asked = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": name, "arguments": given}}
    answer = client.post("/mcp", json=asked, headers={"accept": "application/json, text/event-stream"})
    return str(answer.json()["result"]["content"][0]["text"])


@contextlib.contextmanager
def logged() -> Iterator[None]:
    """Log to standard error as a server does, for the length of the block."""
    root, requests = logging.getLogger(), logging.getLogger("docsim.serving.requests")
    before = root.handlers, root.level, requests.handlers, requests.propagate, requests.level
    root.handlers = []
    request_log.log_to_standard_error()
    try:
        yield
    finally:
        root.handlers, root.level, requests.handlers, requests.propagate, requests.level = before
        logging.getLogger("docsim.serving").setLevel(logging.NOTSET)


def quoted(id: str) -> str:
    """Return an id as part of a path; Starlette's client decodes paths twice, and a server once."""
    return quote(quote(id, safe=""), safe="")


def test_names_that_are_no_utf8_are_spelled_out(home: Path, encoder: Encoder) -> None:
    path = home / os.fsdecode(b"\xffindex")
    with attacked(path, encoder, "x"):
        pass
    for command in (("status",), ("status", "--json"), ("query", "soup"), ("map",), ("doctor",)):
        shown = on_screen(*command, "--index", str(path))
        assert "should not happen" not in shown
        assert shown.encode()
    with asking(path) as client:
        answers = [client.get(place) for place in ("/admin", "/opensearch.xml", "/v1/status")]
    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert all(r"\xffindex" in answer.text or r"\udcffindex" in answer.text for answer in answers)


def test_commands_to_copy_are_words_of_a_shell(home: Path, encoder: Encoder) -> None:
    with Index.create(home / "index", encoder=encoder) as index:
        index.sync([Document("$(evil)", BASE, "Soup")])
    gone = home / "$(evil)"
    gone.mkdir()
    (gone / "a.md").write_text(BASE)
    on_screen("index", str(gone), "--index", "index")
    shutil.rmtree(gone)
    assert f"docsim forget '{gone}'" in on_screen("status", "--index", "index")
    assert "docsim show '$(evil)'" in " ".join(on_screen("open", "$(evil)", "--index", "index").split())


def test_completion_offers_only_names_that_a_shell_reads_as_one_word(home: Path, encoder: Encoder) -> None:
    for name in ("fine-색인", "$(evil)", "a;evil", "a evil"):
        with Index.create(home / "indexes" / name, encoder=encoder):
            pass
    found = ShellComplete(main, {}, "docsim", "_DOCSIM_COMPLETE").get_completions(["query", "--index"], "ind")
    assert [one.value for one in found] == ["indexes/fine-색인"]
