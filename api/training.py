"""Train the students that a request asks for: one way for the command line and for Python."""

from collections.abc import Sequence
from functools import partial

from ..runtime.options import completed
from ..runtime.progress import Log
from ..runtime.there import require_there
from ..student_train.config import TrainConfig, TrainRequest, each_student


def train_each(
    request: TrainRequest, sizes: Sequence[str | None], objectives: Sequence[str], log: Log
) -> list[TrainConfig]:
    """Train one student per size and objective, upload them if the request asks for it, and return their configurations.

    The options of several in one pass are written above their folders.
    """
    config = completed(TrainConfig, request)
    students = each_student(config, sizes, objectives)
    require_there(config.cache)
    from ..student_train.recorded import record_of_pass
    from ..student_train.train import train_students

    record = record_of_pass(config, sizes, objectives) if len(students) > 1 else None
    train = partial(train_students, students, log, record=record)
    if request.push_to_hub is None:
        train()
    else:
        from ..recipes.share.push_student import train_and_push

        train_and_push(students, request.push_to_hub, request.hub_private_repo, train, log)
    return students
