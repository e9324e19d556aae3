"""`schedule.json`: the candidates with their scores, and which of them was chosen."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from ...errors import RunMismatchError
from ...runtime.durable import is_there, write_durably
from ...runtime.json_file import read_json
from ...storage.documents.parse import parse_plain
from ...storage.documents.values import Digest, Natural, Number, Positive

FILE = "schedule.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class CandidateRecord:
    """One candidate after the last step."""

    keep: Number
    heads: Positive
    d_ff: Positive
    parameters: Positive
    parameters_without_embeddings: Natural
    size: Number
    """Its parameters without embeddings over the teacher's."""
    gflops: Number
    """10^9 multiply-adds of one forward pass, by the paper's convention: 128 + 128 positions."""
    cross_entropy: Number
    """Hard-label cross-entropy on the validation examples, in nats per target token."""
    score: Number
    tradeoff: Number
    """score + lambda (1 - size)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ReignRecord:
    """The candidate that is chosen from a lambda on."""

    start: Number
    keep: Number


@dataclass(frozen=True, kw_only=True, slots=True)
class ScheduleRecord:
    """What `schedule.json` holds."""

    teacher: str
    teacher_digest: Digest
    cache_digest: str
    score: str
    tradeoff: Number
    """The lambda."""
    independent: bool
    steps: Positive
    assistant: Number
    """The fraction that the chosen candidate keeps."""
    target: Number
    candidates: tuple[CandidateRecord, ...]
    """The largest first."""
    reigns: tuple[ReignRecord, ...]
    """By ascending lambda, which candidate would be chosen."""


def write_schedule(folder: Path, record: ScheduleRecord) -> None:
    """Write the file, whole or not at all."""
    write_durably(folder / FILE, (json.dumps(asdict(record), indent=1) + "\n").encode())


def read_schedule(folder: Path) -> ScheduleRecord | None:
    """Return what the file in a folder holds; None if there is none. Raises RunMismatchError for a file that is not one."""
    path = folder / FILE
    if not is_there(path):
        return None
    try:
        return parse_plain(ScheduleRecord, read_json(path))
    except ValueError as error:
        raise RunMismatchError(f"{path} is not the record of a schedule ({error}); use another --output") from error
