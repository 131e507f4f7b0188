"""Maps of real small indexes, as a picture and as a page."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest

from docsim.analysis.map_page import map_page
from docsim.analysis.topic_map import KnowledgeMap, Point, drawn, names
from docsim.analysis.topics import Topic
from docsim.encoding.encoder import Encoder
from docsim.errors import StoreError
from docsim.index import Index
from docsim.models import Document

SUBJECTS = {"soup": "boil lentils soup cook water", "keys": "signing keys rotate server", "trip": "train ticket book"}
FOUND = KnowledgeMap(
    (Topic(("keys", "server"), 2), Topic(("keys", "soup"), 1), Topic((), 1)),
    (
        Point("a", "A </script><b>", 0.1, 0.2, 0),
        Point("b", "", 0.9, 0.2, 0),
        Point("c", "Soup & more", 0.5, 0.9, 1),
        Point("d", "", 0.5, 0.5, 2),
    ),
)


@pytest.fixture
def index(tmp_path: Path, tiny_encoder_dir: Path) -> Iterator[Index]:
    with Index.create(tmp_path / "index", encoder=Encoder.load(tiny_encoder_dir)) as index:
        yield index


def test_documents_about_one_thing_are_one_topic(index: Index) -> None:
    index.sync(Document(f"{name}-{i}", f"{words} {i}") for name, words in SUBJECTS.items() for i in range(12))
    found = index.map()
    topics: dict[str, set[int]] = {}
    for point in found.points:
        topics.setdefault(point.id.split("-")[0], set()).add(point.topic)
    assert sorted(map(len, topics.values())) == [1, 1, 1]
    assert len(set.union(*topics.values())) == 3
    (keys,) = topics["keys"]
    assert set(found.topics[keys].terms) <= set(SUBJECTS["keys"].split())


def test_an_index_drawn_again_gives_the_same_map(index: Index) -> None:
    index.sync(Document(f"{name}-{i}", f"{words} {i}") for name, words in SUBJECTS.items() for i in range(12))
    assert index.map() == index.map()


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_few_documents_have_a_map_too(index: Index, count: int) -> None:
    index.sync([Document(str(i), text) for i, text in enumerate(list(SUBJECTS.values())[:count])])
    found = index.map()
    assert [point.id for point in found.points] == [str(i) for i in range(count)]
    assert drawn(found, title="few").startswith(b"\x89PNG")


def test_removed_documents_are_not_on_the_map(index: Index) -> None:
    index.sync([Document(name, text) for name, text in SUBJECTS.items()])
    index.remove(["keys"])
    assert [point.id for point in index.map().points] == ["soup", "trip"]


def test_an_empty_index_has_no_map(index: Index) -> None:
    with pytest.raises(StoreError, match="found none; index some"):
        index.map()


def test_names_are_told_apart_where_terms_allow() -> None:
    assert names(FOUND.topics) == ["keys", "soup", ""]


def test_the_picture_has_a_dot_in_its_topic_s_colour_and_is_the_same_each_time() -> None:
    from matplotlib.image import imread

    picture = drawn(FOUND, title="Handbook")
    assert picture == drawn(FOUND, title="Handbook")
    pixels = imread(BytesIO(picture), format="png")[..., :3].reshape(-1, 3)
    blue, red = (0.2, 0.4, 0.8), (0.86, 0.22, 0.07)
    for colour in (blue, red):  # dots let 35 % of the white through
        assert (abs(pixels - [0.65 * part + 0.35 for part in colour]).max(axis=1) < 0.02).sum() > 50


def test_the_page_holds_every_document_and_no_title_ends_its_script() -> None:
    page = map_page(FOUND, title="Hand<book>")
    embedded = re.findall(r'<script type="application/json" id="content">(.*?)</script>', page, re.DOTALL)
    content = json.loads(embedded[0])
    assert [(point[3], point[4]) for point in content["points"]] == [(one.id, one.title) for one in FOUND.points]
    assert [topic["terms"] for topic in content["topics"]] == ["keys, server", "keys, soup", "no words"]
    assert "<h1>Hand&lt;book&gt;</h1>" in page


def test_the_page_needs_no_other_file_and_no_network() -> None:
    page = map_page(FOUND, title="Handbook")
    assert not any(word in page for word in ("http:", "https:", " src=", " href=", "@import", "url(", "fetch("))
