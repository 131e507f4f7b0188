"""What the documentation shows of bulk_embedding.json: what encoding in bulk brings, and how large indexes become."""

from __future__ import annotations

from typing import Any

Found = dict[str, Any]
Row = tuple[str, ...]

_DIMS = (256, 384)
_PLANNED = 100_000_000
_CORES = 100


def bulk(found: Found) -> list[Row]:
    """Return what each way of encoding took, head first."""
    rows: list[Row] = [(f"{found['passages']:,} passages, accurate encoder", "whole run", "steady", "to processes")]
    for name, one in found["measured"].items():
        if "steady_per_s" not in one:
            continue
        ratio = found["to_processes"].get(name)
        shown = "1" if ratio is None else f"{ratio['steady']:.2f} (whole: {ratio['whole']:.2f})"
        rows.append((name, f"{one['wall_s']:.0f} s", f"{one['steady_per_s']:.0f} passages/s", shown))
    for name in ("docsim reindex", "docsim reindex --from"):
        rows.append((f"`{name}`, with its gate", f"{found['measured'][name]['wall_s']:.0f} s", "", ""))
    return rows


def per_passage(sizes: Found, dim: int) -> dict[str, float]:
    """Return the bytes that a passage takes in an index, by part, with vectors of some dimensions."""
    passages, vectors = sizes["passages"], 2 * sizes["dim"]
    return {
        "texts, titles, metadata, places of passages": sizes["database_bytes"] / passages - vectors,
        "words": sizes["words_bytes"] / passages,
        "vectors, in the database and in the FAISS file": 4 * dim,
    }


def sizes(found: Found) -> list[Row]:
    """Return the bytes of a passage by part and dimensions, head first."""
    columns = [per_passage(found["sizes"], dim) for dim in _DIMS]
    rows: list[Row] = [("bytes for each passage", *(f"{dim} dimensions" for dim in _DIMS))]
    rows += [(part, *(f"{one[part]:,.0f}" for one in columns)) for part in columns[0]]
    return [*rows, ("together", *(f"{sum(one.values()):,.0f}" for one in columns))]


def plan(found: Found, speed: Found, encoders: Found) -> list[Row]:
    """Return what a hundred million passages take, multiplied, head first.

    ``speed`` is of the same documents as the sizes; ``encoders`` are measured with two cores, on texts as long as
    passages.
    """
    parts = per_passage(found["sizes"], _DIMS[0])
    encoding = _PLANNED / (encoders["encoders"]["accurate"]["texts_per_s"] / 2) / 3600
    writing = _PLANNED / (found["sizes"]["passages"] / speed["indexing"]["measured"]["docsim index"]["wall_s"]) / 3600
    rows: list[Row] = [("100 million passages", "")]
    rows += [(part, f"{size * _PLANNED / 1e9:,.0f} GB") for part, size in parts.items()]
    total = sum(parts.values()) * _PLANNED / 1e9
    again = parts["vectors, in the database and in the FAISS file"] * _PLANNED / 1e9
    return [
        *rows,
        ("together, and with a second generation", f"{total:,.0f} GB, {total + again:,.0f} GB"),
        (
            "`docsim index` with the fast encoder, by one process",
            f"{writing:,.0f} hours; in 20 partitions {writing / 20:.1f}",
        ),
        (
            "encoding with the accurate encoder",
            f"{encoding / 24:,.0f} days of one core; {_CORES} cores: {encoding / _CORES:,.1f} hours",
        ),
    ]
