"""Numbers that the prose quotes: each is read from the code or from benchmarks/results, never typed.

In a page a number stands between two comments, ``<!-- n NAME -->900<!-- /n -->``, and ``make docs`` fills it in. A line
must not begin with the first comment, since Markdown would end the paragraph there.
"""

from __future__ import annotations

import json
import re
import statistics
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any

from constants import constant
from tables import ROOT, result

from docsim.jobs import first_encoder

__all__ = ["filled", "names", "quoted"]

_MARKED = re.compile(r"<!-- n ([a-z0-9_]+) -->(.*?)<!-- /n -->", re.DOTALL)

# What is quoted from the code: its name in a page, and where it stands; see constants.py.
_CONSTANTS: Mapping[str, str] = {
    "auto_from": "docsim.engine.local.ann:AUTO_FROM",
    "auto_recall": "docsim.engine.local.ann:AUTO_RECALL",
    "lists_from": "docsim.engine.local.ann:LISTS_FROM",
    "recall_target": "docsim.engine.local.ann:SearchChoice.recall",
    "passage_characters": "docsim.ingest.passages:TARGET",
    "passage_overlap": "docsim.ingest.passages:OVERLAP",
    "candidates": "docsim.search.retrieval:CANDIDATES",
    "candidates_wider": "docsim.search.retrieval:_WIDER",
    "answers_doubtful": "docsim.search.answers:DOUBTFUL",
    "answers_documents": "docsim.search.answers:FEWEST_DOCUMENTS",
    "answers_words": "docsim.search.answers:MOST_WORDS",
    "names_words": "docsim.search.names:MOST_WORDS",
    "names_among": "docsim.search.names:AMONG",
    "share_even": "docsim.search.fusion:EVEN",
    "share_less": "docsim.search.fusion:LESS",
    "share_adapted": "docsim.search.fusion:ADAPTED",
    "share_most": "docsim.search.fusion:MOST",
    "small_words": "docsim.search.query_terms:SMALL",
    "most_unknown": "docsim.search.fusion:MOST_UNKNOWN",
    "smoothing_neighbours": "docsim.search.smoothing:NEIGHBOURS",
    "query_terms": "docsim.search.query_terms:MOST_TERMS",
    "repeated_power": "docsim.search.query_terms:REPEATED",
    "convert_seconds": "docsim.ingest.conversion_pool:TIMEOUT",
    "frequent_rows": "docsim.search.query_terms:MOST_ROWS",
    "joined_words": "docsim.search.query_terms:MOST_JOINED",
    "filter_conditions": "docsim.filters.condition:MAX_CONDITIONS",
    "query_characters": "docsim.search.syntax:MOST_CHARACTERS",
    "query_operators": "docsim.search.syntax:MOST_OPERATORS",
    "corrected_letters": "docsim.search.corrections:FEWEST_LETTERS",
    "corrected_letters_of_two": "docsim.search.corrections:LETTERS_OF_TWO",
    "corrected_words": "docsim.search.corrections:MOST_WORDS",
    "filter_nesting": "docsim.filters.condition:MAX_NESTING",
    "filter_characters": "docsim.filters.parser:MAX_CHARACTERS",
    "map_sample": "docsim.analysis.layout:SAMPLE",
    "background_documents": "docsim.search.percentiles:DOCUMENTS",
    "background_characters": "docsim.search.percentiles:CHARACTERS",
    "background_least": "docsim.search.percentiles:FEWEST_SPANS",
    "background_most": "docsim.search.percentiles:SPANS",
    "gate_questions": "docsim.reindex.gate:LEAST_QUESTIONS",
    "gate_chance": "docsim.reindex.gate:CHANCE",
    "gate_recall": "docsim.reindex.gate:LEAST_RECALL",
    "gate_spans": "docsim.reindex.probe:MOST_EACH_KIND",
    "adapter_sample": "docsim.reindex.instant:SAMPLED",
    "duplicates_exact": "docsim.analysis.neighbours:EXACT",
    "duplicates_neighbours": "docsim.analysis.duplicates:_NEIGHBOURS",
    "duplicates_lowest": "docsim.analysis.duplicates:LOWEST",
    "duplicates_highest": "docsim.analysis.duplicates:HIGHEST",
    "duplicates_near": "docsim.analysis.duplicates:NEAR_SIMILARITY",
    "duplicates_contained": "docsim.analysis.duplicates:CONTAINED_SIMILARITY",
    "shingle_words": "docsim.analysis.shingles:LENGTH",
    "spelled_out": "docsim.encoding.spelling:MOST_SPELLED_OUT",
    "own_vocabulary": "docsim.training.wordvectors.from_corpus:VOCABULARY",
    "training_least": "docsim.training.data.corpus:MIN_DOCUMENTS",
    "training_examples": "docsim.training.data.labelled_examples:MIN_EXAMPLES",
    "training_steps": "docsim.training.loop.defaults:_DOCUMENTS.steps",
    "training_batch": "docsim.training.loop.defaults:_DOCUMENTS.batch_size",
    "training_rate": "docsim.training.loop.defaults:_DOCUMENTS.learning_rate",
    "training_probe_every": "docsim.training.loop.defaults:_DOCUMENTS.probe_every",
    "training_patience": "docsim.training.loop.schedule:Schedule.patience",
    "training_warm_up": "docsim.training.loop.schedule:Schedule.warm_up",
    "training_temperature": "docsim.training.loop.defaults:_DOCUMENTS.temperature",
    "span_shortest": "docsim.training.data.document_pairs:SpanRecipe.shortest",
    "span_longest": "docsim.training.data.document_pairs:SpanRecipe.longest",
    "question_least": "docsim.training.data.document_pairs:_QUESTION_TOKENS.0",
    "question_most": "docsim.training.data.document_pairs:_QUESTION_TOKENS.1",
    "damping": "docsim.encoding.tokenizer:_DAMPING",
    "probe_documents": "docsim.training.loop.probe:_MAX_DOCUMENTS",
    "teacher_tokens": "docsim.training.loop.preparation:SHORT",
    "teacher_passages": "docsim.training.data.teacher_embeddings:_MAX_PASSAGES",
    "teacher_characters": "docsim.training.data.teacher_embeddings:_CHARACTERS",
    "export_tolerance": "docsim.training.towers.saving:TOLERANCE",
}

# The same as percentages.
_SHARES: Mapping[str, str] = {
    "smoothing_share": "docsim.search.smoothing:SHARE",
    "very_word": "docsim.engine.words.bm25:EXACT",
    "selective": "docsim.engine.local.ann:SELECTIVE",
    "growth": "docsim.engine.local.ann_tuning:GROWTH",
    "title_share": "docsim.training.data.document_pairs:SpanRecipe.title_share",
    "title_before": "docsim.training.data.document_pairs:SpanRecipe.prefix_share",
    "question_share": "docsim.training.data.document_pairs:SpanRecipe.question_share",
    "question_strike": "docsim.training.data.document_pairs:SpanRecipe.question_strike",
    "strike": "docsim.training.data.document_pairs:SpanRecipe.strike",
    "word_dropout": "docsim.training.data.document_pairs:SpanRecipe.word_dropout",
    "corpus_share": "docsim.training.loop.preparation:_CORPUS_SHARE",
    "gate_strike": "docsim.reindex.made_questions:_STRIKE",
}

# The same in megabytes of 1,000,000 bytes, or of 1,048,576.
_MEGABYTES: Mapping[str, tuple[str, int]] = {
    "mapped_mb": ("docsim.engine.local.vectors:MAPPED", 1_000_000),
    "unpacked_mb": ("docsim.ingest.readers.archives:UNPACKED_LIMIT", 1_000_000),
    "file_limit_mb": ("docsim.ingest.trees.tree:FILE_LIMIT", 1 << 20),
}


def names() -> set[str]:
    """Return the names of all numbers that can be quoted."""
    return {*_CONSTANTS, *_SHARES, *_MEGABYTES, *_OTHERS}


def quoted(text: str) -> set[str]:
    """Return the names of the numbers that a page quotes."""
    return {name for name, _ in _MARKED.findall(text)}


def filled(text: str) -> str:
    """Return a page with every marked number filled in.

    Raises:
        ValueError: A line begins with a mark, or there is no such number.
    """
    for line in text.splitlines():
        if line.lstrip().startswith("<!-- n "):
            raise ValueError(f"a line must not begin with a marked number: {line}")
    return _MARKED.sub(lambda found: f"<!-- n {found[1]} -->{_value(found[1])}<!-- /n -->", text)


@cache
def _value(name: str) -> str:
    if name in _CONSTANTS:
        value = constant(_CONSTANTS[name])
        return f"{value:,}" if isinstance(value, int) else f"{value:g}" if isinstance(value, float) else value
    if name in _SHARES:
        return f"{constant(_SHARES[name]):.0%}"
    if name in _MEGABYTES:
        place, bytes = _MEGABYTES[name]
        return f"{int(constant(place)) // bytes:,}"
    if name not in _OTHERS:
        raise ValueError(f"no number is named {name!r}; add it to docs/facts.py")
    return _OTHERS[name]()


def _option(command: str, option: str) -> Callable[[], str]:
    """Return the default of a command's option."""

    def default() -> str:
        from click import Context

        from docsim.cli import main

        found: Any = main
        for name in command.split():
            found = found.get_command(Context(found), name)
        (wanted,) = (one for one in found.params if option in one.opts)
        return f"{wanted.default:g}"

    return default


def _fusion(encoder: str) -> float:
    """Return the mean nDCG@10 of docsim's default mode over all sets."""
    rows = result("hybrid")["fusion"][encoder].values()
    return statistics.mean(float(row["docsim, hybrid"]) for row in rows)


def _beside(system: str) -> float:
    """Return the mean nDCG@10 of BM25 with a large encoder, over the same sets."""
    return statistics.mean(row[system] for row in result("hybrid_beside").values())


def _dense(group: str, system: str) -> float:
    return float(result("quality")["means"][group][system]["alone"])


def _gains() -> list[float]:
    """Return what training without labels adds to nDCG@10 on each knowledge base, in ascending order."""
    return sorted(row["trained"] - row["untrained"] for row in result("self_supervision")["sets"].values())


def _taught() -> list[tuple[float, float]]:
    """Return the median length of each set's documents in tokens, and what a teacher adds there, by length."""
    sets = result("teaching")["sets"].values()
    return sorted((row["median_tokens"], row["ndcg"]["with"] - row["ndcg"]["without"]) for row in sets)


def _adapted(change: str, variant: str = "docsim") -> list[float]:
    """Return which share of a full re-index an instant upgrade reaches on each set, in ascending order."""
    rows = (row for row in result("adapter")["rows"] if row["change"] == change)
    return sorted(row["variants"][variant]["share"] for row in rows)


_PEERS = {"small": "businesscentral", "large": "win32"}


def _peer_rate(corpus: str, which: str | Callable[[Iterable[float]], float]) -> Callable[[], str]:
    """Return how many documents a second docsim indexes, or the slowest or fastest other tool with a static model."""

    def rate() -> str:
        found = result("peers")["corpora"][corpus]["contenders"]
        rates = {name: steps["indexing"]["documents_per_s"] for name, steps in found.items() if "MiniLM" not in name}
        docsim = rates.pop("docsim")
        return f"{docsim if isinstance(which, str) else which(rates.values()):,.0f}"

    return rate


def _cold(*tools: str) -> list[float]:
    """Return how many seconds a query takes as a process of its own, of tools with static models, on each corpus."""
    found = (one for corpus in result("peers")["corpora"].values() for one in corpus["contenders"].items())
    return [steps["cold"]["cold_s"] for name, steps in found if name.startswith(tools) and "MiniLM" not in name]


def _tried(*path: str) -> Any:
    found: Any = result("training_tried")
    for name in path:
        found = found[name]
    return found


# Everything else that is quoted, most of it from benchmarks/results.
def _size(extra: str) -> Callable[[], str]:
    """Return a function of the megabytes that docsim takes with an extra, byte code not counted."""
    return lambda: f"{result('installed_size')['installed'][extra]['mb']:,.0f}"


_OTHERS: Mapping[str, Callable[[], str]] = {
    **{
        f"size_{extra}": _size(extra)
        for extra in ("plain", "files", "eval", "map", "train", "serve", "postgres", "all")
    },
    **{f"size_{extra}": _size(extra) for extra in ("embed", "ray", "langchain", "llamaindex", "haystack")},
    "size_byte_code": lambda: f"{result('installed_size')['installed']['plain']['byte_code_mb']:.0f}",
    "size_libraries": lambda: f"{_libraries():.0f}",
    "encoder_dim": lambda: str(_default_encoder()["dim"]),
    "accurate_megabytes": lambda: f"{first_encoder.LARGEST / 1e6:.0f}",
    "max_loss": _option("reindex", "--max-loss"),
    "default_k": _option("query", "-k"),
    "encoder_spans": lambda: f"{result('default_encoder')['spans']:,}",
    "training_gain_least": lambda: f"{_gains()[0]:.3f}",
    "training_gain_most": lambda: f"{_gains()[-1]:.3f}",
    "training_seconds": lambda: (
        f"{max(run['seconds'] for row in result('self_supervision')['sets'].values() for run in row['runs']):.0f}"
    ),
    "hybrid_trained": lambda: f"{_fusion('trained'):.3f}",
    "hybrid_taught": lambda: f"{_fusion('taught'):.3f}",
    "beside_sum": lambda: f"{_beside('sum'):.3f}",
    "beside_smoothed": lambda: f"{_beside('smoothed'):.3f}",
    "kb_trained": lambda: f"{_dense('knowledge bases', 'docsim, trained'):.3f}",
    "kb_minilm": lambda: f"{_dense('knowledge bases', 'all-MiniLM-L6-v2'):.3f}",
    "kb_docsim": lambda: f"{_dense('knowledge bases', 'docsim'):.3f}",
    "others_trained": lambda: f"{_dense('others', 'docsim, trained'):.3f}",
    "others_taught": lambda: f"{_dense('others', 'docsim, trained with MiniLM'):.3f}",
    "others_minilm": lambda: f"{_dense('others', 'all-MiniLM-L6-v2'):.3f}",
    "adapter_first": lambda: f"{_adapted('first training')[0]:.0%}",
    "adapter_dim_least": lambda: f"{_adapted('other dimension')[0]:.0%}",
    "adapter_dim_most": lambda: f"{_adapted('other dimension')[-1]:.0%}",
    "teacher_gain_least": lambda: f"{min(gain for _, gain in _taught() if gain > 0):.3f}",
    "teacher_gain_most": lambda: f"{max(gain for _, gain in _taught()):.3f}",
    "teacher_loss_most": lambda: f"{-min(gain for _, gain in _taught()):.3f}",
    "damped_tldr": lambda: f"{_tried('damping_trained', 'tldr', 'n^0.7', '160'):.3f}",
    "undamped_tldr": lambda: f"{_tried('damping_trained', 'tldr', 'n', '160'):.3f}",
    "damped_encoding_tldr": lambda: (
        f"{_tried('damping_trained', 'tldr', 'n^0.7 in training, n in encoding', '160'):.3f}"
    ),
    "damping_ms": lambda: f"{_tried('damping_cost', 'damping'):.2f}",
    "tower_ms": lambda: f"{_tried('damping_cost', 'the tower in ONNX Runtime'):.2f}",
    "scale_from": lambda: f"{min(one['passages'] for one in result('scale').values()):,}",
    "scale_to": lambda: f"{max(one['passages'] for one in result('scale').values()):,}",
    "scale_exact_ms": lambda: f"{_scale(200_000, 'exact_ms'):.0f}",
    "bulk_size_documents": lambda: f"{result('bulk_embedding')['sizes']['documents']:,}",
    "bulk_size_passages": lambda: f"{result('bulk_embedding')['sizes']['passages']:,}",
    "bulk_size_mb": lambda: f"{result('bulk_embedding')['sizes']['text_mb']:.0f}",
    "bulk_indexed_s": lambda: f"{result('speed')['indexing']['measured']['docsim index']['wall_s']:.0f}",
    "bulk_hybrid_passages": lambda: f"{result('reindexing')['scale']['passages']:,}",
    "bulk_hybrid_ms": lambda: f"{result('hybrid_latency')['46888']['questions']['hybrid']['p50_ms']:.1f}",
    "bulk_largest_recall": lambda: f"{_scale(5_000_000, 'recall_at_10'):.3f}",
    "bulk_largest_ms": lambda: f"{_scale(5_000_000, 'approximate_ms'):.1f}",
    "bulk_largest_gb": lambda: f"{_scale(5_000_000, 'resident_mb') / 1e3:.1f}",
    "bulk_largest_build_gb": lambda: f"{_scale(5_000_000, 'build_peak_mb') / 1e3:.1f}",
    **{f"peers_{name}_docsim": _peer_rate(corpus, "docsim") for name, corpus in _PEERS.items()},
    **{f"peers_{name}_least": _peer_rate(corpus, min) for name, corpus in _PEERS.items()},
    **{f"peers_{name}_most": _peer_rate(corpus, max) for name, corpus in _PEERS.items()},
    "cold_least": lambda: f"{min(_cold('docsim')):.2f}",
    "cold_most": lambda: f"{max(_cold('docsim')):.2f}",
    "cold_torch_least": lambda: f"{min(_cold('txtai', 'llm', 'sentence-transformers')):.2f}",
    "query_seconds": lambda: f"{result('speed')['cold_query']['measured']['docsim query']['wall_s']:.2f}",
    "mapped_queries_least": lambda: f"{min(_adapted('first training', 'queries, rotation')):.0%}",
    "mapped_queries_most": lambda: f"{max(_adapted('first training', 'queries, rotation')):.0%}",
    "faster_than_minilm": lambda: f"{_indexed('docsim index') / _indexed('txtai, all-MiniLM-L6-v2'):.0f}",
    "int8_faster": lambda: f"{_imported('docsim int8') / _imported('docsim float32'):.1f}",
    "words_found": lambda: f"{min(_extracted('found')):.1f}%",
    "words_added": lambda: f"{max(_extracted('added')):.1f}%",
    "accurate_speed": lambda: f"{_speed('fast') / _speed('accurate'):.0f}",
    "accurate_mb": lambda: f"{(ROOT / 'docsim' / 'encoders' / 'accurate' / 'tower.onnx').stat().st_size / 1e6:.0f}",
    "limits_of": lambda: str(result("default_limits")["of"]),
    **{
        f"limits_{name}": (lambda key=key: str(result("default_limits")["found"][key]))  # type: ignore[misc]
        for name, key in (
            ("english", "English, in other words"),
            ("german", "German"),
            ("russian", "Russian"),
            ("code", "code"),
        )
    },
}


def _extracted(which: str) -> list[float]:
    """Return the percentages of words of Word and PDF files."""
    return [float(result("extraction")["kinds"][kind][which]) for kind in (".docx", ".pdf")]


def _libraries() -> float:
    """Return the megabytes of the plain package that are ONNX Runtime, FAISS and NumPy."""
    largest = result("installed_size")["installed"]["plain"]["largest"]
    return sum(largest[name] for name in ("onnxruntime", "faiss_cpu", "faiss", "numpy"))


def _indexed(name: str) -> float:
    return float(result("speed")["indexing"]["measured"][name]["documents_per_s"])


def _speed(name: str) -> float:
    return float(result("encoder_speed")["encoders"][name]["texts_per_s"])


def _imported(name: str) -> float:
    return float(result("imported")["documents"]["speed"][name]["texts_per_second"])


def _default_encoder() -> dict[str, Any]:
    return dict(json.loads((ROOT / "docsim" / "encoders" / "fast" / "manifest.json").read_text(encoding="utf-8")))


def _scale(passages: int, number: str) -> float:
    return next(float(one[number]) for one in result("scale").values() if one["passages"] == passages)
