"""The targets of losses on next-token logits, and a loss's value and gradient on a chunk of positions.

For one position, with q = softmax(z / T), the entries v of a target, their weights w_v and their constants c_v (`log_p`),

    listed    L = T^2 ( sum_v w_v (c_v - log q_v) + offset ),             dL/dz = T ( q sum_v w_v - w )
    one tail  L = T^2 ( sum_K p_v log(p_v / q_v) + m log(m / q_m) ),      dL/dz = T ( q_v - p_v on K, q_v (1 - m / q_m) off K )
    whole     L = T^2 sum_v p_v log(p_v / q_v),                           dL/dz = T ( q - p )

Hard labels (w = 1, c = 0) and sampled and hybrid distributions have the first form, top-k distributions the second, and
distributions from states (`states.py`) the third: their p is formed for a chunk and thrown away. The tail's q_m and the gradient
off K come from a log-sum-exp over only the ids off K, never from 1 - sum. `fidelity.sparse_kl` and torch's `cross_entropy` on
whole logits give the same numbers.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .code import SparseDistributions
from .states import StateDistributions


@dataclass(frozen=True, slots=True)
class Entries:
    """Some outcomes of some positions, end to end."""

    position: Tensor
    """The position of each entry, int64 [entries], ascending."""
    ids: Tensor
    """The id of each entry, int64 [entries]."""
    weight: Tensor
    """w above: the probability that an entry stands for, float32 [entries]."""
    log_p: Tensor
    """c above, to which -log q is added, in nats, float32 [entries]; 0 for labels and draws."""


@dataclass(frozen=True, slots=True)
class LogitTarget:
    """The target that one loss compares the student's distributions with."""

    lists: tuple[Entries, ...]
    """The entries, whose losses add up; a repeated id counts twice."""
    offset: Tensor | None = None
    """A constant that is added to the loss, in nats, float32 [positions]."""
    tail_mass: Tensor | None = None
    """The mass of all other ids as one outcome, float32 [positions]. Such a target has one list, without repeats."""
    whole: StateDistributions | None = None
    """Whole distributions, which each chunk forms anew. Such a target does not have lists."""
    temperature: float = 1.0


def label_target(labels: Tensor) -> LogitTarget:
    """Return the target of the cross-entropy with labels, int64 [positions]."""
    one = torch.ones(len(labels), device=labels.device)
    places = torch.arange(len(labels), device=labels.device)
    return LogitTarget((Entries(places, labels, one, torch.zeros_like(one)),))


def cached_target(cached: SparseDistributions | StateDistributions, temperature: float = 1.0) -> LogitTarget:
    """Return the target of T^2 KL(p^(1/T) || q^(1/T)), for lists decoded at temperature T or for states, which have every T."""
    if isinstance(cached, StateDistributions):
        return LogitTarget((), whole=cached, temperature=temperature)
    return sparse_target(cached, temperature)


def sparse_target(cached: SparseDistributions, temperature: float = 1.0) -> LogitTarget:
    """Return the target of T^2 times `sparse_kl` of logits divided by T, for distributions decoded at temperature T."""
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
        """Return the entries in `part`, for a chunk that starts at position `first`."""
        row = entries.position[part] - first
        return cls(row, row * vocabulary + entries.ids[part], entries.weight[part], entries.log_p[part])


def starts_of_chunks(entries: Entries, bounds: Sequence[int]) -> list[int]:
    """Return where the entries of each chunk start, and where the entries of the last chunk end."""
    return torch.searchsorted(entries.position, torch.tensor(bounds, device=entries.position.device)).tolist()


def value_and_gradient(z: Tensor, target: LogitTarget, lists: list[ChunkEntries], rows: slice, wanted: bool) -> Tensor:
    """Return a chunk's sum of one loss, in nats.

    The logits z [positions, V] are overwritten: by the gradient divided by T if it is wanted, else by numbers without meaning.
    """
    if target.temperature != 1.0:
        z.div_(target.temperature)
    if target.whole is not None:
        value = _whole(z, target.whole.log_p(rows, target.temperature), wanted)
    elif target.tail_mass is not None:
        value = _one_tail(z, lists[0], target.tail_mass[rows], wanted)
    else:
        value = _listed(z, lists, wanted)
    if target.offset is not None:
        value += target.offset[rows].sum()
    return value * target.temperature**2


def _listed(z: Tensor, lists: list[ChunkEntries], wanted: bool) -> Tensor:
    flat, zero = z.view(-1), z.new_zeros(len(z))
    picked = [flat[entries.place] for entries in lists]
    log_sum, total = _exponentials(z)
    value = z.new_zeros(())
    for entries, chosen in zip(lists, picked, strict=True):
        # w_v (c_v - log q_v),  -log q_v = log sum exp z - z_v
        value += (entries.weight * (entries.log_p + log_sum[entries.row] - chosen)).sum()
    if wanted:
        for entries in lists:
            zero.index_add_(0, entries.row, entries.weight)
        # q sum_v w_v - w, in place: z holds exp(z - max) by now
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
    # m log(m / q_m)
    tail = torch.where(m > 0, m * (m.clamp_min(tiny).log() - log_q_m), 0.0)
    if wanted:
        # off K:  q_v (1 - m / q_m) = exp(z_v) / (sum off K of exp z) (q_m - m);  on K:  q_v - p_v
        z.mul_(((log_q_m.exp() - m) / total_off.clamp_min(tiny))[:, None])
        flat.index_copy_(0, head.place, log_q.exp() - head.weight)
    return (head.weight * (head.log_p - log_q)).sum() + tail.sum()


def _whole(z: Tensor, log_p: Tensor, wanted: bool) -> Tensor:
    """Overwrite z and log p, both [positions, V]."""
    p = log_p.exp()
    # log q = z - log sum exp z, in place
    z.sub_(z.logsumexp(-1, keepdim=True))
    value = log_p.sub_(z).mul_(p).sum()
    if wanted:
        # q - p
        z.exp_().sub_(p)
    return value


def _exponentials(z: Tensor) -> tuple[Tensor, Tensor]:
    """Replace z [positions, V] by e = exp(z - max z); return log(sum of exp z) and the sum of e, [positions] each."""
    # finite even for a row of -inf, whose exponentials are then zeros
    highest = z.amax(-1).clamp_min(torch.finfo(z.dtype).min)
    total = z.sub_(highest[:, None]).exp_().sum(-1)
    return total.log() + highest, total


def _log_sums_by_row(values: Tensor, row: Tensor, rows: int) -> Tensor:
    """Return the log of the sum of exp of each row's values, [rows]; -inf for a row without values."""
    highest = values.new_zeros(rows).scatter_reduce(0, row, values, "amax", include_self=False)
    return torch.zeros_like(highest).index_add_(0, row, (values - highest[row]).exp()).log() + highest
