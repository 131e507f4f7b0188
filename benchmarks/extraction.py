"""Which words of real files does docsim miss, and which does it make up, beside other programs that extract text?

    python benchmarks/extraction.py --data FOLDER

Reads every file below FOLDER with docsim and with another program: Office files and HTML with LibreOffice, PDF with
pdftotext of poppler, reStructuredText and manual pages with pandoc. Writes results/extraction.json: for each kind of
file the words that the other program found, the percentage of them that docsim has as well (a word counts as often as
it comes), the percentage of docsim's words that the other has not, and the words of both kinds that differ most. Of
Word files, deleted text that is kept with Track Changes, which LibreOffice writes out, and comments, which it does
not, are taken away before; of pages, front matter, which is metadata, and the entity apos, which LibreOffice does not
know. Words are letters and digits, in small letters, joined where a line break parts them. Header fields of
reStructuredText, which docsim keeps as metadata, count as missed. A kind whose program is not installed is left out
with a sentence. These programs are needed for this comparison only.
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
from collections.abc import Callable, Sequence
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
_FRONT_MATTER = re.compile(r"\A---\n.*?\n---\n", re.DOTALL)
_HYPHENATED = re.compile(r"(\w)[\u00ad\u2010-]\n\s*(?=[a-z])|\u00ad")


@dataclass(frozen=True)
class Program:
    """Another program: what its executable is called, what its package is, and the texts that it extracts."""

    executable: str
    package: str
    texts: Callable[[Sequence[Path]], list[str]]


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
    with TemporaryDirectory() as folder:
        same = [comparable(path, Path(folder)) for path in paths]
        for path, text in zip(same, program.texts(same), strict=True):
            try:
                document = read_document(path)
            except SourceError:
                refused += 1
                continue
            here, there = words(document.text), words(text)
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


def comparable(path: Path, folder: Path) -> Path:
    """Return a copy of a file without what one program reads and the other not, on purpose or by a fault of its own."""
    copy = folder / path.name
    if path.suffix == ".docx":
        accept(path, copy)
    elif path.suffix in (".html", ".htm"):
        page = _FRONT_MATTER.sub("", path.read_text(encoding="utf-8"))
        copy.write_text(page.replace("&apos;", "'"), encoding="utf-8")
    else:
        shutil.copy(path, copy)
    return copy


def accept(path: Path, copy: Path) -> None:
    """Write a copy of a Word file without deleted text and without comments."""
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


def words(text: str) -> Counter[str]:
    """Return how often each word comes in a text."""
    text = unicodedata.normalize("NFKC", _HYPHENATED.sub(r"\1", text)).casefold()
    return Counter(_WORD.findall(text.replace("_", " ")))


def percentage(part: int, whole: int) -> float:
    return round(100 * part / whole, 2) if whole else 100.0


def by_libreoffice(paths: Sequence[Path]) -> list[str]:
    """Return the texts of Office files or pages of one kind."""
    suffix = paths[0].suffix
    target = "csv:Text - txt - csv (StarCalc):44,34,76,1,,0,false,true,false,false,false,-1"
    kind = target if suffix == ".xlsx" else "txt:Text (encoded):UTF8"
    filters = ["--infilter=HTML (StarWriter)"] if suffix in (".html", ".htm") else []
    with TemporaryDirectory() as folder:
        command = ["soffice", f"-env:UserInstallation=file://{folder}/profile", "--headless", *filters, "--convert-to"]
        command += [kind, "--outdir", folder, *map(str, paths)]
        subprocess.run(command, check=False, capture_output=True, timeout=SECONDS * len(paths))
        made = [[*Path(folder).glob(f"{path.stem}.txt"), *Path(folder).glob(f"{path.stem}-*.csv")] for path in paths]
        return ["\n".join(one.read_text(encoding="utf-8-sig") for one in each) for each in made]


def by_poppler(paths: Sequence[Path]) -> list[str]:
    """Return the texts of PDF files."""
    return [printed("pdftotext", "-enc", "UTF-8", str(path), "-") for path in paths]


def by_pandoc(paths: Sequence[Path]) -> list[str]:
    """Return the texts of markup as they read."""
    kind = "rst" if paths[0].suffix == ".rst" else "man"
    return [printed("pandoc", "--from", kind, "--to", "plain", "--wrap", "none", str(path)) for path in paths]


def printed(*command: str) -> str:
    """Return what a command prints."""
    run = subprocess.run(command, check=False, capture_output=True, timeout=SECONDS)
    return run.stdout.decode("utf-8", "replace")


OFFICE = Program("soffice", "LibreOffice", by_libreoffice)
MARKUP = Program("pandoc", "pandoc", by_pandoc)
PROGRAMS = {
    **dict.fromkeys((".docx", ".xlsx", ".html", ".htm"), OFFICE),
    ".pdf": Program("pdftotext", "poppler-utils", by_poppler),
    **dict.fromkeys((".rst", ".1", ".2", ".3", ".4", ".5", ".6", ".7", ".8"), MARKUP),
}


if __name__ == "__main__":
    main()
