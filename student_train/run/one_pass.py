"""The students of one pass over a cache: what they must have in common, how they are put together, whose their outputs are."""

from collections.abc import Sequence

from ...cache import Cache, open_cache
from ...errors import ConfigurationError, MiniEndError
from ...runtime.options import flag_of, marked
from ...runtime.progress import Say
from ..config import ONE_PASS, TrainConfig
from ..objective import build_objective
from .directory import RUN_FILE, claim_output, is_finished, part_taken
from .processes import Processes
from .setup import Setup, build_learner, open_feed, set_up


def require_one_pass(configs: Sequence[TrainConfig], world: int) -> None:
    """Raise ConfigurationError where settings differ that one pass has in common, two students have one output, or a batch does
    not divide among the processes."""
    for name in marked(TrainConfig, ONE_PASS):
        if len({getattr(config, name) for config in configs}) > 1:
            raise ConfigurationError(
                f"students in one pass need the same {flag_of(TrainConfig, name)}; train them one by one"
            )
    if len({config.output for config in configs}) < len(configs):
        raise ConfigurationError("students in one pass need an output of their own each; name none of them twice")
    size, passes = configs[0].batch_size, configs[0].gradient_accumulation_steps
    if size % (passes * world):
        raise ConfigurationError(
            f"--batch-size {size} does not divide among {world} processes with --gradient-accumulation-steps {passes}"
        )


def set_up_all(configs: Sequence[TrainConfig], processes: Processes, say: Say) -> list[Setup]:
    """Set up every student. Unfinished students share one feed; finished ones do not add columns to it."""
    cache = _open(configs)
    objectives = [build_objective(c.objective, c.logits, c.weight, c.temperature) for c in configs]
    learners = [
        build_learner(config, objective, cache, processes.device)
        for config, objective in zip(configs, objectives, strict=True)
    ]
    finished = [is_finished(config.output) for config in configs]
    unfinished = [learner.terms for learner, done in zip(learners, finished, strict=True) if not done]
    shared = open_feed(cache, unfinished, processes.device)
    setups = []
    for learner, done in zip(learners, finished, strict=True):
        if len(configs) > 1:
            say(f"{learner.config.output.name}:")
        feed = open_feed(cache, [learner.terms], processes.device) if done else shared
        setups.append(set_up(learner, feed, say))
    return setups


def _open(configs: Sequence[TrainConfig]) -> Cache:
    parts = [part for config in configs if (part := part_taken(config.output))]
    cache = open_cache(configs[0].cache, configs[0].allow_unfinished, parts[0] if parts else None)
    if not len(cache.training):
        raise ConfigurationError(f"{cache.path} has no training examples published yet; run dump-teacher again")
    return cache


def claim_outputs(setups: Sequence[Setup], processes: Processes) -> None:
    """The main process claims the output directories; the others find what it wrote, or fail with it.

    Raises RunMismatchError for a directory of another run, ConfigurationError where a process does not see it.
    """
    refused = _refusal(setups) if processes.main else None
    if processes.sum([float(refused is not None)])[0]:
        raise refused or ConfigurationError("the main process refused its output; see what it said")
    if not processes.main:
        missing = [setup.config.output for setup in setups if not (setup.config.output / RUN_FILE).exists()]
        refused = _refusal(setups) if not missing else _unseen(missing[0])
    if processes.sum([float(refused is not None)])[0]:
        raise refused or ConfigurationError("another process refused its output; see what it said")


def _unseen(output: object) -> ConfigurationError:
    return ConfigurationError(
        f"{output} is not what the main process wrote; all processes need one file system in common for --output"
    )


def _refusal(setups: Sequence[Setup]) -> MiniEndError | None:
    try:
        for setup in setups:
            claim_output(setup.config, setup.feed.cache, setup.student.config.to_dict())
    except MiniEndError as error:
        return error
    return None


def require_same_steps(steps: Sequence[int], processes: Processes) -> None:
    """Raise ConfigurationError, everywhere, where processes have found checkpoints of different steps."""
    found = processes.gather([tuple(steps)])
    if len(set(found)) > 1:
        raise ConfigurationError(
            f"processes found checkpoints of different steps, {found}; they need one file system in common for --output"
        )
