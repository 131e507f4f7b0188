"""Parameters: what requests may say, and what they are answered with. The API's description is made from these.

They have the names of the command line's options. Whatever else a request says is refused.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from docsim.analysis.duplicates import Duplicates
from docsim.analysis.explain import Explanation
from docsim.analysis.topic_map import KnowledgeMap
from docsim.models import DEFAULT_MODE, Document, Mode, Passage, Ranking, SearchResult, Stale
from docsim.search.suggestions import Completion
from docsim.serving.checked import refuse_booleans_as_numbers
from docsim.serving.reading import Asked
from docsim.serving.use import Said
from docsim.serving.writing import Kind as JobKind
from docsim.use.records import Kind

__all__ = [
    "AdaptBody",
    "BodyFilter",
    "DocumentAnswer",
    "DocumentBody",
    "DocumentRecord",
    "DocumentsAnswer",
    "DocumentsParameters",
    "DuplicatesAnswer",
    "DuplicatesParameters",
    "ExplainAnswer",
    "ExplainParameters",
    "FeedbackAnswer",
    "FeedbackBody",
    "FileParameters",
    "JobAnswer",
    "JobsAnswer",
    "MapAnswer",
    "MapParameters",
    "Nothing",
    "ProblemAnswer",
    "PublishBody",
    "ReindexBody",
    "RollbackBody",
    "SameAnswer",
    "SearchAnswer",
    "SearchBody",
    "SearchParameters",
    "SimilarBody",
    "SimilarParameters",
    "StateParameters",
    "SuggestAnswer",
    "SuggestParameters",
    "Waiting",
]

MOST_HITS = 1000
MOST_EXAMPLES = 100
_Text = Annotated[str, Field(max_length=1_000_000)]
_Line = Annotated[str, Field(max_length=10_000)]  # in an address, which has to fit into the head of a request
_Id = Annotated[str, Field(min_length=1, max_length=4096)]
_Revision = Annotated[int, Field(ge=0, description="Answer from this revision of the index, or a later one.")]


class Nothing(BaseModel):
    """No parameters."""

    model_config = ConfigDict(extra="forbid")
    check = model_validator(mode="before")(classmethod(refuse_booleans_as_numbers))  # type: ignore[arg-type]  # untyped


class StateParameters(Nothing):
    """From which state of the index to answer."""

    at_least: _Revision = 0


class Filter(StateParameters):
    """How hits are chosen."""

    k: Annotated[int, Field(ge=1, le=MOST_HITS, description="Number of hits.")] = 10
    mode: Annotated[Mode, Field(description="Rank by meaning, by shared words, or by both.")] = DEFAULT_MODE
    where: Annotated[str | None, Field(description="Only documents whose metadata match, such as team = 'sre'.")] = None
    within: Annotated[str, Field(alias="in", description="Only documents whose id is this path or lies below.")] = ""
    offset: Annotated[int, Field(ge=0, le=1_000_000, description="Skip this many hits.")] = 0
    diversity: Annotated[float, Field(ge=0, le=1, description="Demote hits that resemble earlier ones.")] = 0.0
    min_similarity: Annotated[float | None, Field(ge=-1, le=1, description="Leave out less similar hits.")] = None
    group_by: Annotated[str | None, Field(min_length=1, description="Only the best hit of each value.")] = None
    explain: Annotated[bool, Field(description="Say which words make each hit similar.")] = False

    def asked(self) -> Asked:
        """Return what is asked for."""
        ranking = Ranking(self.offset, self.diversity, self.min_similarity, self.group_by)
        return Asked(self.k, self.mode, self.where, self.within, ranking, self.explain, self.at_least)


_Plain = Annotated[bool, Field(description="Take the text as it is: read no operators and correct nothing.")]


class BodyFilter(Filter):
    """How hits are chosen, where the filter may also be a mapping of values by field name."""

    where: str | dict[str, Any] | None = None  # type: ignore[assignment]


class SearchParameters(Filter):
    """A question."""

    text: Annotated[_Line, Field(description="A question, a few words or a short text; may hold operators.")]
    plain: _Plain = False

    def asked(self) -> Asked:
        """Return what is asked for."""
        return replace(super().asked(), plain=self.plain)


class SearchBody(BodyFilter):
    """A question, as JSON."""

    text: _Text
    plain: _Plain = False

    def asked(self) -> Asked:
        """Return what is asked for."""
        return replace(super().asked(), plain=self.plain)


class SimilarParameters(Filter):
    """Documents to find similar ones to, or a text."""

    id: Annotated[list[_Id], Field(max_length=MOST_EXAMPLES, description="Ids of documents to resemble.")] = []
    unlike: Annotated[list[_Id], Field(max_length=MOST_EXAMPLES, description="Ids of documents to differ from.")] = []
    text: Annotated[_Line | None, Field(description="A text to resemble, instead of documents.")] = None


class SimilarBody(BodyFilter):
    """Documents to find similar ones to, or a text, as JSON."""

    id: Annotated[list[_Id], Field(max_length=MOST_EXAMPLES)] = []
    unlike: Annotated[list[_Id], Field(max_length=MOST_EXAMPLES)] = []
    text: _Text | None = None
    title: str = ""


class FileParameters(Filter):
    """A file, which is the body of the request."""

    name: Annotated[str, Field(min_length=1, max_length=255, description="Its name; the suffix tells its format.")]


class ExplainParameters(Nothing):
    """Two documents, or a text and a document."""

    a: Annotated[_Id | None, Field(description="Id of the first document.")] = None
    text: Annotated[_Line | None, Field(description="A text, instead of the first document.")] = None
    b: Annotated[_Id, Field(description="Id of the second document.")]
    pairs: Annotated[int, Field(ge=1, le=20, description="Maximum number of pairs of passages.")] = 3


class SuggestParameters(Nothing):
    """The beginning of a title, or of a word."""

    text: Annotated[str, Field(max_length=200)]
    limit: Annotated[int, Field(ge=1, le=50)] = 10


class FeedbackBody(Nothing):
    """What became of a question."""

    query_id: Annotated[
        str | None, Field(min_length=1, max_length=64, description="The query_id that a search returned.")
    ] = None
    text: Annotated[str | None, Field(min_length=1, max_length=10_000, description="The question, instead.")] = None
    kind: Annotated[Kind, Field(description="What happened; only nothing, that nothing helped, needs no document.")]
    id: Annotated[_Id | None, Field(description="The document that it happened to.")] = None
    seconds: Annotated[float | None, Field(ge=0, le=86_400, description="How long it was read, for dwell.")] = None

    def said(self) -> Said:
        """Return what is said."""
        return Said(self.kind, self.id, self.query_id, self.text, self.seconds)


class DocumentsParameters(StateParameters):
    """Which documents to list."""

    after: Annotated[str, Field(max_length=4096, description="List documents after this id.")] = ""
    limit: Annotated[int, Field(ge=1, le=MOST_HITS)] = 100
    within: Annotated[str, Field(alias="in", description="Only documents whose id is this path or lies below.")] = ""


class Waiting(Nothing):
    """Whether to wait."""

    wait: Annotated[bool, Field(description="Answer when the job is over, not when it is taken in.")] = False


class DocumentBody(Nothing):
    """A document, but for its id."""

    text: str
    title: str = ""
    metadata: dict[str, Any] = {}

    def document(self, id: str) -> Document:
        """Return the document under an id."""
        return Document(id, self.text, self.title, self.metadata)


class DocumentRecord(DocumentBody):
    """A document."""

    id: _Id


class DuplicatesParameters(Nothing):
    """Which duplicates."""

    threshold: Annotated[float | None, Field(gt=0, le=1, description="Least share of wording in common.")] = None
    offset: Annotated[int, Field(ge=0, le=1_000_000, description="Skip this many groups.")] = 0
    limit: Annotated[int, Field(ge=1, le=MOST_HITS, description="Maximum number of groups.")] = 100


class MapParameters(Nothing):
    """Which map."""

    seed: Annotated[int, Field(ge=0, le=1_000_000, description="Another seed gives another map.")] = 0


class Gate(Nothing):
    """What a new generation has to pass to be published."""

    max_loss: Annotated[float, Field(ge=0, le=1, description="Publish if nDCG@10 falls by no more than this.")] = 0.01
    publish_anyway: Annotated[bool, Field(description="Publish a sound generation even if it is worse.")] = False


class PublishBody(Gate):
    """Which generation to publish."""

    generation: Annotated[int, Field(ge=1, description="The one that waits to be published.")]


class RollbackBody(Nothing):
    """Which generation to go back to."""

    generation: Annotated[int | None, Field(ge=1, description="By default the one that was live before.")] = None


class ReindexBody(Gate):
    """Which encoder to change to; without any, the unfinished re-index goes on."""

    encoder: Annotated[str | None, Field(max_length=4096, description="Its directory, on the server.")] = None
    dim: Annotated[int | None, Field(ge=1, description="Keep this many components; of docsim's own by default.")] = None


class AdaptBody(Gate):
    """How to train on the documents."""

    time_limit: Annotated[float | None, Field(gt=0, description="Train for at most this many seconds.")] = None
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = 0


# Answers


@dataclass(frozen=True, slots=True)
class SearchAnswer(SearchResult):
    """Hits, and the revision of the index that they are from; what to name the question by, if it was recorded."""

    revision: int = 0
    query_id: str | None = None


@dataclass(frozen=True, slots=True)
class SameAnswer(SearchAnswer):
    """Hits, and the ids of those with the very same text."""

    same: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Term:
    """A term that both texts contain; in how many documents is told to those only who may see them all."""

    term: str
    words: tuple[str, ...]
    documents: int | None
    a: int
    b: int


@dataclass(frozen=True, slots=True)
class ExplainAnswer(Explanation):
    """Why two texts are similar."""

    terms: tuple[Term, ...]  # type: ignore[assignment]
    revision: int = 0


@dataclass(frozen=True, slots=True)
class DocumentAnswer:
    """A document as it was indexed."""

    id: str
    title: str
    metadata: dict[str, Any]
    text: str
    passages: tuple[Passage, ...]
    revision: int
    stale: Stale | None


@dataclass(frozen=True, slots=True)
class Listed:
    """A document in a list."""

    id: str
    title: str
    metadata: dict[str, Any]


@dataclass(frozen=True, slots=True)
class DocumentsAnswer:
    """Documents by id, the id to go on after, and how many there are in all."""

    documents: tuple[Listed, ...]
    next: str | None
    total: int
    revision: int


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A document whose title begins so."""

    id: str
    title: str


@dataclass(frozen=True, slots=True)
class SuggestAnswer:
    """Documents whose titles begin so, and the text with its last word completed."""

    suggestions: tuple[Suggestion, ...]
    words: tuple[Completion, ...]


@dataclass(frozen=True, slots=True)
class FeedbackAnswer:
    """What the question is named by."""

    query_id: str


@dataclass(frozen=True, slots=True)
class JobAnswer:
    """Something to write, and how far it is."""

    id: str
    kind: JobKind
    state: Literal["queued", "running", "done", "failed"]
    submitted: str
    finished: str | None
    result: dict[str, Any] | None
    progress: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class JobsAnswer:
    """Jobs, latest first."""

    jobs: tuple[JobAnswer, ...]


@dataclass(frozen=True, slots=True)
class DuplicatesAnswer(Duplicates):
    """Groups of duplicates, how many there are in all, and the revision that they are from."""

    total: int = 0
    revision: int = 0


@dataclass(frozen=True, slots=True)
class MapAnswer(KnowledgeMap):
    """Documents in the plane, and the revision that they are from."""

    revision: int = 0


@dataclass(frozen=True, slots=True)
class ProblemAnswer:
    """Why a request was not answered (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    request_id: str
