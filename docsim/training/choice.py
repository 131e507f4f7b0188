"""Choice: of several trainings that share a start and what is held out, the first unless a later one is surely better.

``docsim train --teacher`` trains twice, without the teacher and with it: which a corpus is better served by differs
from corpus to corpus, and cannot be told before. The probe that chose the weights of both cannot say: what few
documents find rises by chance. Another judges, halves of which nothing is struck out, and a rise counts only if its
95 % interval over the held-out documents lies above 0 (docs/training.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from docsim.training.leaderboard import interval
from docsim.training.trainer import Job, Outcome, Schedule, Tick, Trainer, Watch

__all__ = ["Chosen", "best_of", "checkpoints"]


@dataclass(frozen=True, slots=True)
class Chosen:
    """The training that was chosen.

    Attributes:
        job: Its job, whose tower has the best weights.
        outcome: How it went.
    """

    job: Job
    outcome: Outcome


def checkpoints(folder: Path, count: int) -> list[Path]:
    """Return the files that keep the state of ``count`` trainings."""
    return [folder / f"checkpoint{number or ''}.npz" for number in range(count)]


def best_of(
    jobs: Sequence[Job],
    schedule: Schedule,
    *,
    folder: Path,
    resume: bool = False,
    watch: Watch | None = None,
    tick: Tick | None = None,
) -> Chosen:
    """Do each job; return the first, or a later one whose judge finds it better by more than chance.

    Args:
        jobs: What to do, each with a tower of its own and all with the same texts held out.
        schedule: How long and how fast; a time limit is shared by the jobs in equal parts.
        folder: Directory of the checkpoints. Those that are done stay until all are.
        resume: Go on from the checkpoints; a job that has none, where one before it has, begins.
        watch: Called after every probe of each job.
        tick: Called after every step of each job.

    Raises:
        TrainingError: As ``Trainer.run``.
    """
    if schedule.time_limit is not None:
        schedule = replace(schedule, time_limit=schedule.time_limit / len(jobs))
    done: list[Chosen] = []
    for job, kept in zip(jobs, checkpoints(folder, len(jobs)), strict=True):
        again = resume and (not done or kept.exists())
        done.append(Chosen(job, Trainer(job, schedule, checkpoint=kept).run(resume=again, watch=watch, tick=tick)))
    chosen = done[0]
    for one in done[1:]:
        chosen = one if _better(one, chosen) else chosen
    return chosen


def _better(one: Chosen, other: Chosen) -> bool:
    """Return whether the 95 % interval of how much higher the values of one's judge are is above 0."""
    judge = one.job.judge or one.job.probe
    rises = judge.values(one.job.tower) - judge.values(other.job.tower)
    return interval(rises)[0] > 0
