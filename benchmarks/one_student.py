"""Build a student like `miniend train-student`, for scripts that take its steps themselves."""

from pathlib import Path
from typing import Any

import torch

from miniend.cache import Cache
from miniend.runtime.progress import silent
from miniend.student_train.config import TrainConfig
from miniend.student_train.objective import build_objective
from miniend.student_train.run.setup import Setup, build_learner, open_feed, set_up


def student_of(cache: Cache, device: torch.device, kind: type[TrainConfig] = TrainConfig, **settings: Any) -> Setup:
    """Return a fresh student with its own feed, in training mode; `settings` are fields of the configuration `kind`."""
    config = kind(cache=cache.path, output=Path("unused"), **{"steps": 10**6, **settings})
    objective = build_objective(config.objective, config.logits, config.weight, config.temperature, config.stacks)
    learner = build_learner(config, objective, cache, device)
    setup = set_up(learner, open_feed(cache, [learner.read], device), silent)
    setup.student.train()
    return setup
