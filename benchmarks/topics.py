"""From what should topics be made: embeddings, their principal components, or places on the map?

    python benchmarks/topics.py --data ../shared/data/dev [--encoder DIR]

Writes benchmarks/results/topics.json: for each set, number of topics and way, the normalised mutual information of
topics and folders, and the share of the five nearest dots on the map that have a dot's topic.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.metrics import normalized_mutual_info_score
from sklearn.neighbors import NearestNeighbors
from threadpoolctl import threadpool_limits

from docsim.analysis.layout import lay_out
from docsim.encoding.encoder import Encoder
from docsim.index import Index
from docsim.ingest.sources import open_source
from docsim.search.scoring import centroid

RESULTS = Path(__file__).parent / "results" / "topics.json"
CORPUS = Path(__file__).parent.parent / "corpus" / "handbook"
SETS = ("kubernetes", "businesscentral")  # whose ids are paths
COUNTS = (8, 12)
COMPONENTS = (10, 30)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--encoder", type=Path)
    given = parser.parse_args()
    encoder = Encoder.load(given.encoder) if given.encoder else Encoder.default()
    sources = {"corpus/handbook": CORPUS, **{name: given.data / name / "corpus.jsonl.gz" for name in SETS}}
    rows = [row for name, source in sources.items() for row in measured(name, source, encoder)]
    RESULTS.write_text(json.dumps({"encoder": encoder.fingerprint, "rows": rows}, indent=2) + "\n", encoding="utf-8")


def measured(name: str, source: Path, encoder: Encoder) -> list[dict[str, object]]:
    with TemporaryDirectory() as folder, Index.create(Path(folder) / "index", encoder=encoder) as index:
        index.sync(open_source(str(source)).entries())
        with index.engine.snapshot() as snapshot:
            ids = [stored.document.id for stored in snapshot.scan(characters=0)]
            embeddings = np.stack([centroid(rows) for rows in snapshot.embeddings(snapshot.embedded())])
    folders = [id.strip("/").rpartition("/")[0] for id in ids]
    places = lay_out(embeddings)
    near = NearestNeighbors(n_neighbors=6).fit(places).kneighbors(places)[1][:, 1:]
    rows: list[dict[str, object]] = []
    for count in COUNTS:
        for way, material in materials(embeddings, places).items():
            with threadpool_limits(1):
                topics = KMeans(count, n_init=5, random_state=0).fit_predict(material)
            agreement = float(normalized_mutual_info_score(folders, topics))
            alike = float(np.mean(topics[near] == topics[:, None]))
            rows.append({"set": name, "topics": count, "from": way, "folders": agreement, "nearest dots": alike})
            print(json.dumps(rows[-1]), flush=True)
    return rows


def materials(embeddings: NDArray[np.float32], places: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    components = PCA(max(COMPONENTS), random_state=0).fit_transform(embeddings)
    return {
        "embeddings": embeddings,
        **{f"{count} components": components[:, :count] for count in COMPONENTS},
        "places": places,
    }


if __name__ == "__main__":
    main()
