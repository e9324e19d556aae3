"""The cost of an error in Q, K or V in relation KL: a quadratic form per relation head, in closed form.

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
from .relations import Relation, regroup, relation_log_probabilities, relation_logits, visible_keys

FLOOR = 1e-3
"""The cost added to every direction, relative to the most sensitive one. A student with other heads may need any direction, so
an error is never free."""

_WEIGHT = {"query": 1 / 3, "key": 1 / 3, "value": 1 / 3, "query_key": 1.0}
"""The share of each relation in the condition on KL that it belongs to (`fidelity.worst_share`)."""


def sensitivity(
    relations: Sequence[Relation], examples: Sequence[SiteSample], heads: int, inverse_temperature: Mapping[str, float]
) -> dict[str, Tensor]:
    """Return by tensor the KL per unit of error covariance and stored token, float64 [heads, d_r, d_r] on the CPU.

    `examples` hold one example each, and are averaged. The matrices are scaled so that the greatest diagonal element is 1 before
    FLOOR is added. A token of a longer axis weighs less, because more tokens share the cost.
    """
    total: dict[str, Tensor] = {}
    for one in examples:
        for relation in relations:
            left, right = _of_relation(relation, one, heads, inverse_temperature[relation.kind])
            for kind, part in ((relation.left, left), (relation.right, right)):
                total[kind] = total.get(kind, torch.zeros((), dtype=torch.float64)) + part.to("cpu", torch.float64)
    greatest = max(float(part.diagonal(dim1=-2, dim2=-1).max()) for part in total.values())
    width = next(iter(total.values())).shape[-1]
    even = torch.eye(width, dtype=torch.float64)
    if not greatest > torch.finfo(torch.float32).tiny:
        return {kind: even.expand(heads, width, width) for kind in total}
    return {kind: part / greatest + FLOOR * even for kind, part in total.items()}


def _of_relation(relation: Relation, one: SiteSample, heads: int, inverse_temperature: float) -> tuple[Tensor, Tensor]:
    """Return the forms [heads, d_r, d_r] of the left and the right side, per row of KL and token of the side's axis."""
    rows, keys = one.valid[relation.row_axis], one.valid[relation.key_axis]
    visible = visible_keys(rows, keys, relation.causal)
    logits = relation_logits(one.tensors[relation.left], one.tensors[relation.right], heads, inverse_temperature)
    p = relation_log_probabilities(logits, visible).exp()[0] * (visible * rows[:, None, :, None])[0]
    a, c = (regroup(one.tensors[side].float(), heads)[0] for side in (relation.left, relation.right))
    # sum_i Cov_p_i(c) = sum_j (sum_i p_ij) c_j c_j^T - sum_i E_i E_i^T  with  E_i = sum_j p_ij c_j
    expected = p @ c
    left = c.mT @ (c * p.sum(1)[..., None]) - expected.mT @ expected
    # sum_i (sum_j p_ij (1 - p_ij)) a_i a_i^T
    right = a.mT @ (a * (p * (1 - p)).sum(-1)[..., None])
    counts = max(1, int(rows.sum())), max(1, int(keys.sum()))
    # weight alpha^2 / (2 d_r R rows), and per token of the side: the mean KL of the R heads and the rows
    scale = _WEIGHT[relation.kind] * inverse_temperature**2 / (2 * math.prod((a.shape[-1], heads, counts[0])))
    return left * (scale / counts[0]), right * (scale / counts[1])
