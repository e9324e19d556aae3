"""Small models and batches for the tests of filters."""

import shutil

import torch

import miniend
from miniend.models.families import SpecialIds, family_of
from miniend.models.size import student_config
from miniend.models.start.fresh import build_student
from miniend.signals.filters.stage_one import Tokens

from .students import perturb, teacher_of

SPECIAL = SpecialIds(start=0, pad=0)
KINDS = {"tied": ("t5", True), "untied and gated": ("mt5", False), "umt5": ("umt5", False)}


def model_of(name, size="2E3D32H", dtype=torch.float64):
    kind, tied = KINDS[name]
    return perturb(build_student(student_config(size, teacher_of(kind)), tied, 3)).to(dtype).eval()


def tokens_for(model, seed=0, batch=3, inputs=9, targets=6, padding=0):
    """Random examples, ragged; `padding` more positions at the end change nothing that is valid."""
    chance = torch.Generator().manual_seed(seed)
    family, rows = family_of(model), int(model.config.vocab_size)
    ids = {"input": torch.randint(2, rows, (batch, inputs), generator=chance)}
    ids["target"] = torch.randint(2, rows, (batch, targets), generator=chance)
    valid = {axis: torch.ones_like(own, dtype=torch.bool) for axis, own in ids.items()}
    valid["input"][0, inputs - 3 :] = False
    valid["target"][1, targets - 2 :] = False
    pad = {"input": 0, "target": -100}
    ids = {axis: torch.nn.functional.pad(own, (0, padding), value=pad[axis]) for axis, own in ids.items()}
    valid = {axis: torch.nn.functional.pad(own, (0, padding)) for axis, own in valid.items()}
    ids = {axis: own.masked_fill(~valid[axis], pad[axis]) for axis, own in ids.items()}
    return Tokens(family.given(ids, SPECIAL), valid, ids["target"][valid["target"]])


def filtered_copy(home, folder, **more):
    """A copy of a home of states, whose cache has a filter of every layer, 12 numbers wide; beside it the teacher."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copytree(home / "cache", folder / "cache")
    shutil.copytree(home / "teacher", folder / "teacher")
    settings = {"filter_width": 12, "filter_steps": 6, "batch_size": 4, "device": "cpu", "quiet": True, **more}
    miniend.filters(cache=folder / "cache", teacher=folder / "teacher", **settings)
    return folder
