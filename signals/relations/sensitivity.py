"""The cost of an error in Q, K or V in relation KL: a quadratic form per relation head, in closed form.

Students may use any of several numbers of heads, so the form is a mean over the numbers that the caller names.

Let alpha be the inverse temperature, s_ij = alpha a_i . c_j / sqrt(d_r), and p the softmax of s over j. For a small change of the
logits, KL(p || p') is half the variance of the change under p (the Fisher information of a softmax; Cover & Thomas, section
11.10). Independent errors of covariance S per token then cost, summed over the rows i,

    tr(S alpha^2 / (2 d_r) sum_i Cov_p_i(c))                 for errors of the rows a_i
    tr(S alpha^2 / (2 d_r) sum_ij p_ij (1 - p_ij) a_i a_i^T)   for errors of the keys c_j

We leave out the terms that couple the two sides of a self relation (i = j): they concern one of a row's many keys.
"""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from ..fidelity import SiteSample
from .fidelity import row_step
from .relations import Relation, regroup, relation_log_probabilities, relation_logits, visible_keys

FLOOR = 1e-3
"""The cost added to every direction, relative to the most sensitive one. A student with other heads may need any direction, so
an error is never free."""


def sensitivity(
    relations: Sequence[Relation],
    examples: Sequence[SiteSample],
    heads: Sequence[int],
    inverse_temperature: Mapping[str, float],
    rows: int | None = None,
) -> dict[str, Tensor]:
    """Return by tensor the KL per unit of error covariance and stored token, float64 [least, d, d] on the CPU.

    The KL is the mean over the relations and over the numbers of relation `heads`, whose `least` must divide the others; d is
    inner / least. `examples` hold one example each, and are averaged; `rows` takes about that many evenly spaced rows of each.
    The matrices are scaled so that the greatest diagonal element is 1 before FLOOR is added. A token of a longer axis weighs
    less, because more tokens share the cost.
    """
    total: dict[str, Tensor] = {}
    for one in examples:
        for relation in relations:
            for number in heads:
                sides = _of_relation(relation, one, number, inverse_temperature[relation.kind], rows)
                for kind, part in zip((relation.left, relation.right), sides, strict=True):
                    form = _in_groups(part.to("cpu", torch.float64), min(heads))
                    total[kind] = total.get(kind, torch.zeros((), dtype=torch.float64)) + form
    greatest = max(float(part.diagonal(dim1=-2, dim2=-1).max()) for part in total.values())
    width = next(iter(total.values())).shape[-1]
    even = torch.eye(width, dtype=torch.float64)
    if not greatest > torch.finfo(torch.float32).tiny:
        return {kind: even.expand(min(heads), width, width) for kind in total}
    return {kind: part / greatest + FLOOR * even for kind, part in total.items()}


def _in_groups(form: Tensor, groups: int) -> Tensor:
    """Return matrices [heads, d_r, d_r] as block-diagonal ones [groups, d, d], each of neighbouring heads."""
    heads, width, _ = form.shape
    each = heads // groups
    whole = form.new_zeros(groups, each, width, each, width)
    places = torch.arange(each)
    whole[:, places, :, places] = form.view(groups, each, width, width).transpose(0, 1)
    return whole.view(groups, each * width, each * width)


def _of_relation(
    relation: Relation, one: SiteSample, heads: int, inverse_temperature: float, at_most: int | None
) -> tuple[Tensor, Tensor]:
    """Return the forms [heads, d_r, d_r] of the left and the right side, per row of KL and token of the side's axis."""
    rows, keys = one.valid[relation.row_axis], one.valid[relation.key_axis]
    step = row_step(relation, one, at_most)
    taken = rows[:, ::step]
    visible = visible_keys(rows, keys, relation.causal)[:, :, ::step]
    left_rows, right_rows = one.tensors[relation.left][:, ::step], one.tensors[relation.right]
    logits = relation_logits(left_rows, right_rows, heads, inverse_temperature)
    p = relation_log_probabilities(logits, visible).exp()[0] * (visible * taken[:, None, :, None])[0]
    a, c = (regroup(side.float(), heads)[0] for side in (left_rows, right_rows))
    # sum_i Cov_p_i(c) = sum_j (sum_i p_ij) c_j c_j^T - sum_i E_i E_i^T  with  E_i = sum_j p_ij c_j
    expected = p @ c
    left = c.mT @ (c * p.sum(1)[..., None]) - expected.mT @ expected
    # sum_i (sum_j p_ij (1 - p_ij)) a_i a_i^T
    right = a.mT @ (a * (p * (1 - p)).sum(-1)[..., None])
    counted, *counts = (max(1, int(valid.sum())) for valid in (taken, rows, keys))
    # alpha^2 / (2 d_r R rows), and per token of the side: the mean KL of the R heads and the rows
    scale = inverse_temperature**2 / (2 * math.prod((a.shape[-1], heads, counted)))
    return left * (scale / counts[0]), right * (scale / counts[1])
