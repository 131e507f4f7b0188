"""What users do with an index, as functions that return records. The command line and a server call these.

    sync      bring an index up to date with its sources, making it first when there is none
    train     train an encoder
    reindex   change an index to another encoder; also the way back, and giving up or removing generations
    adapt     train on the documents of an index, and re-index with the result

Every job that takes long has a ``docsim.progress.Progress``, and none of them prints. Searching and analysis are
methods of ``docsim.Index``.
"""
