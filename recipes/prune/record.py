"""`pruning.json` beside a sorted teacher: how its heads and neurons were ordered, and what each keep fraction leaves of it."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from ...errors import RunMismatchError
from ...models.pruning.widths import RECORD
from ...runtime.durable import is_there, write_durably
from ...runtime.json_file import read_json
from ...storage.documents.parse import parse_plain
from ...storage.documents.values import Digest, Natural, Number, Positive


@dataclass(frozen=True, kw_only=True, slots=True)
class RemovalRecord:
    """One round of an elimination."""

    units: tuple[Natural, ...]
    loss: Number
    """The loss without these and all that were removed before, in nats per target token."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GroupRecord:
    """The heads or neurons that have one order."""

    kind: str
    """`heads` or `neurons`."""
    order: tuple[Natural, ...]
    """Their numbers in the unsorted teacher, the most important first."""
    scores: tuple[Number, ...] | None = None
    """By number, the score of the gradient; None for heads that were measured."""
    removals: tuple[RemovalRecord, ...] | None = None
    """The rounds of the elimination; None for orders by the gradient."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """A smaller model: what a keep fraction leaves."""

    keep: Number
    heads: Positive
    d_ff: Positive
    parameters: Positive
    parameters_without_embeddings: Natural
    gflops: Number
    """10^9 multiply-adds of one forward pass, by the paper's convention: 128 + 128 positions."""
    cross_entropy: Number | None
    """Hard-label cross-entropy on the cache's validation examples before any training; None if the cache has none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PruningRecord:
    """What `pruning.json` holds."""

    teacher: str
    teacher_digest: Digest
    """The SHA-256 of the teacher's tensors, as the cache has it."""
    plan_digest: Digest
    """The digest of the cache's plan, which stays the same when the cache grows."""
    cache_digest: Digest
    importance: str
    examples: tuple[Natural, ...]
    """The numbers of the training examples that importance was measured on."""
    loss: Number
    """The teacher's loss on them, in nats per target token."""
    validation_examples: Natural
    """The number of examples behind the losses of the table."""
    groups: Mapping[str, GroupRecord]
    table: tuple[Row, ...]


def write_pruning(folder: Path, record: PruningRecord) -> None:
    """Write the file, whole or not at all."""
    write_durably(folder / RECORD, (json.dumps(asdict(record), indent=1) + "\n").encode())


def read_pruning(folder: Path) -> PruningRecord | None:
    """Return what the file in a folder holds; None if there is none. Raises RunMismatchError for a file that is not one."""
    path = folder / RECORD
    if not is_there(path):
        return None
    try:
        return parse_plain(PruningRecord, read_json(path))
    except ValueError as error:
        raise RunMismatchError(
            f"{path} does not say how a teacher was sorted ({error}); use another --output"
        ) from error
