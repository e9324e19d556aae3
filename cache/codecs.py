"""Read the codecs that a published calibration describes."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from ..errors import damaged
from ..signals.codes.site_codec import PREDICTION, SiteCodec
from ..signals.kinds import kind_of
from ..signals.logits.code import LogitCode, logit_code_from
from ..signals.logits.states import StateHead
from ..signals.sites import site_from
from ..storage.documents.calibration import Calibration, SiteEntry
from ..storage.documents.parse import parse
from ..storage.documents.plan import Plan
from ..storage.folder import PublishedFolder

HEAD_COLUMN, NORM_COLUMN = "logits.head", "logits.norm"
"""The columns of the teacher's head [vocab_rows, d_model] and of its last norm's weight [d_model]."""


def read_codecs(folder: PublishedFolder, calibration: Calibration) -> dict[str, SiteCodec]:
    """Return the codecs of a published calibration by full site name, on the CPU; relations come first."""
    return {entry.site: _codec(folder, entry) for entry in calibration.entries}


def _codec(folder: PublishedFolder, entry: SiteEntry) -> SiteCodec:
    site = site_from(entry.site)
    names = [name for name in folder.columns if name.startswith(f"{site}.")]
    arrays = {name: torch.from_numpy(folder.column(name)) for name in names}
    for name, array in arrays.items():
        _require_finite(folder, name, array)
    steps = {place: code.step for place, code in entry.codes.items()}
    codec = kind_of(site).read(site, steps, members_of(entry, str(folder.path)), arrays)
    if entry.predicted_from is None:
        return codec
    predictions = {place: arrays[f"{site}.{place}.{PREDICTION}"] for place in entry.codes}
    return replace(codec, predicted_from=site_from(entry.predicted_from), predictions=predictions)


def members_of(entry: SiteEntry, where: str) -> Any:
    """Return what a site's entry has beside its codes, in the form of its kind (`SignalKind.entry`).

    Raises CacheDamagedError that names every member that does not fit; `where` names the document.
    """
    return parse(kind_of(site_from(entry.site)).entry, entry.others, f"{where}, in the entry of {entry.site},")


def read_logit_code(calibration: PublishedFolder, plan: Plan) -> LogitCode | None:
    """Return the plan's logit code with the calibration's order of ids, on the CPU; None for a cache without lists."""
    if plan.signals.logits is None or plan.signals.logits.from_states:
        return None
    order = torch.from_numpy(calibration.column("logits.order").astype(np.int64))
    if not torch.equal(order.sort().values, torch.arange(len(order))):
        raise damaged(calibration.path, f"logits.order should hold each id from 0 to {len(order) - 1:,} once")
    return logit_code_from(plan.signals.logits.body(), plan.teacher.facts.vocab_rows, order)


def read_state_head(calibration: PublishedFolder, plan: Plan) -> StateHead | None:
    """Return what makes distributions of the last states, on the CPU; None for a cache whose distributions are not from states.

    The head of a large teacher has gigabytes, so nobody should read it without need.
    """
    logits = plan.signals.logits
    if logits is None or logits.norm is None:
        return None
    weight, norm = (torch.from_numpy(calibration.column(name)) for name in (HEAD_COLUMN, NORM_COLUMN))
    for name, tensor in ((HEAD_COLUMN, weight), (NORM_COLUMN, norm)):
        _require_finite(calibration, name, tensor)
    return StateHead(norm=norm, epsilon=logits.norm.norm_epsilon, scale=plan.teacher.facts.head_scale, weight=weight)


def _require_finite(calibration: PublishedFolder, name: str, array: torch.Tensor) -> None:
    if not bool(array.isfinite().all()):
        raise damaged(calibration.path, f"its column {name} should hold finite numbers only")


def read_mean_probability(calibration: PublishedFolder) -> torch.Tensor | None:
    """Return the teacher's mean next-token distribution over the calibration examples; None for a cache without logits.

    It is float32 [vocab_rows].
    """
    name = "logits.mean_probability"
    return torch.from_numpy(calibration.column(name)) if name in calibration.columns else None
