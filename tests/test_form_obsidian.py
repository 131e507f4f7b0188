"""An Obsidian vault: wikilinks, aliases, tags, embeds and canvases."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from exports import folder, read, zipped

from docsim.models import Document

_NOTE = """---
aliases: [k8s, kube]
tags: [infra/cluster]
created: 2023-11-03
---
# Kubernetes

Runs on [[Servers/db1|the database]], see [[deploy#Roll back]] and [[Missing note]]. #ops #2024/plan #12
%% a comment %% It is ==important== ^b1

![[deploy#Steps]] ![[plan.png]] [text](Servers/db1.md)

> [!warning]- Mind the gap
> It is wide.

```sh
echo "[[not a link]]" #nottag
```
and `[[code]]`
"""


def _vault() -> dict[str, Any]:
    nodes = [
        {"id": "2", "type": "file", "file": "Deploy.md", "x": 0, "y": 200},
        {"id": "3", "type": "text", "text": "Then [[Kubernetes|the cluster]]", "x": 0, "y": 100},
        {"id": "1", "type": "group", "label": "Release", "x": 0, "y": 0},
    ]
    return {
        ".obsidian/app.json": {},
        "Kubernetes.md": _NOTE,
        "Deploy.md": "Steps to deploy.",
        "Servers/db1.md": "# Database",
        "Servers/Deploy.md": "Another one.",
        "plan.png": b"\x89PNG",
        "Board.canvas": {"nodes": nodes, "edges": [{"id": "e", "label": "leads to"}]},
        "Broken.canvas": "{",
        ".trash/old.md": "gone",
    }


@pytest.mark.parametrize("write", [folder, zipped])
def test_a_note_is_read_as_obsidian_shows_it(tmp_path: Path, write: Any) -> None:
    found = read(write(tmp_path / "vault.zip", _vault()), "obsidian")
    assert sorted(found.documents) == [
        "Board.canvas",
        "Deploy.md",
        "Kubernetes.md",
        "Servers/Deploy.md",
        "Servers/db1.md",
    ]
    assert found["Kubernetes.md"] == Document(
        "Kubernetes.md",
        "Also called: k8s, kube\n\n# Kubernetes\n\n"
        "Runs on the database, see deploy > Roll back and Missing note. #ops #2024/plan #12\n It is important\n\n"
        "deploy > Steps  [text](Servers/db1.md)\n\n> **Mind the gap**\n> It is wide.\n\n"
        '```sh\necho "[[not a link]]" #nottag\n```\nand `[[code]]`',
        "Kubernetes",
        {
            "created": "2023-11-03",
            "labels": ["infra/cluster", "ops", "2024/plan"],
            "aliases": ["k8s", "kube"],
            "links": ["Servers/db1.md", "Deploy.md"],
            "embeds": ["Deploy.md"],
        },
    )
    board = found["Board.canvas"]
    assert (board.text, board.title, board.metadata) == (
        "Release\n\nThen the cluster\n\nleads to",
        "Board",
        {"links": ["Deploy.md"]},
    )
    assert found.left_out["plan.png"] == ".png"
    assert [(one.path, one.reason[:19]) for one in found.failures] == [("Broken.canvas", "the file is damaged")]
