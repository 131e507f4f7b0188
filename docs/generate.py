"""Write what the documentation takes from the code and from benchmarks/results.

python docs/generate.py           write docs/reference/, the tables and numbers of all pages, and the pictures
python docs/generate.py --check   exit with 1 if a page is not up to date

A page holds a generated table between ``<!-- begin NAME -->`` and ``<!-- end NAME -->`` and a generated number between
``<!-- n NAME -->`` and ``<!-- /n -->``; see facts.py for these.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import analysis_tables
import bound_tables
import bulk_tables
import encoder_tables
import facts
import package_layers
import peer_tables
import picture
import postgres_tables
import question_tables
import ranking_tables
import reindex_tables
import scale_tables
import speed_tables
import training_tables
import use_tables
from api_reference import api
from command_reference import reference
from http_reference import http_api
from tables import RESULTS, ROOT, result, table

DOCS = ROOT / "docs"

# Pages that are written as a whole.
GENERATED: dict[Path, Callable[[], str]] = {
    DOCS / "reference" / "cli.md": reference,
    DOCS / "reference" / "python.md": api,
    DOCS / "api.md": http_api,
}

# name of the marker: the result it needs, and what makes it
SECTIONS: dict[str, tuple[str, Callable[[], str]]] = {
    "package-layers": ("speed", package_layers.package_layers),
    "speed": ("speed", speed_tables.speed),
    "speed-in-brief": ("speed", speed_tables.in_brief),
    "passages": ("passages", ranking_tables.passages),
    "hybrid": ("hybrid", ranking_tables.hybrid),
    "answers": ("answers", ranking_tables.answers),
    "names": ("names", ranking_tables.names),
    "gate-calibration": ("gate_calibration", training_tables.gate),
    "fusion-shares": ("fusion_shares", ranking_tables.fusion_shares),
    "smoothing": ("hybrid", ranking_tables.smoothing),
    "hybrid-beside": ("hybrid", ranking_tables.hybrid_beside),
    "percentiles": ("short_queries", partial(ranking_tables.short, "percentiles")),
    "identifiers": ("short_queries", partial(ranking_tables.short, "identifiers")),
    "reindexing": ("reindexing", reindex_tables.reindexing),
    "adapter": ("adapter", reindex_tables.adapter),
    "incremental": ("incremental", reindex_tables.incremental),
    "duplicates": ("duplicates", analysis_tables.duplicates),
    "topics": ("topics", analysis_tables.topics),
    "self_supervision": ("self_supervision", training_tables.self_supervision),
    "teaching": ("teaching", training_tables.teaching),
    "sweep": ("sweep", training_tables.sweep),
    "sts": ("sts", training_tables.sts),
    "imported": ("imported", training_tables.imported),
    "training_tried": ("training_tried", partial(training_tables.tried, "settings")),
    "training_tried_tldr": ("training_tried", training_tables.tried_on_tldr),
    "training_tried_probe": ("training_tried", training_tables.tried_probes),
    "training_tried_weights": ("training_tried", partial(training_tables.tried, "token_weights")),
    "training_tried_damping": ("training_tried", partial(training_tables.tried, "damping")),
    "training_tried_questions": ("training_tried", partial(training_tables.tried, "questions_dense")),
    "training_tried_lengths": ("training_tried", partial(training_tables.tried, "lengths_dense")),
    "training_tried_lengths_fused": ("training_tried", partial(training_tables.tried, "lengths_fused")),
    "training_tried_questions_fused": ("training_tried", partial(training_tables.tried, "questions_fused")),
    "encoder-quality": ("quality", lambda: table(encoder_tables.off_the_shelf(result("quality")))),
    "encoder-trained": ("quality", lambda: table(encoder_tables.trained(result("quality")))),
    "encoder-tried": ("default_encoder", lambda: table(encoder_tables.tried(result("default_encoder")["tried"]))),
    "encoder-distillation": ("distillation", lambda: table(encoder_tables.distillation(result("distillation")))),
    "encoder-speed": ("distillation", lambda: encoder_tables.distillation_speed(result("distillation"))),
    "peers-small": ("peers", partial(peer_tables.shown, "businesscentral")),
    "peers-large": ("peers", partial(peer_tables.shown, "win32")),
    "peers-quality": ("peers", lambda: table(peer_tables.quality(result("peers")))),
    "peers-versions": ("peers", lambda: table(peer_tables.versions(result("peers")))),
    "gaps": ("gaps", lambda: table(use_tables.gaps(result("gaps")))),
    "use": ("use", lambda: table(use_tables.use(result("use")))),
    "questions": ("questions", lambda: table(question_tables.questions(result("questions")))),
    "languages": ("languages", lambda: table(question_tables.languages(result("languages")))),
    "accurate-speed": ("encoder_speed", lambda: table(question_tables.speed(result("encoder_speed")))),
    "scale": ("scale", lambda: table(scale_tables.scale(result("scale")))),
    "opening": ("opening", lambda: table(scale_tables.opening(result("opening")))),
    "postgres": ("postgres", postgres_tables.postgres),
    "bounds": ("bounds", lambda: table(bound_tables.bounds(result("bounds")))),
    "bulk": ("bulk_embedding", lambda: table(bulk_tables.bulk(result("bulk_embedding")))),
    "bulk-sizes": ("bulk_embedding", lambda: table(bulk_tables.sizes(result("bulk_embedding")))),
    "bulk-plan": (
        "bulk_embedding",
        lambda: table(bulk_tables.plan(result("bulk_embedding"), result("speed"), result("encoder_speed"))),
    ),
    "filters": ("filters", lambda: table(scale_tables.filters(result("filters")))),
}


def pages() -> list[Path]:
    """Return the pages that are written by hand, but for what is between marks."""
    return [path for path in (ROOT / "README.md", *sorted(DOCS.rglob("*.md"))) if path not in GENERATED]


def filled(text: str) -> str:
    """Return a page with all that is between marks filled in."""
    for name, (needed, section) in SECTIONS.items():
        begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
        if begin in text and (RESULTS / f"{needed}.json").is_file():
            before, rest = text.split(begin)
            text = f"{before}{begin}\n{section()}\n{end}{rest.split(end)[1]}"
    return facts.filled(text)


def outputs() -> dict[Path, str]:
    """Return what each page should hold."""
    found = {path: filled(path.read_text(encoding="utf-8")) for path in pages()}
    return found | {path: make() for path, make in GENERATED.items()}


def unquoted() -> list[str]:
    """Return the names of numbers that no page quotes, sorted."""
    used = set[str]().union(*(facts.quoted(path.read_text(encoding="utf-8")) for path in pages()))
    return sorted(facts.names() - used)


def main() -> None:
    """Write the files, or check them."""
    stale = [path for path, text in outputs().items() if not path.is_file() or path.read_text(encoding="utf-8") != text]
    if "--check" in sys.argv[1:]:
        for path in stale:
            print(f"{path.relative_to(ROOT)} is not up to date; write it with: make docs")
        for name in unquoted():
            print(f"docs/facts.py: no page quotes {name}; remove it")
        sys.exit(1 if stale or unquoted() else 0)
    for path, text in outputs().items():
        path.write_text(text, encoding="utf-8")
    images = DOCS / "images"
    peer_tables.draw(result("peers"), "businesscentral", images / "quality-against-speed.svg")
    scale_tables.draw_filters(result("filters"), images / "filters.svg")
    picture.draw(images / "terminal.svg")


if __name__ == "__main__":
    main()
