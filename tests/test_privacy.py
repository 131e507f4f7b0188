"""Nothing leaves the machine, and nothing is written outside the index, the output, docsim's cache and the temp folder.

Every command runs in a process of its own with an empty home folder, watched by Python's audit hooks, which see what
Python code does, and by strace where it is installed and permitted, which sees all that libraries do.
"""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
import toy_training
from effort import thorough
from office_files import docx, paragraph

from docsim import offline

ROOT = Path(__file__).parent.parent
SWITCHES = (
    "ORT_",
    "HF_",
    "KERAS_",
    "MPL",
    "XDG_",
    "DO_NOT_TRACK",
    "DOCSIM",
    "HAYSTACK_",
    "LANG",
    "RAY_",
    "TRANSFORMERS_",
    "PYTEST",
    "COV",
)

GUARD = """
import os, sys
_log = os.open(os.environ["AUDIT_LOG"], os.O_WRONLY | os.O_APPEND)
_network = {"socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr", "socket.sendto"}
def _hook(event, arguments):
    if event in _network:
        os.write(_log, f"network {event} {arguments[-1]!r}\\n".encode())
    elif event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
        if not isinstance(arguments[0], int):
            os.write(_log, f"write {os.path.abspath(os.fsdecode(arguments[0]))}\\n".encode())
    elif event in ("os.mkdir", "os.rename"):
        os.write(_log, f"write {os.path.abspath(os.fsdecode(arguments[event == 'os.rename']))}\\n".encode())
sys.addaudithook(_hook)
"""
COMMAND_LINE = "from docsim.cli import run; run()"

LONG_LIVED = """
import time
from docsim import Index
with Index.open("index") as index:
    print(index.search("lentils").hits[0].id)
    time.sleep(12)  # ONNX Runtime sends for the first time after ten seconds
"""

_CALL = re.compile(r"^(?:\d+ +)?(\w+)\((.*)\) = (-?\d+)")
_AT = re.compile(r'^(?:AT_FDCWD|\d+)<([^>]*)>, "([^"]*)"')
_PATH = re.compile(r'^"([^"]*)"')


@dataclass(frozen=True)
class Watched:
    """What a process did: its output, the calls that reach for the network, and the paths that it made or wrote to."""

    stdout: str
    network: list[str]
    written: set[Path]


@cache
def strace() -> tuple[str, ...]:
    """Return the beginning of a command that watches another, empty where that cannot be done and need not be."""
    calls = "trace=connect,sendto,sendmsg,sendmmsg,open,openat,creat,mkdir,mkdirat,rename,renameat,renameat2"
    command = ("strace", "-f", "-qq", "-y", "-s", "400", "--seccomp-bpf", "-e", calls, "-e", "signal=none")
    tried = None
    if shutil.which("strace"):
        tried = subprocess.run([*command, "-o", os.devnull, "true"], capture_output=True, text=True, check=False)
    if tried and tried.returncode == 0:
        return command
    if os.environ.get("PRIVACY_TESTS") == "required":
        pytest.fail(f"strace cannot watch processes here: {tried.stderr.strip() if tried else 'it is not installed'}")
    return ()


@dataclass(frozen=True)
class House:
    """Where watched commands run: a working directory, and folders for the home, temporary files and what was seen."""

    work: Path
    home: Path
    temporary: Path
    logs: Path

    @classmethod
    def built(cls, root: Path) -> House:
        house = cls(root / "work", root / "home", root / "temporary", root / "logs")
        for folder in (house.work, house.home, house.temporary, house.logs):
            folder.mkdir()
        return house

    def run(self, *arguments: str | Path, code: str = COMMAND_LINE) -> Watched:
        """Run code in a process, with a switch set by nobody but docsim itself."""
        trace, audit = (Path(tempfile.mkstemp(dir=self.logs)[1]) for _ in range(2))
        kept = {name: value for name, value in os.environ.items() if not name.startswith(SWITCHES)}
        places = {"HOME": self.home, "TMPDIR": self.temporary, "AUDIT_LOG": audit, "PYTHONPATH": ROOT}
        watching = (*strace(), "-o", str(trace)) if strace() else ()
        done = subprocess.run(
            [*watching, sys.executable, "-B", "-c", GUARD + code, *map(str, arguments)],
            env=kept | {name: str(place) for name, place in places.items()},
            cwd=self.work, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        network, written = audited(audit)
        more_network, more_written = traced(trace, self.work)
        return Watched(done.stdout, network + more_network, written | more_written)

    def outside(self, watched: Watched, *outputs: str) -> set[Path]:
        """Return what was written elsewhere than in the index, some outputs, and the places that are always allowed."""
        allowed = [self.work / name for name in ("index", *outputs)]
        allowed += [self.home / ".cache" / "docsim", self.temporary, self.logs]
        made_on_the_way = {self.home / ".cache"}
        rest = {path for path in watched.written if not any(path.is_relative_to(one) for one in allowed)}
        return {path for path in rest - made_on_the_way if not self.is_of_the_system(path)}

    def is_of_the_system(self, path: Path) -> bool:
        """Whether a path is of a device or a process; the house itself may lie in /dev/shm."""
        return any(path.is_relative_to(one) for one in ("/dev", "/proc")) and not path.is_relative_to(self.work.parent)


def audited(log: Path) -> tuple[list[str], set[Path]]:
    lines = [line.split(" ", 1) for line in log.read_text().splitlines()]
    network = [text for kind, text in lines if kind == "network" and "'/" not in text]
    return network, {Path(text) for kind, text in lines if kind == "write"}


def traced(log: Path, cwd: Path) -> tuple[list[str], set[Path]]:
    """Return the calls that reach for the network, and the paths that were made or opened to be written to."""
    network, written = list[str](), set[Path]()
    for line in log.read_text(errors="replace").splitlines():
        if "AF_INET" in line:
            network.append(line)
        call = _CALL.match(line)
        if call is None or int(call[3]) < 0:
            continue
        name, given = call[1], call[2]
        if name.startswith("open") and not re.search("O_WRONLY|O_RDWR|O_CREAT", given):
            continue
        if name in ("openat", "open", "creat", "mkdir", "mkdirat", "rename", "renameat", "renameat2"):
            written.add(cwd / named(name, given))
    return network, written


def named(call: str, given: str) -> Path:
    """Return the path that a call makes; of a renaming, the new one."""
    if call.startswith("rename"):
        given = given.partition('", ')[2]
    at, path = _AT.match(given), _PATH.match(given)
    if at:
        return Path(at[1], at[2])
    assert path, given
    return Path(path[1])


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, tiny_encoder_dir: Path) -> Iterator[House]:
    """An index of toy documents and of a file of each kind that other people's libraries read."""
    house = House.built(tmp_path_factory.mktemp("house"))
    (house.work / "documents").mkdir()
    for document in toy_training.documents(60):
        (house.work / "documents" / f"{document.id.replace('/', '-')}.md").write_text(f"# T\n\n{document.text}\n")
    write_files(house.work / "documents")
    watched = house.run("index", "documents", "--index", "index", "--encoder", tiny_encoder_dir, "--quiet")
    assert (watched.network, house.outside(watched)) == ([], set())
    yield house
    assert list(house.temporary.iterdir()) == []
    left = {path.relative_to(house.home) for path in house.home.rglob("*") if path.is_file()}
    assert {path for path in left if not path.is_relative_to(".cache/docsim")} == set()


def write_files(folder: Path) -> None:
    """Write files that name things elsewhere: a page and a Word file with pictures from the network."""
    (folder / "page.html").write_text(
        "<!DOCTYPE html><html><head><link rel=stylesheet href=https://example.com/a.css></head>"
        '<body><h1>Soup</h1><p>Boil the lentils.</p><img src="https://example.com/soup.png"></body></html>'
    )
    relations = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    main = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
    drawing = "http://schemas.openxmlformats.org/drawingml/2006"
    parts = {
        "[Content_Types].xml": '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
        '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        '<Override PartName="/word/document.xml" ContentType="application/vnd.openxmlformats-officedocument'
        '.wordprocessingml.document.main+xml"/></Types>',
        "_rels/.rels": f'<Relationships xmlns="{relations.replace("officeDocument", "package")}"><Relationship '
        f'Id="r1" Type="{relations}/officeDocument" Target="word/document.xml"/></Relationships>',
        "word/_rels/document.xml.rels": f'<Relationships xmlns="{relations.replace("officeDocument", "package")}">'
        f'<Relationship Id="r2" Type="{relations}/image" Target="http://localhost:9/soup.png" TargetMode="External"/>'
        "</Relationships>",
        "word/document.xml": f'<w:document xmlns:w="{main}" xmlns:r="{relations}" xmlns:a="{drawing}/main"'
        f' xmlns:wp="{drawing}/wordprocessingDrawing" xmlns:pic="{drawing}/picture"><w:body><w:p><w:r>'
        '<w:t>Lentils</w:t></w:r></w:p><w:p><w:r><w:drawing><wp:inline><a:graphic><a:graphicData><pic:pic><pic:blipFill>'
        '<a:blip r:link="r2"/></pic:blipFill></pic:pic></a:graphicData></a:graphic></wp:inline></w:drawing></w:r></w:p>'
        "</w:body></w:document>",
    }  # fmt: skip
    with zipfile.ZipFile(folder / "linked.docx", "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)


SEARCHES: dict[str, tuple[list[str], list[str]]] = {
    "query": (["query", "boil the lentils"], []),
    "similar": (["similar", "page.html"], []),
    "explain": (["explain", "page.html", "linked.docx"], []),
    "duplicates": (["duplicates", "--report", "duplicates.html"], ["duplicates.html"]),
    "map": (["map", "--out", "map"], ["map"]),
    "verify": (["verify"], []),
}


@pytest.mark.parametrize("command", ["query", *thorough("similar", "explain", "duplicates", "map", "verify")])
def test_searching_stays_on_the_machine_and_within_its_folders(house: House, command: str) -> None:
    arguments, outputs = SEARCHES[command]
    watched = house.run(*arguments, "--index", "index")
    assert watched.network == []
    assert house.outside(watched, *outputs) == set()


@pytest.mark.thorough
def test_an_index_that_stays_open_stays_on_the_machine(house: House) -> None:
    watched = house.run(code=LONG_LIVED)
    assert watched.stdout.strip() in ("page.html", "linked.docx")
    assert (watched.network, house.outside(watched)) == ([], set())


INTEGRATIONS = {
    "langchain": "DocsimRetriever(address='index', k=2).invoke('boil the lentils')",
    "llamaindex": "DocsimRetriever('index', k=2).retrieve('boil the lentils')",
    "haystack": (
        "from haystack import Pipeline\n"
        "pipeline = Pipeline()\n"
        "pipeline.add_component('docsim', DocsimRetriever('index', top_k=2))\n"
        "pipeline.run({'docsim': {'query': 'boil the lentils'}})['docsim']['documents']"
    ),
}


@pytest.mark.thorough
@pytest.mark.parametrize("library", INTEGRATIONS)
def test_libraries_that_ask_an_index_stay_on_the_machine_and_within_its_folders(house: House, library: str) -> None:
    *before, last = INTEGRATIONS[library].split("\n")
    lines = [f"from docsim.integrations.{library} import DocsimRetriever", *before, f"print(len({last}))"]
    code = "\n".join([*lines, "import time; time.sleep(2)"])  # libraries that report do it from a thread
    watched = house.run(code=code)
    assert watched.stdout == "2\n"
    assert watched.network == []
    assert house.outside(watched) == set()


def test_haystack_would_report_what_it_runs_unless_docsim_came_first(tmp_path: Path) -> None:
    house = House.built(tmp_path)
    watched = house.run(code="import haystack")
    assert house.home / ".haystack" / "config.yaml" in watched.written


@pytest.mark.thorough
def test_training_stays_on_the_machine_and_within_its_folders(house: House, tiny_encoder_dir: Path) -> None:
    given = ["--steps", "2", "--batch", "8", "--report", "out/report", "--json"]
    watched = house.run("train", "--from", tiny_encoder_dir, "--corpus", "documents", "--out", "out/trained", *given)
    assert json.loads(watched.stdout)["fingerprint"]
    assert watched.network == []
    assert house.outside(watched, "out") == set()


@pytest.mark.thorough
def test_adapting_stays_on_the_machine_and_within_its_folders(house: House) -> None:
    shutil.copytree(house.work / "index", house.work / "index.adapted")
    watched = house.run("adapt", "--index", "index.adapted", "--time-limit", "1", "--force", "--json")
    assert watched.network == []
    assert house.outside(watched, "index.adapted") == set()


def test_a_guard_sees_what_it_is_there_for(tmp_path: Path) -> None:
    house = House.built(tmp_path)
    code = (
        "import socket, os, pathlib\n"
        "pathlib.Path.home().joinpath('.id').write_text('me')\n"
        "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).connect(('127.0.0.1', 9))\n"
    )
    watched = house.run(code=code)
    assert len(watched.network) == (2 if strace() else 1)
    assert house.outside(watched) == {house.home / ".id"}


@pytest.mark.parametrize("folder", ["docsim", "tests", "benchmarks", "docs"])
def test_only_one_module_imports_onnxruntime(folder: str) -> None:
    found = {path.relative_to(ROOT).as_posix() for path in (ROOT / folder).rglob("*.py") if imports_onnxruntime(path)}
    assert found == ({"docsim/runtime.py"} if folder == "docsim" else set())


def imports_onnxruntime(path: Path) -> bool:
    """Return whether a file imports the library, in its code or in a piece of code that it holds as a string."""
    text = path.read_text(encoding="utf-8")
    if "onnxruntime" not in text:
        return False
    for node in ast.walk(ast.parse(text)):
        names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        names += [one.name for one in node.names] if isinstance(node, ast.Import) else []
        if any(name.partition(".")[0] == "onnxruntime" for name in names):
            return True
    return bool(re.search(r"""import_module\(["']onnxruntime|["']import [\w, ]*\bonnxruntime""", text))


WORD = docx(paragraph("oMath"))  # as in a file with formulas, for which markitdown is imported


@pytest.mark.parametrize(
    "module", ["docsim.runtime", "docsim.encoding.encoder", "docsim.ingest.guarded_readers", "docsim.training"]
)
def test_the_switch_is_set_before_the_library_is_there(module: str) -> None:
    code = (
        "import os, sys\n"
        "class Finder:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'onnxruntime': print(os.environ.get('ORT_DISABLE_TELEMETRY'))\n"
        "sys.meta_path.insert(0, Finder())\n"
        f"import {module}\n"
        f"if 'guarded_readers' in sys.argv[1]: sys.modules[sys.argv[1]].convert({WORD!r}, '.docx')\n"
        "if 'training' in sys.argv[1]: __import__('onnxruntime')\n"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ORT_")}
    command = [sys.executable, "-c", code, module]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert done.stdout == "1\n"


def test_importing_docsim_sets_nothing() -> None:
    code = "import os; before = dict(os.environ); import docsim, docsim.cli; assert dict(os.environ) == before"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_folder_that_the_user_chose_is_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "mine"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    offline.before_keras()
    assert (os.environ["KERAS_HOME"], os.environ["HF_HUB_OFFLINE"]) == (str(tmp_path / "mine"), "0")


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have other folders")
def test_the_cache_is_where_the_user_keeps_caches(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert offline.cache_folder() == tmp_path / ".cache" / "docsim"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "other"))
    assert offline.cache_folder() == tmp_path / "other" / "docsim"
