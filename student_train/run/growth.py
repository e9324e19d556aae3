"""Runs that were continued: `--steps` was raised in a later command, from the latest checkpoint on.

The schedule is recomputed for the new number of steps and used from there on; warm-up stays as it was. So a run is decided by
its steps and by its stages, (step, steps): up to `step` the schedule was that of `steps`. run.json holds them, and a continued
run that is killed goes on to the same bits. A schedule that does not depend on the number of steps gives the student that the
larger number would have given from the start.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ...models.optimizers import learning_rate_at
from ...storage.documents.values import Natural, Positive
from ..config import StepSettings

WITHOUT_END = ("constant", "inverse-sqrt")
"""The schedules that do not depend on the number of steps."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Stage:
    """The steps of a run before it was continued."""

    step: Natural
    """The last step of the stage."""
    steps: Positive
    """The number of steps that the run was to have."""


def scheduled_steps(stages: Sequence[Stage], step: int, steps: int) -> int:
    """Return the number of steps whose schedule decides the rate of a step, in a run of `steps`."""
    return next((stage.steps for stage in stages if step <= stage.step), steps)


def continued(stages: Sequence[Stage], step: int, steps: int) -> tuple[Stage, ...]:
    """Return the stages of a run of `steps` that is continued from a checkpoint of `step`: of 0 there are none."""
    before = [stage for stage in stages if stage.step < step]
    return (*before, Stage(step=step, steps=scheduled_steps(stages, step, steps))) if step else ()


def describe_growth(config: StepSettings, stages: Sequence[Stage], output: Any) -> str:
    """Return a line on how a run is continued, of which `stages` are those with the one that has just ended."""
    if not stages:
        return f"{output} starts again for {config.steps:,} steps: it did not have a checkpoint yet"
    last, schedule = stages[-1], config.schedule
    warmup = f"{config.warmup:,} step{'' if config.warmup == 1 else 's'}"
    text = f"{output} is continued from step {last.step:,} to {config.steps:,} with its warm-up of {warmup}: "
    if schedule in WITHOUT_END:
        return text + (
            f"the {schedule} schedule does not depend on the number of steps, so it will be the student that "
            f"{config.steps:,} steps from the start give"
        )
    at = min(last.step + 1, config.steps)
    rate = learning_rate_at(at, config.steps, config.peak_learning_rate, config.warmup, schedule)
    return text + (
        f"from here on, the {schedule} schedule is that of {config.steps:,} steps, and the rate {rate:.2g}. It will not be the "
        f"student that {config.steps:,} steps from the start give, because its rate has fallen before"
    )


def describe_stages(stages: Sequence[Stage], steps: int) -> str:
    """Return a sentence on when a run was continued, which a repetition in one run is not; empty if it was not."""
    if not stages:
        return ""
    parts = [f"{stage.steps} steps up to step {stage.step}" for stage in stages]
    return f"The run was continued: a run of {', then of '.join(parts)}, then of {steps}. A repetition is one run of {steps}."


def describe_schedule(config: StepSettings, stages: Sequence[Stage]) -> str:
    """Return the schedule for the model card, with the steps at which the run was continued."""
    text = f"{config.schedule} after {config.warmup} warm-up steps"
    if not stages or config.schedule in WITHOUT_END:
        return text
    parts = [f"that of {stage.steps:,} steps up to step {stage.step:,}" for stage in stages]
    return f"{text}; {', '.join(parts)}, then that of {config.steps:,}"
