"""Copying: an encoder's files to another folder, complete on the disk when they are there."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from docsim.encoding.encoder import MANIFEST_FILE, Encoder
from docsim.encoding.manifest import checked_content
from docsim.errors import EncoderGone
from docsim.files import flush

__all__ = ["copy"]


def copy(encoder: Encoder, target: Path) -> None:
    """Copy an encoder's files; when this returns, they are complete on the disk.

    A link is followed only to the file that the manifest describes: it may lead to a file that is none of the encoder.

    Raises:
        EncoderGone: They were removed after the encoder had been loaded.
        OSError: They cannot be read or written.
    """
    try:
        _copy(encoder, target)
    except FileNotFoundError as error:
        if (encoder.path / MANIFEST_FILE).is_file():
            raise
        raise EncoderGone(f"the encoder at {encoder.path} was removed meanwhile; choose one again") from error


def _copy(encoder: Encoder, target: Path) -> None:
    temporary = target.with_name(f"{target.name}.tmp")
    for leftover in (temporary, target):
        shutil.rmtree(leftover, ignore_errors=True)
    temporary.mkdir(parents=True)
    for path in encoder.path.iterdir():
        if path.is_file() and path.suffix not in (".py", ".pyc"):
            if path.is_symlink() and path.name != MANIFEST_FILE:
                if path.name not in encoder.manifest["files"]:
                    continue
                checked_content(path, encoder.manifest["files"])
            shutil.copyfile(path, temporary / path.name)
            if path.name == MANIFEST_FILE:  # differs for an encoder that was loaded with fewer dimensions
                content = json.dumps(dict(encoder.manifest), indent=2, ensure_ascii=False)
                (temporary / path.name).write_text(content + "\n", encoding="utf-8")
            flush(temporary / path.name)
    temporary.rename(target)
    flush(target.parent)
