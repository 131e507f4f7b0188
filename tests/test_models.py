from __future__ import annotations

import json
import math

from docsim.models import Document


def test_metadata_becomes_what_json_can_hold() -> None:
    document = Document("a", "", metadata={"n": math.nan, "i": [-math.inf, 1.5], "s": "NaN", "e": 1e999})
    assert document.metadata == {"n": "NaN", "i": ["-Infinity", 1.5], "s": "NaN", "e": "Infinity"}
    json.dumps(document.metadata, allow_nan=False)


def test_nul_in_metadata_is_replaced_and_a_backslash_before_u0000_kept() -> None:
    document = Document("a", "", metadata={"k\0": "x\0y", "b": "\\u0000", "c": "\\\0"})
    assert document.metadata == {"k\ufffd": "x\ufffdy", "b": "\\u0000", "c": "\\\ufffd"}
