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
from ...runtime.claims import holds_files
from ...runtime.durable import write_durably
from ...runtime.identity import ANOTHER_OUTPUT, require_same
from ...runtime.json_file import read_json
from ...runtime.links import require_no_links
from ...runtime.options import identity_of, typed_by_identity
from ...runtime.plugins import digests
from ...runtime.there import look
from ...storage.documents.parse import parse_plain
from ...storage.documents.values import Natural, Positions
from ..config import TrainConfig

RUN_FILE = "run.json"
CHECKPOINTS = "checkpoints"
FIRST_WEIGHTS = "first_weights"
"""The member of run.json that has the SHA-256 of the weights that `--init` gave."""
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
    "student": "--size or --init",
    FIRST_WEIGHTS: "--init",
    "cache_part": "--cache",
    "cache_digest": "--cache",
}
"""What decides the members of run.json, as the user types it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PartRecord:
    """The part of the cache that a run takes, as `cache.Part`."""

    extents: Natural
    shards: Positions


@dataclass(frozen=True, kw_only=True, slots=True)
class RunRecord:
    """What `run.json` must hold. The members that identify the run are compared with this run's own."""

    cache_part: PartRecord
    plugins: Mapping[str, str] | None = None


def claim_output(config: TrainConfig, cache: Cache, student: Any) -> None:
    """Write run.json into a fresh output directory, or check that the run.json there describes this run.

    `student` is the model with its first weights.

    Raises RunMismatchError, which names what differs, for another run or a directory that holds other files or links.
    """
    require_no_links(config.output)
    path = config.output / RUN_FILE
    ours = _identity(config, cache, student)
    if path.exists():
        _, theirs = _read(path)
        require_same(f"{config.output} holds another run", theirs, ours, ANOTHER_OUTPUT, typed=TYPED)
        return
    if config.output.exists() and holds_files(config.output):
        raise RunMismatchError(
            f"{config.output} exists and does not hold a run of MiniEnD: it is {look(config.output).words}; name an empty or new "
            "directory"
        )
    config.output.mkdir(parents=True, exist_ok=True)
    init = None if config.init is None else true_name(config.init)
    document = {**ours, "init": init, PLUGINS: digests()}
    write_durably(path, (json.dumps(document, indent=1, sort_keys=True) + "\n").encode())


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
    return (output / "model.safetensors").exists()


def _identity(config: TrainConfig, cache: Cache, student: Any) -> dict[str, Any]:
    settings, shape = identity_of(config), student.config.to_dict()
    settings |= {
        "cache_part": asdict(cache.part),
        "cache_digest": cache.digest,
        FIRST_WEIGHTS: _first_weights(config, student),
    }
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
