"""Set up the students of one pass over a cache: check what they must share, build them, and claim their outputs."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from ...cache import Cache, open_cache
from ...errors import ConfigurationError, MiniEndError
from ...runtime.claims import sole_writer
from ...runtime.options import flag_of, marked
from ...runtime.progress import Log, silent
from ..config import ONE_PASS, TrainConfig
from ..objective import build_objective
from ..recorded import RUN_FILE
from .directory import claim_output, needs_training, part_taken
from .processes import Processes
from .setup import Setup, build_learner, open_feed, set_up

BY_THE_MAIN_PROCESS = "the main process refused its output; see what it said"


def require_one_pass(configs: Sequence[TrainConfig], world: int) -> None:
    """Raise ConfigurationError if the students of one pass cannot train together.

    They must agree in the settings that one pass shares and have different outputs, and a batch must divide among the processes.
    """
    for name in marked(TrainConfig, ONE_PASS):
        if len({getattr(config, name) for config in configs}) > 1:
            raise ConfigurationError(
                f"students in one pass need the same {flag_of(TrainConfig, name)}; train them one by one"
            )
    if len({config.output for config in configs}) < len(configs):
        raise ConfigurationError("each student in one pass needs its own output; do not name one twice")
    size, passes = configs[0].batch_size, configs[0].gradient_accumulation_steps
    if size % (passes * world):
        raise ConfigurationError(
            f"--batch-size {size} does not divide among {world} processes with --gradient-accumulation-steps {passes}"
        )


def set_up_all(configs: Sequence[TrainConfig], processes: Processes, log: Log) -> list[Setup]:
    """Set up every student. Unfinished students share one feed; finished ones do not add columns to it."""
    cache = _open(configs)
    if cache.has_grown:
        log(f"the run goes on with the {len(cache.training):,} examples with which it began; the cache has more by now")
    objectives = [build_objective(c.objective, c.logits, c.weight, c.temperature, c.stacks) for c in configs]
    learners = [
        build_learner(config, objective, cache, processes.device)
        for config, objective in zip(configs, objectives, strict=True)
    ]
    finished = [not needs_training(config) for config in configs]
    unfinished = [learner.read for learner, done in zip(learners, finished, strict=True) if not done]
    shared = open_feed(cache, unfinished, processes.device)
    setups = []
    for learner, done in zip(learners, finished, strict=True):
        if len(configs) > 1:
            log(f"{learner.config.output.name}:")
        feed = open_feed(cache, [learner.read], processes.device) if done else shared
        setups.append(set_up(learner, feed, log, measured=not done))
    return setups


def _open(configs: Sequence[TrainConfig]) -> Cache:
    parts = [part for config in configs if (part := part_taken(config.output))]
    cache = open_cache(configs[0].cache, configs[0].allow_unfinished, parts[0] if parts else None)
    if not len(cache.training):
        raise ConfigurationError(f"{cache.path} does not have published training examples yet; run dump-teacher again")
    size = configs[0].batch_size
    if len(cache.training) < size:
        raise ConfigurationError(
            f"--batch-size {size} is larger than the {len(cache.training)} training examples of {cache.path}: lower it, or dump "
            "more with --examples"
        )
    return cache


@contextmanager
def sole_writers(configs: Sequence[TrainConfig], processes: Processes) -> Iterator[None]:
    """Let the main process be the only writer of every output inside the block; finished runs are not written.

    Raises in all processes what `sole_writer` raises in the main one.
    """
    with ExitStack() as held:
        refused = None
        if processes.main:
            try:
                for config in configs:
                    if needs_training(config):
                        held.enter_context(sole_writer(config.output))
            except MiniEndError as error:
                refused = error
        _raise_together(refused, processes, BY_THE_MAIN_PROCESS)
        yield


def claim_outputs(setups: Sequence[Setup], processes: Processes, log: Log = silent, grow: bool = True) -> None:
    """Let the main process claim the output directories; the others check what it wrote, or fail with it.

    Raises RunMismatchError for a directory of another run, ConfigurationError if a process does not see the directory.
    """
    refused = _refusal(setups, log, grow) if processes.main else None
    _raise_together(refused, processes, BY_THE_MAIN_PROCESS)
    if not processes.main:
        missing = [setup.config.output for setup in setups if not (setup.config.output / RUN_FILE).exists()]
        refused = _refusal(setups, log, grow) if not missing else _unseen(missing[0])
    _raise_together(refused, processes, "another process refused its output; see what it said")


def _raise_together(refused: MiniEndError | None, processes: Processes, otherwise: str) -> None:
    """Raise in every process if any of them refused: its own error, or a ConfigurationError with the text `otherwise`."""
    if processes.sum([float(refused is not None)])[0]:
        raise refused or ConfigurationError(otherwise)


def _unseen(output: object) -> ConfigurationError:
    return ConfigurationError(
        f"{output} is not what the main process wrote; all processes need a shared file system for --output"
    )


def _refusal(setups: Sequence[Setup], log: Log, grow: bool) -> MiniEndError | None:
    try:
        for setup in setups:
            claim_output(setup.config, setup.feed.cache, setup.student, log, grow)
    except MiniEndError as error:
        return error
    return None


def require_same_steps(steps: Sequence[int], processes: Processes) -> None:
    """Raise ConfigurationError in every process if they have found checkpoints of different steps."""
    gathered = processes.gather([tuple(steps)])
    if len(set(gathered)) > 1:
        raise ConfigurationError(
            f"processes found checkpoints of different steps, {gathered}; they need a shared file system for --output"
        )
