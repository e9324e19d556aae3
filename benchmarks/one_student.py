"""Build a student like `miniend train-student`, for scripts that take its steps themselves."""

from pathlib import Path
from typing import Any

from miniend.cache import Cache
from miniend.student_train.config import TrainConfig
from miniend.student_train.objective import build_objective, required_codecs
from miniend.student_train.run.processes import Processes
from miniend.student_train.run.setup import Setup, open_feed, set_up


def student_of(cache: Cache, processes: Processes, **settings: Any) -> Setup:
    """Return a fresh student with its own feed, in training mode; `settings` are fields of `TrainConfig`."""
    config = TrainConfig(cache=cache.path, output=Path("unused"), **{"steps": 10**6, **settings})
    objective = build_objective(
        config.objective, config.logits, config.cross_relation, config.weight, config.temperature
    )
    codecs = required_codecs(objective, cache)
    feed = open_feed(cache, [(objective, codecs)], processes.device)
    setup = set_up(config, feed, objective, codecs, lambda _line: None)
    setup.student.train()
    return setup
