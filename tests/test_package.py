"""The built wheel: what is in it, and that it indexes and answers where TensorFlow is not installed."""

from __future__ import annotations

import ast
import email
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from importlib import metadata as metadata_of
from pathlib import Path

import pytest
from wheel_environments import build_wheel

import docsim
from docsim import extras

ROOT = Path(docsim.__file__).parents[1]
DEFAULT = Path("docsim/encoders/fast")

# Runs at the start of the fresh environment's Python: TensorFlow and all that only training needs are not there.
_BLOCKER = """
import sys

class Blocker:
    names = {"tensorflow", "keras", "keras_hub", "tf2onnx", "onnx", "torch", "transformers"}

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in self.names:
            raise ModuleNotFoundError(f"No module named {name!r} here", name=name)

sys.meta_path.insert(0, Blocker())
"""

_TRACER = """
import ast, sys, docsim.cli
from docsim.extras import PACKAGES
optional = {name for names in PACKAGES.values() for name in names} | {"torch", "pandas"}
brought = {}
for command in ast.literal_eval(sys.argv[1]):
    docsim.cli.main(command, standalone_mode=False)
    for name in {name.partition(".")[0] for name in sys.modules} & optional:
        brought.setdefault(name, command)
print("IMPORTED", brought, file=sys.stderr)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not (ROOT / "pyproject.toml").is_file():
        pytest.skip("the tests run beside an installed package, not in a checkout")
    return build_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ``bin`` of a fresh environment with the wheel, this one's other packages, and no TensorFlow."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False, symlinks=True)
    python = folder / "bin" / "python"
    command = [sys.executable, "-m", "pip", "--python", str(python), "install", "--no-deps", "--quiet", str(wheel)]
    subprocess.run([*command, "--disable-pip-version-check", "--no-index"], check=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    (packages / "parent.pth").write_text(sysconfig.get_path("purelib") + "\n")
    (packages / "blocker.py").write_text(_BLOCKER)  # a system may have a sitecustomize of its own
    (packages / "blocker.pth").write_text("import blocker\n")
    return folder / "bin"


def run(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "DOCSIM"))}
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd, env=environment)


def test_modules_and_functions_stay_small() -> None:
    sources = {path: path.read_text(encoding="utf-8") for path in (ROOT / "docsim").rglob("*.py")}
    assert {str(path) for path, text in sources.items() if text.count("\n") > 400} == set()
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    nodes = [node for text in sources.values() for node in ast.walk(ast.parse(text)) if isinstance(node, functions)]
    lengths = sorted((node.end_lineno or 0) - node.lineno + 1 for node in nodes)
    assert lengths[len(lengths) * 9 // 10] <= 25


def test_the_wheel_holds_every_module_and_the_mark_of_types(names: set[str]) -> None:
    sources = {str(path.relative_to(ROOT)) for path in (ROOT / "docsim").rglob("*.py")}
    assert {name for name in names if name.endswith(".py")} == sources
    assert "docsim/py.typed" in names


def test_the_wheel_holds_what_pages_and_maps_are_made_with(names: set[str]) -> None:
    assets = {str(path.relative_to(ROOT)) for path in (ROOT / "docsim").rglob("assets/*") if path.is_file()}
    assert {name for name in names if "/assets/" in name} == assets != set()


def test_the_wheel_holds_nothing_but_the_package(names: set[str]) -> None:
    folders = {name.partition("/")[0] for name in names}
    assert folders == {"docsim", f"docsim-{docsim.__version__}.dist-info"}
    assert not [
        name for name in names if name.endswith((".pyc", ".tmp", ".db", ".jsonl")) and name.startswith("docsim/")
    ]


def test_the_wheel_holds_the_licence_and_the_command(wheel: Path, names: set[str]) -> None:
    info = f"docsim-{docsim.__version__}.dist-info"
    assert f"{info}/licenses/LICENSE" in names
    with zipfile.ZipFile(wheel) as archive:
        assert "docsim = docsim.cli:run" in archive.read(f"{info}/entry_points.txt").decode()
        metadata = email.message_from_bytes(archive.read(f"{info}/METADATA"))
    assert metadata["Version"] == docsim.__version__
    assert metadata["Requires-Python"] == ">=3.11"
    assert set(metadata.get_all("Provides-Extra", [])) == {*extras.PACKAGES, "all"}
    assert {url.partition(",")[0] for url in metadata.get_all("Project-URL", [])} >= {"Source", "Documentation"}


def test_each_extra_brings_the_packages_that_are_looked_for(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        metadata = email.message_from_bytes(archive.read(f"docsim-{docsim.__version__}.dist-info/METADATA"))
    homes = metadata_of.packages_distributions()
    brought = {"pptx": "markitdown", "mammoth": "markitdown"}  # by markitdown[docx,pptx]
    for extra, packages in extras.PACKAGES.items():
        lines = [line for line in metadata.get_all("Requires-Dist", []) if f"extra == '{extra}'" in line]
        required = {re.split(r"[\[<>=; ]", line)[0] for line in lines}
        for package in packages:
            names = {name.lower().replace("_", "-") for name in homes[brought.get(package, package)]}
            assert names & required, f"{package} is looked for, and {extra} does not require it"


def test_the_wheel_holds_the_default_encoder(wheel: Path, names: set[str]) -> None:
    if not (ROOT / DEFAULT / "manifest.json").is_file():
        pytest.skip("the default encoder has not been made")
    with zipfile.ZipFile(wheel) as archive:
        for file in (ROOT / DEFAULT).iterdir():
            assert archive.read(str(DEFAULT / file.name)) == file.read_bytes()


@pytest.mark.thorough
def test_the_installed_wheel_indexes_and_answers_without_tensorflow(
    installed: Path, tiny_encoder_dir: Path, tmp_path: Path
) -> None:
    (tmp_path / "pages").mkdir()
    (tmp_path / "pages" / "soup.md").write_text("# Soup\n\nBoil the lentils.")
    (tmp_path / "pages" / "keys.md").write_text("# Keys\n\nRotate the signing keys.")
    shutil.copytree(tiny_encoder_dir, tmp_path / "tiny")
    assert run(installed / "python", "-c", "import keras", cwd=tmp_path).returncode == 1
    where = run(installed / "python", "-c", "import docsim; print(docsim.__file__)", cwd=tmp_path).stdout
    assert where.startswith(str(installed.parent))
    indexed = run(installed / "docsim", "index", "pages", "--encoder", "tiny", "--json", cwd=tmp_path)
    assert (indexed.returncode, indexed.stderr) == (0, "")
    assert json.loads(indexed.stdout)["added"] == 2
    for command in (["query", "signing keys"], ["similar", "soup.md"], ["status"], ["verify"], ["repair"]):
        done = run(installed / "docsim", *command, "--json", cwd=tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
    answer = json.loads(run(installed / "docsim", "query", "signing keys", "--json", cwd=tmp_path).stdout)
    assert answer["hits"][0]["id"] == "keys.md"


@pytest.mark.thorough
def test_the_installed_wheel_brings_its_default_encoder(installed: Path, tmp_path: Path) -> None:
    if not (ROOT / DEFAULT / "manifest.json").is_file():
        pytest.skip("the default encoder has not been made")
    code = "from docsim import Encoder; print(Encoder.default().encode(['a text']).shape[0])"
    done = run(installed / "python", "-c", code, cwd=tmp_path)
    assert (done.stdout, done.stderr) == ("1\n", "")


def test_importing_the_package_imports_hardly_anything(tmp_path: Path) -> None:
    code = "import sys, docsim; print(sorted({n.partition('.')[0] for n in sys.modules} & set(sys.argv[1:])))"
    heavy = ["tensorflow", "keras", "numpy", "faiss", "onnxruntime", "tokenizers", "sqlite_utils", "rich", "pandas"]
    assert run(sys.executable, "-c", code, *heavy, cwd=tmp_path).stdout == "[]\n"


def test_no_command_that_needs_no_extra_imports_a_package_of_one(tiny_encoder_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "pages").mkdir()
    (tmp_path / "pages" / "soup.md").write_text("# Soup\n\nBoil the lentils.")
    (tmp_path / "pages" / "keys.html").write_text("<h1>Keys</h1><p>Rotate the signing keys.</p>")
    indexing = [["index", "pages", "--encoder", str(tiny_encoder_dir)]]
    asking = [
        ["query", "soup", "--explain"],
        ["similar", "soup.md"],
        ["explain", "soup.md", "keys.html"],
        ["duplicates"],
        ["status"],
        ["verify"],
        ["repair"],
    ]
    by_sqlite_utils = {"pandas", "pyarrow"}  # where Ray has brought them
    for commands, allowed in ((indexing, by_sqlite_utils), (asking, set[str]())):
        done = run(sys.executable, "-c", _TRACER, repr(commands), cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert set(ast.literal_eval(done.stderr.partition("IMPORTED ")[2])) <= allowed, done.stderr
