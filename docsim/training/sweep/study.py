"""Sweeps: towers, starting points and hyper-parameters tried within a time budget, every trial a real short training.

    out/sweep.db           Optuna's study in SQLite: what was tried, and how it did
    out/trials/7/          the encoder of the best trial so far
    out/best/              a copy of it, to be used
    out/leaderboard.json   and .png: see ``docsim.training.sweep.leaderboard``
    out/sweep.lock         held by the one process that tries; it dies with it

Every tower is first tried from every start with the settings of ``docsim train``; then Optuna's tree-structured Parzen
estimator (Bergstra et al., "Algorithms for Hyper-Parameter Optimization", NeurIPS 2011) chooses. A trial is told to the
study after its encoder was saved, so a sweep that was killed loses only the trial it was at, and that is tried again.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import keras
import optuna
from filelock import FileLock, Timeout
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.engine import URL

from docsim.encoding.encoder import Encoder, read_manifest
from docsim.errors import TrainingError
from docsim.models import Document
from docsim.training.data.material import prepared
from docsim.training.loop.probe import HalvesProbe
from docsim.training.sweep.leaderboard import Entry, Failed, ordered, write_leaderboard
from docsim.training.sweep.trial import Settings, Work, run_trial, usual
from docsim.training.towers import artefact
from docsim.training.towers.kinds import KINDS
from docsim.training.towers.starts import DEFAULT, SCRATCH

__all__ = ["DATABASE", "Limits", "Space", "Sweep", "alone", "comparable"]

logger = logging.getLogger(__name__)

DATABASE = "sweep.db"
_LOCK = "sweep.lock"

_RATES = {"average": (0.003, 0.1), "lstm": (2e-4, 5e-3), "transformer": (1e-4, 3e-3)}
_BATCHES, _UNITS = (64, 128, 256, 512), (64, 128, 256)
_LEAST_SECONDS = 5.0  # of steps; less would compare how fast towers begin


@dataclass(frozen=True, slots=True)
class Space:
    """What is tried.

    Attributes:
        towers: Kinds of towers.
        starts: ``default``, ``scratch`` or directories of encoders.
    """

    towers: tuple[str, ...] = KINDS
    starts: tuple[str, ...] = (DEFAULT, SCRATCH)

    def __post_init__(self) -> None:
        """Refuse unknown towers, and nothing at all.

        Raises:
            TrainingError: A tower is unknown, or there is no tower or no start.
        """
        if not self.towers or not self.starts or not set(self.towers) <= set(KINDS):
            raise TrainingError(
                f"expected towers of {', '.join(KINDS)} and a start; got {', '.join(self.towers) or 'no tower'} from "
                f"{', '.join(self.starts) or 'nowhere'}"
            )

    def usual(self) -> list[Settings]:
        """Return every tower from every start, with the settings of ``docsim train``."""
        return [usual(tower, of, shaped=_shaped(tower, of)) for of in self.starts for tower in self.towers]

    def suggested(self, trial: optuna.Trial) -> Settings:
        """Return what Optuna wants tried."""
        tower = trial.suggest_categorical("tower", self.towers)
        of = trial.suggest_categorical("start", self.starts)
        new, learns = _shaped(tower, of), tower != "average"
        return Settings(
            tower=tower,
            start=of,
            learning_rate=trial.suggest_float(f"{tower}.learning_rate", *_RATES[tower], log=True),
            temperature=trial.suggest_float("temperature", 0.02, 0.2, log=True),
            batch=trial.suggest_categorical("batch", _BATCHES),
            strike=trial.suggest_float("strike", 0.0, 1.0),
            embedding_share=trial.suggest_float("embedding_share", 0.1, 10.0, log=True) if learns else 1.0,
            units=trial.suggest_categorical("units", _UNITS) if new else None,
            layers=trial.suggest_int("layers", 1, 2) if new else None,
        )


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a sweep goes on.

    Attributes:
        budget: Seconds that all trials may take together, those before a resumption included.
        trials: Most trials; None for as many as the budget allows.
    """

    budget: float
    trials: int | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be.

        Raises:
            TrainingError: A limit leaves room for nothing.
        """
        if self.budget <= 0 or (self.trials is not None and self.trials < 1):
            raise TrainingError(
                f"expected a budget above 0 and at least 1 trial; got {self.budget:g} and {self.trials}"
            )


class Sweep:
    """One sweep, kept in a directory."""

    def __init__(self, directory: Path, space: Space, work: Work, *, resume: bool = False) -> None:
        """Open or make the study.

        Raises:
            TrainingError: There is a sweep and it is not to be resumed, there is none to be, or it is another one.
        """
        self._directory, self._space, self._work = directory, space, work
        file = directory / DATABASE
        if file.exists() != resume:
            raise TrainingError(
                f"expected a sweep to resume at {directory}; there is none. Start one by leaving out --resume"
                if resume
                else f"there is a sweep at {directory} already; go on with it with --resume, or choose another --out"
            )
        directory.mkdir(parents=True, exist_ok=True)
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._study = optuna.create_study(
            storage=URL.create("sqlite", database=str(file.absolute())).render_as_string(),
            study_name="sweep",
            direction="maximize",
            load_if_exists=True,
        )
        self._take_up()
        told = len(self._study.get_trials(deepcopy=False))
        self._study.sampler = optuna.samplers.TPESampler(seed=work.seed + told)

    def run(self, limits: Limits, *, told: Callable[[Entry | Failed], None] | None = None) -> list[Entry]:
        """Try until a limit is reached; return all trials that ended well, the best first.

        Args:
            limits: When to stop. The first trial is always made, so that there is a best one.
            told: Called after every trial.

        Raises:
            TrainingError: Not one trial could be trained.
        """
        began, before = time.monotonic(), sum(entry.seconds for entry in self.entries())
        while not self._ended(limits, left := limits.budget - before - (time.monotonic() - began)):
            entry = self._trial(self._time_limit(limits, left))
            if isinstance(entry, Entry):
                self._keep_best()
            if told:
                told(entry)
        board = self._keep_best()
        if not board:
            reasons = {failed.reason for failed in self.failed() if failed.reason}
            raise TrainingError(f"no trial could be trained: {'; '.join(sorted(reasons)) or 'all were killed'}")
        return board

    def entries(self) -> list[Entry]:
        """Return the trials that ended well, the best first."""
        trials = self._study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        return ordered([Entry(**trial.user_attrs["entry"]) for trial in trials])

    def failed(self) -> list[Failed]:
        """Return the other trials that were begun."""
        trials = self._study.get_trials(deepcopy=False, states=(TrialState.FAIL,))
        return [Failed(trial.number, trial.params, trial.user_attrs.get("reason", "")) for trial in trials]

    def _take_up(self) -> None:
        """Begin a new study, or go on with one: what was being tried when it was killed is tried again."""
        identity = _identity(self._space, self._work)
        if self._study.user_attrs.get("identity", identity) != identity:
            raise TrainingError(
                f"the sweep at {self._directory} had other documents, towers, starts, steps or another seed; give "
                "those, or choose another --out"
            )
        for trial in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            self._study.enqueue_trial(_asked(trial))
            self._study.tell(trial.number, state=TrialState.FAIL)
        asked = [_asked(trial) for trial in self._study.get_trials(deepcopy=False)]
        known = {(one.get("tower"), one.get("start")) for one in asked}
        for settings in self._space.usual():
            if (settings.tower, settings.start) not in known:
                self._study.enqueue_trial(_parameters(settings))
        self._study.set_user_attr("identity", identity)

    def _ended(self, limits: Limits, left: float) -> bool:
        done = len(self.entries()) + sum(bool(failed.reason) for failed in self.failed())
        return bool(done) and (left <= 0 or (limits.trials is not None and done >= limits.trials))

    def _time_limit(self, limits: Limits, left: float) -> float:
        """Return the seconds that a trial's steps may take: every tower from every start must get a turn."""
        share = limits.budget / (2 * len(self._space.towers) * len(self._space.starts))
        return max(0.1, min(left, max(share, _LEAST_SECONDS)))

    def _trial(self, time_limit: float) -> Entry | Failed:
        trial = self._study.ask()
        settings = self._space.suggested(trial)
        out = self._directory / "trials" / str(trial.number)
        try:
            entry = run_trial(settings, self._work, number=trial.number, time_limit=time_limit, out=out)
        except TrainingError as error:
            trial.set_user_attr("reason", str(error))
            self._study.tell(trial, state=TrialState.FAIL)
            return Failed(trial.number, trial.params, str(error))
        finally:
            keras.backend.clear_session()  # or every trial's graphs stay in memory
        trial.set_user_attr("entry", asdict(entry))
        self._study.tell(trial, entry.metric)
        return entry

    def _keep_best(self) -> list[Entry]:
        """Put the best encoder in its place, drop the others, and write the leaderboard; return its entries."""
        board = self.entries()
        if not board:
            return board
        trials = self._directory / "trials"
        _copy(trials / str(board[0].number), self._directory / "best", board[0].fingerprint)
        for other in trials.iterdir():
            if other.name != str(board[0].number):
                shutil.rmtree(other)
        facts = {"documents": len(self._work.documents), "steps": self._work.steps, "seed": self._work.seed}
        write_leaderboard(self._directory, board, self.failed(), probe=HalvesProbe.name, facts=facts)
        return board


@contextmanager
def alone(directory: Path) -> Iterator[None]:
    """Be the one process that sweeps in a directory: it would take up what another is trying as killed.

    Raises:
        TrainingError: Another process is at it.
    """
    directory.mkdir(parents=True, exist_ok=True)
    lock = FileLock(directory / _LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise TrainingError(
            f"another process is sweeping in {directory}; wait until it ends, or choose another --out"
        ) from None
    try:
        yield
    finally:
        lock.release()


def comparable(documents: Iterable[Document], starts: Sequence[str]) -> list[Document]:
    """Return the documents that can be learnt from under the tokenizer of every start, so that all hold out the same.

    Raises:
        EncoderError: A start is no encoder.
        TrainingError: There are too few, or all are the same.
    """
    kept = list(documents)
    for path in sorted({_path(of) for of in starts}):
        usable = {text.id for text in prepared(kept, artefact.load(path)).texts}
        kept = [document for document in kept if document.id in usable]
    return kept


def _path(of: str) -> Path:
    return Encoder.default().path if of in (DEFAULT, SCRATCH) else Path(of)


def _shaped(tower: str, of: str) -> bool:
    """Return whether a new tower with a shape to choose is made; an encoder of that kind brings its own."""
    return tower != "average" and (of == SCRATCH or read_manifest(_path(of))["kind"] != tower)


def _identity(space: Space, work: Work) -> str:
    """Return the SHA-256 (64 hex digits) of what all trials of a sweep have in common."""
    digest = hashlib.sha256(json.dumps([asdict(space), work.steps, work.seed]).encode())
    for document in work.documents:
        digest.update(json.dumps([document.id, document.title, document.text]).encode())
    return digest.hexdigest()


def _parameters(settings: Settings) -> dict[str, object]:
    """Return settings by the names that ``Space.suggested`` asks for."""
    named = {name: value for name, value in asdict(settings).items() if value is not None}
    named[f"{settings.tower}.learning_rate"] = named.pop("learning_rate")
    return named


def _asked(trial: FrozenTrial) -> dict[str, Any]:
    """Return the parameters of a trial, begun or only queued."""
    return {**trial.system_attrs.get("fixed_params", {}), **trial.params}


def _copy(encoder: Path, target: Path, fingerprint: str) -> None:
    """Make ``target`` a copy of an encoder, unless it is one already."""
    if (target / "manifest.json").is_file() and read_manifest(target)["fingerprint"] == fingerprint:
        return
    temporary = target.with_name(f".{target.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    shutil.copytree(encoder, temporary)
    shutil.rmtree(target, ignore_errors=True)
    temporary.rename(target)
