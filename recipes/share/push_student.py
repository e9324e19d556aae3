"""`train-student --push-to-hub`: upload each finished student as a model. Only the files of the model travel, not the run's."""

from collections.abc import Callable, Sequence
from pathlib import Path

from ...errors import MiniEndError, ObjectStoreError
from ...runtime.launcher import leads
from ...runtime.progress import Log
from ...student_train.config import TrainConfig
from ...student_train.recorded import RECORD, RUN_FILE
from .front_matter import with_license
from .repository import README, Content, Repository

OF_THE_RUN = (RUN_FILE, RECORD, "metrics.jsonl")
"""The files beside a student that only its run needs; folders, such as its checkpoints, stay here too."""


def train_and_push(
    students: Sequence[TrainConfig], name: str, private: bool, train: Callable[[], object], log: Log
) -> None:
    """Make the repositories, train the students, and upload each. Students that are finished already are only uploaded.

    The repositories come first, so that a name or a token that cannot work costs no training. One student becomes NAME, several
    become NAME-SIZE-OBJECTIVE, after their folders.
    """
    repositories = [Repository("model", _name(name, one, len(students))) for one in students] if leads() else []
    for repository in repositories:
        repository.create(private)
    train()
    for repository, student in zip(repositories, students, strict=False):
        _push(repository, student.output, log)


def push_student(folder: Path, repository: Repository) -> None:
    """Upload a student in one commit."""
    files: dict[str, Content] = {
        path.name: path
        for path in sorted(folder.iterdir())
        if path.is_file() and not path.name.startswith(".") and path.name not in OF_THE_RUN
    }
    if README in files and README in repository.files():
        card = (folder / README).read_text(encoding="utf-8")
        files[README] = with_license(card, repository.text(README)).encode()
    repository.commit(files, "A student of MiniEnD")


def _push(repository: Repository, folder: Path, log: Log) -> None:
    try:
        push_student(folder, repository)
    except MiniEndError as error:
        raise ObjectStoreError(
            f"{folder} is trained, but not uploaded: {error}; the same command uploads it"
        ) from error
    log(f"uploaded: {repository.page}; its license is for you to say, in the README.md there")


def _name(name: str, student: TrainConfig, count: int) -> str:
    return name if count == 1 else f"{name}-{student.output.name}"
