"""Filters: which documents a search may return, as a condition that every engine compiles for itself.

condition    the records that a condition is made of, and what each of them means
parser       an expression such as ``team = 'sre' and updated > '2026-01-01'``, read into a condition
mapping      a mapping of values by field name, such as ``{"team": "sre"}``, read into a condition
where        the arguments ``where`` and ``within`` of a search: either of these, and a path
"""
