"""Notion's export: pages without ids in their names, rows of databases with their properties, links as relations."""

# ruff: noqa: E501  # exports have long lines

from __future__ import annotations

from pathlib import Path
from typing import Any

from exports import read, zipped

from docsim.models import Document

_HOME, _LEAVE, _TASKS, _FIX, _SAME1, _SAME2 = (f"{n:032x}"[::-1] for n in (0xA1, 0xB2, 0xC3, 0xD4, 0xE5, 0xF6))


def _markdown() -> dict[str, Any]:
    home = (
        f"# Handbook\n\nSee [Leave](Handbook/Leave%20%26%20holidays%20{_LEAVE}.md), [our site](https://example.com)\n"
        f"and [the task](Handbook/Tasks%20{_TASKS}/Fix%20door%20{_FIX}.md).\n"
    )
    fix = (
        "# Fix the door: now\n\nStatus: Done\nTags: office, urgent\nCreated time: November 3, 2023 4:05 PM\n"
        "Created by: Ana Ruiz\nOwner: Bo\n\nThe hinge is loose. Note: oil it.\n"
    )
    return {
        f"Handbook {_HOME}.md": home,
        f"Handbook/Leave & holidays {_LEAVE}.md": f"# Leave & holidays\n\nTake [a break](https://www.notion.so/Handbook-{_HOME}?pvs=4).\n",
        f"Handbook/Leave & holidays {_LEAVE}/policy.txt": "28 days",
        f"Handbook/Leave & holidays {_LEAVE}/image.png": b"\x89PNG",
        f"Handbook/Tasks {_TASKS}.csv": "Name,Status\nFix the door: now,Done\n",
        f"Handbook/Tasks {_TASKS}_all.csv": "\ufeffName,Status,Tags\nFix the door: now,Done,office\nPaint it,Open,\nPaint it,Open,\n",
        f"Handbook/Tasks {_TASKS}/Fix door {_FIX}.md": fix,
        f"Handbook/Same {_SAME1}.md": "# Same\n\none",
        f"Handbook/Same {_SAME2}.md": "# Same\n\ntwo",
    }


def test_pages_and_rows_of_the_markdown_export_in_nested_archives(tmp_path: Path) -> None:
    files = list(_markdown().items())
    parts = [zipped(tmp_path / f"Export-{n}-Part-{n}.zip", dict(part)) for n, part in ((1, files[:4]), (2, files[4:]))]
    outer = zipped(tmp_path / "3e0c_Export-ab.zip", {one.name: one.read_bytes() for one in parts})
    found = read(outer, "notion")
    assert sorted(found.documents) == [
        "Handbook.md",
        "Handbook/Leave & holidays.md",
        "Handbook/Leave & holidays/policy.txt",
        f"Handbook/Same {_SAME1}.md",
        f"Handbook/Same {_SAME2}.md",
        "Handbook/Tasks/Fix door.md",
        "Handbook/Tasks/Paint it",
        "Handbook/Tasks/Paint it 2",
    ]
    assert found["Handbook.md"] == Document(
        "Handbook.md",
        "# Handbook\n\nSee Leave, [our site](https://example.com)\nand the task.",
        "Handbook",
        {
            "url": f"https://www.notion.so/{_HOME}",
            "links": ["Handbook/Leave & holidays.md", "Handbook/Tasks/Fix door.md"],
        },
    )
    task = found["Handbook/Tasks/Fix door.md"]
    assert (task.title, task.metadata) == (
        "Fix the door: now",
        {
            "url": f"https://www.notion.so/{_FIX}",
            "Status": "Done",
            "labels": ["office", "urgent"],
            "created": "2023-11-03T16:05:00",
            "author": "Ana Ruiz",
            "Owner": "Bo",
            "breadcrumb": ["Handbook", "Tasks"],
        },
    )
    leave = found["Handbook/Leave & holidays.md"]
    assert leave.metadata["links"] == ["Handbook.md"]
    assert found["Handbook/Leave & holidays/policy.txt"].metadata["parent"] == "Handbook/Leave & holidays.md"
    assert found["Handbook/Tasks/Paint it"] == Document(
        "Handbook/Tasks/Paint it",
        "Name: Paint it\nStatus: Open",
        "Paint it",
        {"Name": "Paint it", "Status": "Open", "breadcrumb": ["Handbook", "Tasks"]},
    )
    assert found.left_out == {f"Handbook/Leave & holidays {_LEAVE}/image.png": ".png"}


def test_pages_of_the_html_export(tmp_path: Path) -> None:
    page = (
        '<html><head><title>Fix</title><style>x</style></head><body><article id="d4d4d4d4-0000-4000-8000-0000000000d4" class="page sans">'
        '<header><h1 class="page-title">Fix the door</h1><p class="page-description">Soon.</p><table class="properties"><tbody>'
        '<tr class="property-row property-row-multi_select"><th><span class="icon"></span>Tags</th>'
        '<td><span class="selected-value">office</span><span class="selected-value">urgent</span></td></tr>'
        '<tr class="property-row property-row-last_edited_time"><th>Last edited time</th><td><time>@November 4, 2023 9:00 AM</time></td></tr>'
        '</tbody></table></header><div class="page-body"><p>The <a href="../Handbook%20'
        + _HOME
        + '.html">hinge</a> is loose.</p></div>'
        "</article></body></html>"
    )
    files = {"index.html": "<ul></ul>", f"Handbook {_HOME}.html": page, f"Tasks/Fix the door {_FIX}.html": page}
    found = read(zipped(tmp_path / "e.zip", files), "notion")
    assert sorted(found.documents) == ["Handbook.html", "Tasks/Fix the door.html"]
    assert found["Tasks/Fix the door.html"] == Document(
        "Tasks/Fix the door.html",
        "# Fix the door\n\nSoon.\n\nTags: office, urgent\nLast edited time: November 4, 2023 9:00 AM\n\nThe hinge is loose.",
        "Fix the door",
        {
            "url": "https://www.notion.so/d4d4d4d4000040008000000000" + "0000d4",
            "labels": ["office", "urgent"],
            "updated": "2023-11-04T09:00:00",
            "breadcrumb": ["Tasks"],
            "links": ["Handbook.html"],
        },
    )
