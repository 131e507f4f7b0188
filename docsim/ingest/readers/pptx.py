"""PowerPoint: markitdown reads the slides, their tables, charts and notes.

What it leaves out, such as SmartArt and comments, is added to the slide that it belongs to.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from docsim.ingest.content import FileContent, tidy, titled
from docsim.ingest.markup import markdown
from docsim.ingest.readers import archives
from docsim.ingest.readers.archives import Element
from docsim.ingest.readers.links import unlinked
from docsim.ingest.readers.office import paragraphs, property_title, unread

__all__ = ["read"]

_SLIDE = re.compile(r"<!-- Slide number: \d+ -->")
_PARTS = ("diagramData", "comments", "notesSlide", "chart")


def read(data: bytes, *, hidden: bool = True) -> FileContent:
    """Read a PowerPoint file as Markdown, hidden slides too if wanted; the title is that of its first slide."""
    import pptx
    from markitdown import StreamInfo
    from markitdown.converters import PptxConverter

    parts = archives.unpacked(data)
    main = archives.main_part(parts, "ppt/presentation.xml")
    archives.name_once(parts, main, "sldId")
    _read_once(parts, _slides(parts, main))
    made = PptxConverter().convert(archives.packed(parts), StreamInfo(extension=".pptx")).markdown
    presentation = pptx.Presentation(archives.packed(parts))
    texts = [unlinked(one) for one in _SLIDE.split(made)[1:]]
    slides = list(presentation.slides)
    whole = [
        "\n\n".join([text, *archives.missing(_texts(slide), text)])
        for text, slide in zip(texts, slides, strict=True)
        if hidden or slide._element.get("show") not in ("0", "false")
    ]
    content = markdown(tidy("\n\n".join(whole)))
    named = titled(content, content.title or property_title(parts))
    return FileContent(named.text, named.title, lost=tuple(unread(parts)))


def _slides(parts: Mapping[str, bytes], main: str) -> Iterator[str]:
    """Yield the parts of the slides that are shown, in their order; others may still be in the file."""
    related = archives.relations(parts, main)
    for one in archives.parsed(parts[main]).iter("{*}sldId"):
        if (id := one.get(archives.RELATION, "")) in related:
            yield related[id][1]


def _read_once(parts: dict[str, bytes], slides: Iterable[str]) -> None:
    """Have slides name every chart, and other part with text, once, at its first place.

    Libraries read a part each time that it is named, so a small file could give text without an end.
    """
    seen = set[str]()
    for slide in dict.fromkeys(slides):
        if slide not in parts:
            continue
        kept = set[str]()
        for id, (kind, name) in archives.relations(parts, slide).items():
            if kind not in _PARTS or name not in seen:
                kept.add(id)
                seen.add(name)
        archives.keep_relations(parts, slide, kept)
        tree, again = archives.parsed(parts[slide]), list[Element]()
        for chart in tree.iter("{*}chart"):
            if (id := chart.get(archives.RELATION, "")) in kept:
                kept.remove(id)
            else:
                again += list(chart.iterancestors("{*}graphicFrame"))[:1]
        if again:
            parts[slide] = archives.without(tree, again)


def _texts(slide: Any) -> Iterator[str]:
    yield from paragraphs(slide._element)
    for relation in slide.part.rels.values():
        kind = relation.reltype.rpartition("/")[2]
        if kind in _PARTS and not relation.is_external and relation.target_part.blob:
            yield from _placed(paragraphs(archives.parsed(relation.target_part.blob)), kind)


def _placed(texts: Iterator[str], kind: str) -> Iterator[str]:
    """Yield texts, of notes without the number of the slide."""
    return (text for text in texts if kind != "notesSlide" or not text.isdigit())
