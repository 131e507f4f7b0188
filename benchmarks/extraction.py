"""Which words of real files does docsim miss, and which does it make up, beside other programs that extract text?

    python benchmarks/extraction.py --data FOLDER

Reads every file below FOLDER with docsim and with another program: Office files and HTML with LibreOffice, PDF with
pdftotext of poppler, Markdown, reStructuredText and manual pages with pandoc. Writes results/extraction.json: for
each kind of file the words that the other program found, the percentage of them that docsim has as well (a word
counts as often as it comes), the percentage of docsim's words that the other has not, and the words of both kinds
that differ most. Of Word files, deleted text that is kept with Track Changes, which LibreOffice writes out, and
comments, which it does not, are taken away before. Words are letters and digits, in small letters, joined where a
line break parts them. A kind whose program is not installed is left out with a sentence. These programs are needed
for this comparison only.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import unicodedata
import zipfile
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from lxml import etree

from docsim.errors import SourceError
from docsim.ingest.sources import read_document

RESULTS = Path(__file__).parent / "results" / "extraction.json"
LISTED = 15  # words that differ, of each kind
SECONDS = 180  # that another program may take for one file

_WORD = re.compile(r"\w+")
_HYPHENATED = re.compile(r"(\w)[\u00ad\u2010-]\n\s*(?=[a-z])|\u00ad")


@dataclass(frozen=True)
class Program:
    """Another program: what its executable is called, what its package is, and the text that it extracts."""

    executable: str
    package: str
    text: Callable[[Path], str]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds real files")
    folder = parser.parse_args().data
    found: dict[str, list[Path]] = defaultdict(list)
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.suffix in PROGRAMS:
            found[path.suffix].append(path)
    kinds = {}
    for suffix, paths in sorted(found.items()):
        program = PROGRAMS[suffix]
        if not shutil.which(program.executable):
            print(f"{suffix}: left out, as {program.executable} is not installed ({program.package})")
            continue
        row = {"program": program.package, **compared(paths, program)}
        if not row["words"]:
            print(f"{suffix}: left out, as the files hold no words")
            continue
        kinds[suffix] = row
        print(suffix, json.dumps(kinds[suffix], ensure_ascii=False), flush=True)
    RESULTS.write_text(json.dumps({"kinds": kinds}, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def compared(paths: list[Path], program: Program) -> dict[str, Any]:
    """Return how the words of some files differ."""
    ours, theirs = Counter[str](), Counter[str]()
    missing, added = Counter[str](), Counter[str]()
    refused = 0
    for path in paths:
        with TemporaryDirectory() as folder:
            same = accepted(path, Path(folder)) if path.suffix == ".docx" else path
            try:
                document = read_document(same)
            except SourceError:
                refused += 1
                continue
            here, there = words(document.text), words(program.text(same))
        here += words(document.title) & (there - here)  # the others write the title of a page into its text
        ours, theirs = ours + here, theirs + there
        missing, added = missing + (there - here), added + (here - there)
    return {
        "files": len(paths) - refused,
        "refused": refused,
        "words": theirs.total(),
        "found": percentage(theirs.total() - missing.total(), theirs.total()),
        "added": percentage(added.total(), ours.total()),
        "most_missed": dict(missing.most_common(LISTED)),
        "most_added": dict(added.most_common(LISTED)),
    }


def accepted(path: Path, folder: Path) -> Path:
    """Return a copy of a Word file without deleted text and without comments."""
    copy = folder / path.name
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(copy, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name.startswith("word/") and name.endswith(".xml"):
                tree = etree.fromstring(content)
                for element in list(tree.iter("{*}del", "{*}moveFrom", "{*}comment")):
                    if (parent := element.getparent()) is not None:
                        parent.remove(element)
                content = etree.tostring(tree)
            new.writestr(name, content)
    return copy


def words(text: str) -> Counter[str]:
    """Return how often each word comes in a text."""
    text = unicodedata.normalize("NFKC", _HYPHENATED.sub(r"\1", text)).casefold()
    return Counter(_WORD.findall(text.replace("_", " ")))


def percentage(part: int, whole: int) -> float:
    return round(100 * part / whole, 2) if whole else 100.0


def by_libreoffice(path: Path) -> str:
    """Return the text of an Office file or a page."""
    with TemporaryDirectory() as folder:
        target = "csv:Text - txt - csv (StarCalc):44,34,76,1,,0,false,true,false,false,false,-1"
        kind = target if path.suffix == ".xlsx" else "txt:Text (encoded):UTF8"
        filters = ["--infilter=HTML (StarWriter)"] if path.suffix in (".html", ".htm") else []
        command = [f"-env:UserInstallation=file://{folder}/profile", "--headless", *filters, "--convert-to", kind]
        subprocess.run(
            ["soffice", *command, "--outdir", folder, str(path)], check=False, capture_output=True, timeout=SECONDS
        )
        made = [*Path(folder).glob("*.txt"), *Path(folder).glob("*.csv")]
        return "\n".join(one.read_text(encoding="utf-8-sig") for one in made)


def by_poppler(path: Path) -> str:
    """Return the text of a PDF."""
    return printed("pdftotext", "-enc", "UTF-8", str(path), "-")


def by_pandoc(path: Path) -> str:
    """Return the text of markup as it reads."""
    kind = {".md": "markdown", ".rst": "rst"}.get(path.suffix, "man")
    return printed("pandoc", "--from", kind, "--to", "plain", "--wrap", "none", str(path))


def printed(*command: str) -> str:
    """Return what a command prints."""
    run = subprocess.run(command, check=False, capture_output=True, timeout=SECONDS)
    return run.stdout.decode("utf-8", "replace")


OFFICE = Program("soffice", "LibreOffice", by_libreoffice)
MARKUP = Program("pandoc", "pandoc", by_pandoc)
PROGRAMS = {
    **dict.fromkeys((".docx", ".xlsx", ".html", ".htm"), OFFICE),
    ".pdf": Program("pdftotext", "poppler-utils", by_poppler),
    **dict.fromkeys((".md", ".rst", ".1", ".2", ".3", ".4", ".5", ".6", ".7", ".8"), MARKUP),
}


if __name__ == "__main__":
    main()
