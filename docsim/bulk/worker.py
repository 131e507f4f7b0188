"""The process that encodes shards: reads one after the other from its standard input, and answers on standard output.

python -P -m docsim.bulk.worker THREADS
"""

from __future__ import annotations

import os
import sys
from dataclasses import asdict

from docsim import allocation
from docsim.child_process import Frame, own_pipes, receive, send

__all__ = ["limit_threads", "main"]


def limit_threads(threads: int) -> None:
    """Give the tokenizers of this process, and what they call, some threads. It has to be done before they are used."""
    os.environ["RAYON_NUM_THREADS"] = str(threads)
    os.environ["TOKENIZERS_PARALLELISM"] = "true" if threads > 1 else "false"


def main() -> None:
    """Encode shards until standard input ends."""
    limit_threads(int(sys.argv[1]))
    shards, answers = own_pipes()
    allocation.give_back_large_pieces()
    from docsim.bulk.embedding import Job, embed_shard
    from docsim.bulk.shards import Shard

    given = receive(shards)
    if given is None:
        return
    job = Job(**given.header)
    while (frame := receive(shards)) is not None:
        shard = Shard(**frame.header)
        try:
            answer = Frame(asdict(embed_shard(shard, job)))
        except Exception as error:  # whatever it is, the process that asked tells it
            answer = Frame({"error": f"{error}" or type(error).__name__})
        send(answers, answer)


if __name__ == "__main__":
    main()
