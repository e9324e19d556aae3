"""Attention relations: which ones a site has, their masks, entropies and KL divergence.

Legend: B batch, R relation heads, A and C the two factors, d_r = inner / R, alpha the inverse temperature.

    P = softmax( alpha * A C^T / sqrt(d_r) + mask )          B x R x rows x keys   (MiniLMv2, arXiv 2012.15828, section 3.1)
    KL = sum over valid rows and heads of KL(P_teacher || P_student), in nats

Q, K or V of width `inner` is regrouped into R relation heads regardless of the model's own heads. So teacher and student need
not have the same number of heads. Relations of the decoder's own positions are causal. Masked entries contribute exactly
zero, padded rows do not count, and everything is computed in float32. An inverse temperature of 1 is the published form; a
calibrated cache has one per relation kind.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...errors import ConfigurationError
from ...models.families import is_causal
from ..codes.code import CodePlace
from .blocked_kl import BlockedRelationKL, RowsToCompare

RELATION_HEADS = (32, 24, 16, 12, 8)
"""The numbers of relation heads that are tried, in this order. MiniMoE (same author as MiniEnD) has 32."""

STUDENT_HEADS = (64, 48, *RELATION_HEADS)
"""The numbers of relation heads for which a cache is made: those that a run takes by itself, and 48 and 64 of MiniLMv2."""

_ORDER = ("query", "key", "value", "query_key")
_LOWEST = torch.finfo(torch.float32).min


@dataclass(frozen=True, slots=True)
class Relation:
    """One relation of a site: for each token of `left` a softmax over the tokens of `right`, e.g. query-query or query-key."""

    kind: str
    left: str
    right: str
    row_axis: str
    key_axis: str

    @property
    def causal(self) -> bool:
        """Whether rows and keys are positions of one causal stack, which sees only the past."""
        return self.row_axis == self.key_axis and is_causal(self.row_axis)


def relations_of(axes: Mapping[str, str]) -> tuple[Relation, ...]:
    """Return QQ, KK and VV of an attention whose `query`, `key` and `value` are on these token axes.

    If queries and keys are on two axes (cross-attention), add QK, the attention distribution itself in relation heads.
    """
    same = tuple(Relation(kind, kind, kind, axis, axis) for kind, axis in axes.items())
    if axes["query"] == axes["key"]:
        return same
    return (*same, Relation("query_key", "query", "key", axes["query"], axes["key"]))


def axes_of(places: Sequence[CodePlace]) -> dict[str, str]:
    """Return the token axis of each tensor in these code places."""
    return {block: place.axis for place in places for block in place.blocks}


def default_relation_heads(*inner_widths: int) -> int:
    """Return the largest of 32, 24, 16, 12, 8 that divides every width, else the largest divisor up to 8."""
    common = math.gcd(*inner_widths)
    return next((heads for heads in RELATION_HEADS if common % heads == 0), _largest_divisor(common, 8))


def student_heads(inner: int) -> tuple[int, ...]:
    """Return the numbers of relation heads, most first, at which students may learn from a teacher of this inner width.

    They are the divisors of the width among STUDENT_HEADS, and the teacher's default number if there are none. The least of them
    divides the greatest.
    """
    return tuple(heads for heads in STUDENT_HEADS if inner % heads == 0) or (default_relation_heads(inner),)


def check_relation_heads(heads: int, **inner_widths: int) -> None:
    """Raise ConfigurationError, with the numbers that work, unless `heads` divides every named width."""
    common = math.gcd(*inner_widths.values())
    if heads < 1 or common % heads:
        widths = ", ".join(f"{name} {width}" for name, width in inner_widths.items())
        fitting = ", ".join(str(n) for n in range(1, min(common, 128) + 1) if common % n == 0)
        raise ConfigurationError(
            f"{heads} relation heads do not divide the Q/K/V widths ({widths}); these do: {fitting}"
        )


def _largest_divisor(number: int, limit: int) -> int:
    return max(n for n in range(1, limit + 1) if number % n == 0)


def regroup(tensor: Tensor, heads: int) -> Tensor:
    """Return [B, length, inner] as [B, heads, length, inner / heads]: the concatenated heads, split into relation heads."""
    batch, length, inner = tensor.shape
    return tensor.reshape(batch, length, heads, inner // heads).transpose(1, 2)


def relation_logits(left: Tensor, right: Tensor, heads: int, inverse_temperature: float = 1.0) -> Tensor:
    """Return alpha A C^T / sqrt(d_r), float32 [B, heads, rows, keys], for A [B, rows, inner] and C [B, keys, inner]."""
    a, c = regroup(left.float(), heads), regroup(right.float(), heads)
    return torch.matmul(a * (inverse_temperature / math.sqrt(a.shape[-1])), c.transpose(-1, -2))


def visible_keys(row_valid: Tensor, key_valid: Tensor, causal: bool) -> Tensor:
    """Return where a key is not padding and, if causal, not in the row's future: boolean [B, 1, rows, keys]."""
    visible = key_valid[:, None, None, :].expand(-1, 1, row_valid.shape[1], -1)
    if causal:
        visible = visible & torch.ones(visible.shape[-2:], dtype=torch.bool, device=visible.device).tril()
    return visible


def relation_log_probabilities(logits: Tensor, visible: Tensor) -> Tensor:
    """Return log softmax over the visible keys. Hidden keys get a finite, hugely negative number, so that 0 * log 0 is 0."""
    return logits.masked_fill(~visible, _LOWEST).log_softmax(-1).clamp_min(_LOWEST)


def relation_kl_sum(
    relation: Relation,
    teacher: Mapping[str, Tensor],
    student: Mapping[str, Tensor],
    valid: Mapping[str, Tensor],
    heads: int,
    inverse_temperature: float,
    row_step: int = 1,
) -> Tensor:
    """Return the sum over valid rows and heads of KL(P_teacher || P_student) for one relation, in nats.

    `teacher` and `student` map `query`, `key`, `value` to [B, length, inner] (the widths may differ). `valid` maps the token axes
    `input` and `target` to boolean [B, length]. Divide by `relation_rows(...)` for the mean. For estimates, `row_step` n takes
    only every n-th row.
    """
    rows = valid[relation.row_axis]
    compared = RowsToCompare(rows[:, ::row_step], row_step, valid[relation.key_axis], relation.causal)
    factors = [
        regroup(tensor, heads)
        for side in (student, teacher)
        for tensor in (side[relation.left][:, ::row_step], side[relation.right])
    ]
    total: Tensor = BlockedRelationKL.apply(*factors, compared, inverse_temperature)  # type: ignore[no-untyped-call]
    return total


def relation_kl_rows(
    relation: Relation,
    teacher: Mapping[str, Tensor],
    student: Mapping[str, Tensor],
    valid: Mapping[str, Tensor],
    heads: int,
    inverse_temperature: float,
) -> Tensor:
    """Return every KL(P_teacher || P_student) of one relation, in nats, [valid rows x heads] in an unspecified order.

    The arguments are as in `relation_kl_sum`, which is used in training; this function holds B x R x L x L numbers.
    """
    rows = valid[relation.row_axis]
    visible = visible_keys(rows, valid[relation.key_axis], relation.causal)
    log_p, log_q = (
        relation_log_probabilities(
            relation_logits(side[relation.left], side[relation.right], heads, inverse_temperature), visible
        )
        for side in (teacher, student)
    )
    kl = (log_p.exp() * (log_p - log_q)).sum(-1)
    return kl[rows[:, None].expand_as(kl)]


def relation_rows(relation: Relation, valid: Mapping[str, Tensor], heads: int, row_step: int = 1) -> int:
    """Return the number of KL divergences that `relation_kl_sum` adds: valid rows times heads."""
    return int(valid[relation.row_axis][:, ::row_step].sum()) * heads


def relative_entropy(
    relation: Relation,
    factors: Mapping[str, Tensor],
    valid: Mapping[str, Tensor],
    heads: int,
    inverse_temperature: float,
    row_step: int = 1,
) -> float:
    """Return the mean of entropy / ln(visible keys), 1 for uniform and 0 for one-hot relations.

    The mean is over heads and over valid rows with at least two visible keys; it is 1 if there are none.
    """
    rows = valid[relation.row_axis]
    visible = visible_keys(rows, valid[relation.key_axis], relation.causal)[:, :, ::row_step]
    logits = relation_logits(factors[relation.left][:, ::row_step], factors[relation.right], heads, inverse_temperature)
    log_p = relation_log_probabilities(logits, visible)
    keys = visible.sum(-1)
    relative = -(log_p.exp() * log_p).sum(-1) / keys.clamp_min(2).log()
    counted = ((keys >= 2) & rows[:, None, ::row_step]).expand_as(relative)
    return float(relative[counted].mean()) if counted.any() else 1.0


def carries_no_information(relative: float) -> bool:
    """Return whether a relation is uniform (relative entropy above 0.99) or one-hot (below 0.05).

    Such a relation teaches nothing about the tokens.
    """
    return relative > 0.99 or relative < 0.05


def ordered(kinds: Iterable[str]) -> list[str]:
    """Return kinds of relations in the order Q, K, V, QK, and others last; documents list them alphabetically."""
    return sorted(kinds, key=lambda kind: _ORDER.index(kind) if kind in _ORDER else len(_ORDER))
