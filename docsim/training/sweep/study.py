"""Sweeps: towers, starting points and hyper-parameters tried within a time budget; every trial is a short training.

    out/sweep.db           Optuna's study in SQLite: what was tried, with which result
    out/trials/7/          the encoder of the best trial so far
    out/best/              a copy of it, to use
    out/leaderboard.json   and .png: see ``docsim.training.sweep.leaderboard``
    out/sweep.lock         held by the process that runs the sweep, and released when it dies

Every tower is first tried from every starting point with default hyper-parameters. Then Optuna's tree-structured Parzen
estimator (Bergstra et al., "Algorithms for Hyper-Parameter Optimization", NeurIPS 2011) chooses. A trial is recorded
after its encoder has been saved, so a sweep that is killed loses only the current trial, which runs again on resuming.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import keras
import optuna
from filelock import FileLock, Timeout
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.engine import URL

from docsim.encoding.encoder import MANIFEST_FILE, read_manifest
from docsim.errors import TrainingError
from docsim.models import Document
from docsim.training.data.corpus import tokenize_corpus
from docsim.training.loop.probe import HalvesProbe
from docsim.training.sweep.leaderboard import FailedTrial, TrialResult, ranked, write_leaderboard
from docsim.training.sweep.search_space import SearchSpace, optuna_parameters
from docsim.training.sweep.trial import TrialSetup, run_trial
from docsim.training.towers.saving import load
from docsim.training.towers.starting_point import encoder_directory

__all__ = ["DATABASE", "Sweep", "SweepLimits", "sweep_lock", "usable_documents"]

logger = logging.getLogger(__name__)

DATABASE = "sweep.db"
_LOCK = "sweep.lock"

_MIN_SECONDS = 5.0  # of a trial's steps; with less, the comparison would be about how fast towers begin

_REQUESTED = "requested"
"""Attribute of a queued trial: the hyper-parameters it was queued with. Optuna keeps them in private attributes."""


@dataclass(frozen=True, slots=True)
class SweepLimits:
    """When a sweep ends.

    Attributes:
        budget: Seconds for all trials together, including those before the sweep was resumed.
        trials: The maximum number of trials; None for as many as the budget allows.
    """

    budget: float
    trials: int | None = None

    def __post_init__(self) -> None:
        """Validate the limits.

        Raises:
            TrainingError: The limits leave no time or no trial.
        """
        if self.budget <= 0 or (self.trials is not None and self.trials < 1):
            raise TrainingError(
                f"expected a budget above 0 and at least 1 trial; got {self.budget:g} and {self.trials}"
            )


class Sweep:
    """A sweep and its directory."""

    def __init__(self, directory: Path, space: SearchSpace, setup: TrialSetup, *, resume: bool = False) -> None:
        """Create a sweep, or open one to resume it.

        Args:
            directory: Directory of the sweep.
            space: What to try.
            setup: What all trials have in common.
            resume: Whether to continue the sweep that is there.

        Raises:
            TrainingError: There already is a sweep that is not to be resumed, there is none to resume, or it is a
                different one.
        """
        self._directory, self._space, self._setup = directory, space, setup
        file = directory / DATABASE
        if resume and not file.exists():
            raise TrainingError(f"expected a sweep to resume at {directory}; there is none. Start a new one instead")
        if file.exists() and not resume:
            raise TrainingError(
                f"expected a directory without a sweep; there already is one at {directory}. Resume it, or choose "
                "another directory"
            )
        directory.mkdir(parents=True, exist_ok=True)
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._study = optuna.create_study(
            storage=URL.create("sqlite", database=str(file.absolute())).render_as_string(),
            study_name="sweep",
            direction="maximize",
            load_if_exists=True,
        )
        self._queue()
        known = len(self._study.get_trials(deepcopy=False))
        self._study.sampler = optuna.samplers.TPESampler(seed=setup.seed + known)

    def run(
        self, limits: SweepLimits, *, report: Callable[[TrialResult | FailedTrial], None] | None = None
    ) -> list[TrialResult]:
        """Run trials until a limit is reached; return the results of all successful trials, the best first.

        Args:
            limits: When to stop. At least one trial is always run.
            report: Called after every trial.

        Raises:
            TrainingError: No trial could be trained.
        """
        began, before = time.monotonic(), sum(result.seconds for result in self.results())
        while not self._ended(limits, left := limits.budget - before - (time.monotonic() - began)):
            result = self._run_trial(self._time_limit(limits, left))
            if isinstance(result, TrialResult):
                self._keep_best()
            if report:
                report(result)
        board = self._keep_best()
        if not board:
            reasons = {failed.reason for failed in self.failed() if failed.reason}
            raise TrainingError(
                f"expected at least one trial that can be trained; none could: "
                f"{'; '.join(sorted(reasons)) or 'all were interrupted'}"
            )
        return board

    def results(self) -> list[TrialResult]:
        """Return the results of the successful trials, the best first."""
        trials = self._study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        return ranked([TrialResult(**trial.user_attrs["entry"]) for trial in trials])

    def failed(self) -> list[FailedTrial]:
        """Return the trials that failed or were interrupted."""
        trials = self._study.get_trials(deepcopy=False, states=(TrialState.FAIL,))
        return [FailedTrial(trial.number, trial.params, trial.user_attrs.get("reason", "")) for trial in trials]

    def _queue(self) -> None:
        """Queue the trials with default hyper-parameters, and again the trial that was running when killed."""
        identity = _identity(self._space, self._setup)
        if self._study.user_attrs.get("identity", identity) != identity:
            raise TrainingError(
                f"expected the sweep at {self._directory} to be the same as this one; it had other documents, towers, "
                "starting points, steps or another seed. Resume it with those, or choose another directory"
            )
        for trial in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            self._enqueue(_requested(trial))
            self._study.tell(trial.number, state=TrialState.FAIL)
        for hyperparameters in self._space.defaults():
            self._enqueue(optuna_parameters(hyperparameters), skip_if_exists=True)
        self._study.set_user_attr("identity", identity)

    def _enqueue(self, parameters: Mapping[str, object], *, skip_if_exists: bool = False) -> None:
        requested = dict(parameters)
        self._study.enqueue_trial(requested, user_attrs={_REQUESTED: requested}, skip_if_exists=skip_if_exists)

    def _ended(self, limits: SweepLimits, left: float) -> bool:
        done = len(self.results()) + sum(bool(failed.reason) for failed in self.failed())
        return bool(done) and (left <= 0 or (limits.trials is not None and done >= limits.trials))

    def _time_limit(self, limits: SweepLimits, left: float) -> float:
        """Return the seconds for a trial's steps, such that every tower gets a turn from every starting point."""
        share = limits.budget / (2 * len(self._space.towers) * len(self._space.starts))
        return max(0.1, min(left, max(share, _MIN_SECONDS)))

    def _run_trial(self, time_limit: float) -> TrialResult | FailedTrial:
        trial = self._study.ask()
        tried = self._space.suggest(trial)
        out = self._directory / "trials" / str(trial.number)
        try:
            result = run_trial(tried, self._setup, number=trial.number, time_limit=time_limit, out=out)
        except TrainingError as error:
            trial.set_user_attr("reason", str(error))
            self._study.tell(trial, state=TrialState.FAIL)
            return FailedTrial(trial.number, trial.params, str(error))
        finally:
            keras.backend.clear_session()  # otherwise every trial's graphs stay in memory
        trial.set_user_attr("entry", asdict(result))
        self._study.tell(trial, result.metric)
        return result

    def _keep_best(self) -> list[TrialResult]:
        """Copy the best encoder to ``best``, delete the others, and write the leaderboard; return its results."""
        board = self.results()
        if not board:
            return board
        trials = self._directory / "trials"
        _copy(trials / str(board[0].number), self._directory / "best", board[0].fingerprint)
        for other in trials.iterdir():
            if other.name != str(board[0].number):
                shutil.rmtree(other)
        facts = {"documents": len(self._setup.documents), "steps": self._setup.steps, "seed": self._setup.seed}
        write_leaderboard(self._directory, board, self.failed(), probe=HalvesProbe.name, facts=facts)
        return board


@contextmanager
def sweep_lock(directory: Path) -> Iterator[None]:
    """Lock a sweep's directory; a second process would mistake the trial that is running for an interrupted one.

    Raises:
        TrainingError: Another process holds the lock.
    """
    directory.mkdir(parents=True, exist_ok=True)
    lock = FileLock(directory / _LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise TrainingError(
            f"expected no other process to run the sweep in {directory}; one is running it. Wait until it ends, or "
            "choose another directory"
        ) from None
    try:
        yield
    finally:
        lock.release()


def usable_documents(documents: Iterable[Document], starts: Sequence[str]) -> list[Document]:
    """Return the documents that are long enough under every starting point's tokenizer; all trials use the same ones.

    Args:
        documents: Documents.
        starts: Starting points.

    Raises:
        EncoderError: A starting point is not an encoder.
        TrainingError: There are too few such documents, or too few different ones.
    """
    kept = list(documents)
    for path in sorted({encoder_directory(start) for start in starts}):
        usable = {document.id for document in tokenize_corpus(kept, load(path)).documents}
        kept = [document for document in kept if document.id in usable]
    return kept


def _identity(space: SearchSpace, setup: TrialSetup) -> str:
    """Return the SHA-256 (64 hex digits) of what all trials of a sweep have in common."""
    digest = hashlib.sha256(json.dumps([asdict(space), setup.steps, setup.seed]).encode())
    for document in setup.documents:
        digest.update(json.dumps([document.id, document.title, document.text]).encode())
    return digest.hexdigest()


def _requested(trial: FrozenTrial) -> dict[str, object]:
    """Return the parameters that a trial was queued with, or as far as they were suggested."""
    return {**trial.user_attrs.get(_REQUESTED, {}), **trial.params}


def _copy(encoder: Path, target: Path, fingerprint: str) -> None:
    """Make ``target`` a copy of an encoder, unless it already is one."""
    if (target / MANIFEST_FILE).is_file() and read_manifest(target)["fingerprint"] == fingerprint:
        return
    temporary = target.with_name(f".{target.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    shutil.copytree(encoder, temporary)
    shutil.rmtree(target, ignore_errors=True)
    temporary.rename(target)
