"""Encoding in bulk: documents are divided into shards, which several processes or machines encode into files.

shards       what is divided: the documents of an index by number, or files of records; names that follow from content
embedding    reads, splits and encodes one shard, and writes its file: pure, so that doing it twice does no harm
files        the files: embeddings as float16 in Arrow's format, with ids, places, digests and the fingerprint
processes    runs shards in plain processes
on_ray       runs shards on Ray, on this machine or a cluster
prepared     an encoder that looks embeddings up in such files, and encodes only what they lack
"""
