"""What a loss on next-token logits compares them with, and its value and gradient on a chunk of positions.

For one position, with q = softmax(z / T) and the entries v of weight w that a target lists,

    listed    L = T^2 ( sum_v w_v (c_v - log q_v) + offset ),             dL/dz = T ( q sum_v w_v - w )
    one tail  L = T^2 ( sum_K p_v log(p_v / q_v) + m log(m / q_m) ),      dL/dz = T ( q_v - p_v on K, q_v (1 - m / q_m) off K )

Hard labels (w = 1, c = 0) and sampled and hybrid distributions are of the first form, top-k ones of the second. The tail's q_m
and the gradient off K come from a log-sum-exp over what is off K alone, never from 1 - sum. `logit_kl.sparse_kl` and torch's
`cross_entropy` on whole logits give the same numbers.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .code import SparseDistributions


@dataclass(frozen=True, slots=True)
class Entries:
    """Some outcomes of some positions, end to end."""

    position: Tensor
    """int64 [entries], ascending"""
    ids: Tensor
    """int64 [entries]"""
    weight: Tensor
    """float32 [entries]: the probability that an entry stands for"""
    log_p: Tensor
    """float32 [entries]: what -log q is added to, in nats; 0 where it belongs to no single entry"""


@dataclass(frozen=True, slots=True)
class LogitTarget:
    """What one loss compares the student's distributions with."""

    lists: tuple[Entries, ...]
    """entries add up; in one list a repeated id counts twice"""
    offset: Tensor | None = None
    """float32 [positions], nats: added to the loss"""
    tail_mass: Tensor | None = None
    """float32 [positions]: the mass of all else as one outcome; then there is one list, without repeats"""
    temperature: float = 1.0


def label_target(labels: Tensor) -> LogitTarget:
    """Cross-entropy with labels, int64 [positions]."""
    one = torch.ones(len(labels), device=labels.device)
    places = torch.arange(len(labels), device=labels.device)
    return LogitTarget((Entries(places, labels, one, torch.zeros_like(one)),))


def sparse_target(cached: SparseDistributions, temperature: float = 1.0) -> LogitTarget:
    """`sparse_kl` times T^2 of distributions decoded at temperature T, for logits divided by T."""
    head = Entries(cached.head_position, cached.head_ids, cached.head_log_p.exp(), cached.head_log_p)
    if cached.one_tail:
        return LogitTarget((head,), tail_mass=cached.tail_mass, temperature=temperature)
    drawn = Entries(cached.draw_position, cached.draw_ids, cached.draw_weight, torch.zeros_like(cached.draw_weight))
    return LogitTarget((head, drawn), offset=-cached.tail_entropy, temperature=temperature)


@dataclass(frozen=True, slots=True)
class ChunkEntries:
    """The entries of a chunk; `row` counts from its first position, `place` in its flattened logits."""

    row: Tensor
    place: Tensor
    weight: Tensor
    log_p: Tensor

    @classmethod
    def of(cls, entries: Entries, part: slice, first: int, vocabulary: int) -> "ChunkEntries":
        """The entries in `part`, of a chunk that starts with position `first`."""
        row = entries.position[part] - first
        return cls(row, row * vocabulary + entries.ids[part], entries.weight[part], entries.log_p[part])


def starts_of_chunks(entries: Entries, bounds: Sequence[int]) -> list[int]:
    """Where the entries of each chunk start, and where the last ends."""
    return torch.searchsorted(entries.position, torch.tensor(bounds, device=entries.position.device)).tolist()


def value_and_gradient(z: Tensor, target: LogitTarget, lists: list[ChunkEntries], rows: slice, wanted: bool) -> Tensor:
    """A chunk's sum of one loss; where wanted, z [positions, V] becomes its gradient over T, else it is used up."""
    if target.temperature != 1.0:
        z.div_(target.temperature)
    m = None if target.tail_mass is None else target.tail_mass[rows]
    value = _listed(z, lists, wanted) if m is None else _one_tail(z, lists[0], m, wanted)
    if target.offset is not None:
        value += target.offset[rows].sum()
    return value * target.temperature**2


def _listed(z: Tensor, lists: list[ChunkEntries], wanted: bool) -> Tensor:
    flat, zero = z.view(-1), z.new_zeros(len(z))
    picked = [flat[entries.place] for entries in lists]
    log_sum, total = _exponentials(z)
    value = z.new_zeros(())
    for entries, found in zip(lists, picked, strict=True):
        value += (entries.weight * (entries.log_p + log_sum[entries.row] - found)).sum()
    if wanted:
        for entries in lists:
            zero.index_add_(0, entries.row, entries.weight)
        z.mul_((zero / total)[:, None])
        for entries in lists:
            flat.index_add_(0, entries.place, entries.weight, alpha=-1)
    return value


def _one_tail(z: Tensor, head: ChunkEntries, m: Tensor, wanted: bool) -> Tensor:
    flat, tiny = z.view(-1), torch.finfo(z.dtype).tiny
    picked = flat[head.place]
    flat.index_fill_(0, head.place, float("-inf"))
    log_off, total_off = _exponentials(z)
    log_sum = torch.logaddexp(log_off, _log_sums_by_row(picked, head.row, len(z)))
    log_q = picked - log_sum[head.row]
    log_q_m = log_off - log_sum
    tail = torch.where(m > 0, m * (m.clamp_min(tiny).log() - log_q_m), 0.0)
    if wanted:
        z.mul_(((log_q_m.exp() - m) / total_off.clamp_min(tiny))[:, None])
        flat.index_copy_(0, head.place, log_q.exp() - head.weight)
    return (head.weight * (head.log_p - log_q)).sum() + tail.sum()


def _exponentials(z: Tensor) -> tuple[Tensor, Tensor]:
    """z [positions, V] becomes exp(z - its maximum); log of the sum of exp(z), and the sum of what z became, [positions]."""
    highest = z.amax(-1).clamp_min(torch.finfo(z.dtype).min)  # a row of -inf alone: its exponentials are zeros
    total = z.sub_(highest[:, None]).exp_().sum(-1)
    return total.log() + highest, total


def _log_sums_by_row(values: Tensor, row: Tensor, rows: int) -> Tensor:
    """log of the sum of exp of each row's values, [rows]; -inf for a row without any."""
    highest = values.new_zeros(rows).scatter_reduce(0, row, values, "amax", include_self=False)
    return torch.zeros_like(highest).index_add_(0, row, (values - highest[row]).exp()).log() + highest
