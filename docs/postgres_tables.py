"""The table of an index in PostgreSQL beside one in a directory."""

from __future__ import annotations

from tables import result, table

__all__ = ["postgres"]

_MODES = {"hybrid": "hybrid question, p50", "dense": "by embeddings only, p50", "lexical": "by words only, p50"}


def postgres() -> str:
    """Return what was measured by benchmarks/postgres.py."""
    found = result("postgres")
    loaded, warm = found["loading"], found["warm"]
    walls = {name: one["wall_s"] for name, one in loaded["measured"].items()}
    rows = [
        ("", "directory", "PostgreSQL", "ratio"),
        (
            "`docsim index`, whole process",
            f"{walls['directory']:.0f} s",
            f"{walls['postgresql']:.0f} s",
            f"{loaded['ratio']['ratio']:.2f}",
        ),
    ]
    for mode, name in _MODES.items():
        each = {engine: warm[mode][engine]["p50"] for engine in ("directory", "postgresql")}
        rows.append(
            (
                name,
                f"{each['directory']:.1f} ms",
                f"{each['postgresql']:.1f} ms",
                f"{warm[mode]['ratio_p50']['ratio']:.2f}",
            )
        )
    facts = found["machine"]
    told = (
        f"{found['documents']:,} documents of {found['passages']:,} passages, the fast encoder, "
        f"{facts['cores']} cores that the server shared with docsim and with other work; medians:"
    )
    recall = found["recall"]["dense_recall_at_10"]
    same = found["same_answers"]["hybrid"]
    after = (
        f"Search in PostgreSQL: {found['search']}. The ten nearest passages were found with a recall of {recall:.3f}, "
        f"and {same:.1%} of the first ten hits of hybrid questions were those of the directory."
    )
    return "\n\n".join([told, table(rows), after])
