"""How large is docsim, plain and with each extra?

    python benchmarks/installed_size.py [EXTRA ...]

Installs the wheel of this checkout into fresh environments and writes benchmarks/results/installed_size.json: for each
the megabytes of all files of its site-packages, as they are unpacked; for the plain package the byte code that pip
compiles of them, and Python otherwise when they are first imported; and the largest packages. pip is counted, as
sqlite-utils asks for it. With names of extras, or "plain", only those are measured again. Needs a package index, a few
minutes and, for that time, 5 GB of disk.
"""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from wheel_environments import build_wheel, installed_files, make_environment, site_packages  # noqa: E402

RESULTS = Path(__file__).parent / "results" / "installed_size.json"
EXTRAS = (
    "",
    "files",
    "eval",
    "map",
    "train",
    "serve",
    "postgres",
    "embed",
    "ray",
    "langchain",
    "llamaindex",
    "haystack",
    "all",
)
LISTED = 8  # packages named for each environment


def main() -> None:
    wanted = sys.argv[1:] or [extra or "plain" for extra in EXTRAS]
    results: dict[str, Any] = {"installed": {}}
    if sys.argv[1:]:
        results = json.loads(RESULTS.read_text(encoding="utf-8"))
    results |= {"system": platform.system(), "python": platform.python_version()}
    with TemporaryDirectory() as folder:
        (wheels := Path(folder) / "wheels").mkdir()
        wheel = build_wheel(wheels)
        results["wheel_mb"] = megabytes(wheel.stat().st_size)
        for name in wanted:
            binaries = make_environment(Path(folder) / name, wheel, "" if name == "plain" else name)
            packages = site_packages(binaries)
            results["installed"][name] = measured(packages)
            if name == "plain":
                results["installed"][name]["byte_code_mb"] = byte_code(packages)
            print(name, json.dumps(results["installed"][name]), flush=True)
    RESULTS.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


def measured(packages: Path) -> dict[str, Any]:
    """Return the size of all installed packages together, and of the largest ones, in MB."""
    sizes = Counter[str]()
    for file in installed_files(packages):
        if not file.is_symlink():
            sizes[file.relative_to(packages).parts[0].removesuffix(".libs")] += file.stat().st_size
    largest = {name: megabytes(size) for name, size in sizes.most_common(LISTED)}
    return {"mb": megabytes(sizes.total()), "distributions": distributions(packages), "largest": largest}


def byte_code(packages: Path) -> float:
    """Compile all modules, and return the size of what comes of it, in MB."""
    subprocess.run([sys.executable, "-m", "compileall", "-q", "-j", "0", str(packages)], check=False)
    return megabytes(sum(file.stat().st_size for file in packages.rglob("*.pyc")))


def distributions(packages: Path) -> int:
    return sum(1 for _ in packages.glob("*.dist-info"))


def megabytes(size: int) -> float:
    return round(size / 1e6, 1)


if __name__ == "__main__":
    main()
