"""A run directory: which run it holds, whether the run is finished, and which part of the cache it takes.

`run.json` holds everything that decides the weights, including the part of the cache that existed when the run began. A resumed
run takes that part again, even if the dump has added shards. We refuse a directory that holds another run or something else.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ...cache import Cache, Part
from ...errors import RunMismatchError
from ...models.lent import true_name
from ...models.pretrained import tensor_digest
from ...models.size import Size
from ...runtime.claims import holds_files
from ...runtime.durable import flush, write_durably
from ...runtime.identity import ANOTHER_OUTPUT, require_same
from ...runtime.json_file import read_json
from ...runtime.links import require_no_links
from ...runtime.options import identity_of, typed_by_identity
from ...runtime.plugins import digests
from ...runtime.progress import Log, silent
from ...runtime.records import as_yaml, record_of, write_record_file
from ...runtime.there import look
from ...storage.documents.parse import parse_plain
from ...storage.documents.values import Natural, Positions, Positive
from ..config import TrainConfig
from ..objective import OBJECTIVES
from ..recorded import RECORD, RUN_FILE
from .checkpoint import latest_step
from .growth import Stage, continued, describe_growth, describe_stages

WEIGHTS = "model.safetensors"
CHECKPOINTS = "checkpoints"
FIRST_WEIGHTS = "first_weights"
"""The member of run.json that has the SHA-256 of the weights that `--init` gave."""
FILTERS, FILTERED_TERM = "filters_digest", "filtered"
"""The member of run.json that has the digest of the cache's filters, and the term that reads them."""
PLUGINS = "plugins"
"""The member of run.json that has the SHA-256 of every plugin's file."""
SHAPE = (
    "model_type",
    "vocab_size",
    "d_model",
    "d_kv",
    "d_ff",
    "num_heads",
    "num_layers",
    "num_decoder_layers",
    "feed_forward_proj",
)
TYPED = {
    **typed_by_identity(TrainConfig),
    "student": "--size, --init or --keep",
    FIRST_WEIGHTS: "--init",
    "candidates": "--keep",
    "sandwich_sample": "--sandwich-sample",
    "cache_part": "--cache",
    "cache_digest": "--cache",
    FILTERS: "the filters of --cache",
}
"""What decides the members of run.json, as the user types it."""


MORE_ONLY = "The --steps of a run can be raised, not lowered. Use as many as there are or more, or another --output"


@dataclass(frozen=True, kw_only=True, slots=True)
class PartRecord:
    """The part of the cache that a run takes, as `cache.Part`."""

    extents: Natural
    shards: Positions


@dataclass(frozen=True, kw_only=True, slots=True)
class RunRecord:
    """What `run.json` must hold. The members that identify the run are compared with this run's own."""

    cache_part: PartRecord
    steps: Positive | None = None
    stages: tuple[Stage, ...] = ()
    plugins: Mapping[str, str] | None = None


def claim_output(config: TrainConfig, cache: Cache, student: Any, log: Log = silent, grow: bool = True) -> None:
    """Write run.json into a fresh output directory, or check that the run.json there describes this run.

    `student` is the model with its first weights. With `grow`, a run of more steps is continued. Raises RunMismatchError, which
    names what differs, for another run or a directory that holds other files or links.
    """
    require_no_links(config.output)
    path = config.output / RUN_FILE
    ours = _identity(config, cache, student)
    if path.exists():
        record, theirs = _read(path)
        larger = grow and record.steps is not None and config.steps > record.steps
        compared = theirs | {"steps": config.steps} if larger else theirs
        fewer = record.steps is not None and config.steps < record.steps
        remedy = MORE_ONLY if fewer else ANOTHER_OUTPUT
        require_same(f"{config.output} holds another run", compared, ours, remedy, typed=TYPED)
        if larger:
            _continue(config, record, theirs, log)
        _keep_record(config, student)
        return
    if config.output.exists() and holds_files(config.output):
        raise RunMismatchError(
            f"{config.output} exists and does not hold a run of MiniEnD: it is {look(config.output).words}; name an empty or new "
            "directory"
        )
    config.output.mkdir(parents=True, exist_ok=True)
    document = {**ours, "init": config.init and true_name(config.init), PLUGINS: digests()}
    _write(path, document)
    _keep_record(config, student)


def _continue(config: TrainConfig, record: RunRecord, theirs: Mapping[str, Any], log: Log) -> None:
    """Write down that a run is continued with more steps, and remove the student of the fewer steps.

    The student is removed first. If we are killed in between, the run is the old one, whose student is made again.
    """
    assert record.steps is not None
    step, weights = latest_step(config.output / CHECKPOINTS), config.output / WEIGHTS
    if not step and weights.exists():
        raise RunMismatchError(
            f"{config.output} is finished and does not have a checkpoint any more, from which it could be continued: use another "
            f"--output, with --init {config.output}"
        )
    stages = continued(record.stages, step, record.steps)
    weights.unlink(missing_ok=True)
    flush(config.output)
    _write(config.output / RUN_FILE, {**theirs, "steps": config.steps, "stages": [asdict(stage) for stage in stages]})
    log(describe_growth(config, stages, config.output))


def _write(path: Path, document: Mapping[str, Any]) -> None:
    write_durably(path, (json.dumps(document, indent=1, sort_keys=True) + "\n").encode())


def _keep_record(config: TrainConfig, student: Any) -> None:
    """Write the options beside the student that they make, with the size in force; a finished student keeps its own.

    A sandwich has its options in the folder above it.
    """
    if is_finished(config.output) or config.candidates:
        return
    shape, size = student.config, config.size
    if size is None and config.init is None:
        size = str(Size(shape.num_layers, shape.num_decoder_layers, shape.d_model))
    record = record_of(config, size=size, init=config.init and true_name(config.init))
    note = describe_stages(stages_of(config.output), config.steps)
    write_record_file(config.output / RECORD, as_yaml("train-student", "--output", record, note))


def stages_of(output: Path) -> tuple[Stage, ...]:
    """Return the stages of the run in a directory, of which there are some if it was continued with more steps."""
    path = output / RUN_FILE
    return _read(path)[0].stages if path.exists() else ()


def steps_of(output: Path) -> int | None:
    """Return the number of steps that the run in a directory is to have; None if it does not hold one."""
    path = output / RUN_FILE
    return _read(path)[0].steps if path.exists() else None


def needs_training(config: TrainConfig) -> bool:
    """Return whether a run is not finished, or is to be continued."""
    return not is_finished(config.output) or (steps_of(config.output) or config.steps) < config.steps


def changed_plugins(output: Path) -> list[str]:
    """Return the names of the plugins' files that differ from those with which the run in this directory began.

    They do not belong to what identifies a run, because a comment in a plugin does not change any weight.
    """
    then, now = _read(output / RUN_FILE)[0].plugins or {}, digests()
    return sorted(name for name, digest in then.items() if now.get(name, digest) != digest)


def part_taken(output: Path) -> Part | None:
    """Return the part of the cache with which the run in this directory began; None for a directory without a run."""
    if not (output / RUN_FILE).exists():
        return None
    part = _read(output / RUN_FILE)[0].cache_part
    return Part(part.extents, part.shards)


def is_finished(output: Path) -> bool:
    """Return whether the run has written its model, which it does last."""
    return (output / WEIGHTS).exists()


def _identity(config: TrainConfig, cache: Cache, student: Any) -> dict[str, Any]:
    settings, shape = identity_of(config), student.config.to_dict()
    settings |= {
        "cache_part": asdict(cache.part),
        "cache_digest": cache.digest,
        FIRST_WEIGHTS: _first_weights(config, student),
        "candidates": [*config.candidates] or None,
        "sandwich_sample": config.sampled,
    }
    if any(spec.kind == FILTERED_TERM for spec in OBJECTIVES[config.objective]) and cache.filters_folder is not None:
        settings[FILTERS] = cache.filters_folder.digest
    settings |= {f"student.{name}": shape[name] for name in SHAPE}
    plain: dict[str, Any] = json.loads(json.dumps(settings))
    return plain


def _first_weights(config: TrainConfig, student: Any) -> str | None:
    """Return the SHA-256 of weights that came from elsewhere, whatever their path is; None for weights that the seed decides."""
    return None if config.init is None else tensor_digest(student.state_dict())


def _read(path: Path) -> tuple[RunRecord, dict[str, Any]]:
    """Return the record, and all of its members as they are."""
    try:
        document = read_json(path)
        return parse_plain(RunRecord, document), document
    except ValueError as error:
        raise RunMismatchError(
            f"{path} is not the record of a run ({error}); remove the directory or use another --output"
        ) from error
