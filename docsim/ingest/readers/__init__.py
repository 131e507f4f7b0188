"""Readers: one module for each format that others define, from its bytes to text as Markdown.

A reader is one function from the content of a file to a ``FileContent``. What a library reads well is left to it; what
it is known to drop is put back here, and what nobody reads is named in ``FileContent.lost``.
"""
