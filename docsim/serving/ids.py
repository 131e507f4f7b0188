"""Ids: those that stand in the path of an address, and how long they may be."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path

__all__ = ["DocumentId", "JobId"]

DocumentId = Annotated[str, Path(max_length=4096, description="The document's id.")]
JobId = Annotated[str, Path(max_length=64, description="The job's id.")]
