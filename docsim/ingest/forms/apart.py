"""Apart: what strangers wrote in an export is parsed in processes of their own, some pages ahead, in their order.

Mails, HTML, Confluence's storage format, the markup of MediaWiki and Outlook's files go through parsers that others
wrote. A parser may hang, crash or fill the memory. ``docsim.ingest.conversion_pool`` then ends it, the page is reported
as one that could not be read, and the others go on. A module that parses in there has a function ``parsed``, from bytes
to a ``FileContent`` whose metadata are JSON values.
"""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from docsim.errors import SourceError
from docsim.ingest import conversion_pool
from docsim.ingest.content import FileContent
from docsim.ingest.conversion_pool import Ahead
from docsim.ingest.trees.tree import Tree

__all__ = ["Alone", "Done", "in_order", "parsing"]

_AHEAD = 16  # pages that are parsed, or wait for that

Key = TypeVar("Key")
Result = TypeVar("Result")


class Done(Generic[Result]):
    """A work that is done: it returns what it was made of."""

    def __init__(self, result: Result) -> None:
        self._result = result

    def __call__(self) -> Result:
        return self._result


class Alone(Generic[Result]):
    """Work that runs while no other does, because it takes much memory."""

    def __init__(self, work: Callable[[], Result]) -> None:
        self._work = work

    def __call__(self) -> Result:
        return self._work()


@dataclass(frozen=True, slots=True)
class _Waiting(Generic[Key, Result]):
    key: Key
    ahead: Ahead[Result]

    def finished(self) -> tuple[Key, Result | SourceError]:
        try:
            return self.key, self.ahead.result()
        except SourceError as error:
            return self.key, error


def in_order(works: Iterable[tuple[Key, Callable[[], Result]]]) -> Iterator[tuple[Key, Result | SourceError]]:
    """Yield what each work returns, or the ``SourceError`` that it raises, in order, while the next ones are done.

    Args:
        works: What to do, with a key that comes back with its result. They are done in other threads, so what they need
            of a tree has to be read before.
    """
    waiting = deque[_Waiting[Key, Result]]()
    for key, work in works:
        ahead = Ahead(work)
        if not isinstance(work, Done | Alone):
            ahead.start()
        waiting.append(_Waiting(key, ahead))
        while waiting and (len(waiting) > _AHEAD or isinstance(work, Alone)):
            yield waiting.popleft().finished()
    while waiting:
        yield waiting.popleft().finished()


def parsing(form: str, tree: Tree, path: str) -> Callable[[], FileContent]:
    """Read a file of a tree, and return what has the module of a form parse it in another process."""
    try:
        return functools.partial(conversion_pool.parse, tree.read(path), form, how=tree.how)
    except SourceError as error:
        return functools.partial(_raise, error)


def _raise(error: SourceError) -> FileContent:
    raise error
