"""Next-token distributions as sparse lists of integers: `top-k`, `sampled` and `hybrid`.

Every kind has a head, kept exactly up to rounding, and a tail of mass m = 1 - sum of the head's DECODED probabilities. The
normalizer is always the full vocabulary's; we never renormalize over the kept entries.

- `top-k`    The head is the k most probable ids (with `top_p` below 1 the fewest of them that hold this mass). The tail is one
             outcome.
- `sampled`  No head: N draws from the whole distribution (random-sampling distillation, Anshumann et al. 2025, "Sparse Logit
             Sampling", but see `draws.py` for how we draw).
- `hybrid`   The head is all ids with p >= 1/N; the rest is drawn, with weights of about 1/N. This is threshold sampling, which
             has the least variance among unbiased sparse lists of its length (Duffield, Lund, Thorup 2005, "Estimating flow
             distributions from sampled flow statistics"). Confident positions have short lists, flat positions long ones.

A head is stored by falling probability, as log-ratios between neighbours in units of a step. So every outcome keeps its
relative precision, even a tail of 1e-4 behind a confident head:

    level 0      round( log(p_0 / m) / step )              may be negative; 0 if the head is the whole vocabulary
    level j > 0  round(u_j) - round(u_(j-1)),  u_j = log(p_0 / p_j) / step      not negative

Decoding adds them up and normalizes over head and tail. Ids are stored as ranks in the order of the teacher's mean
probability. Entries of equal level are sorted by rank, and all but the first are stored as the difference to the one before.

At another temperature T the distribution is p^(1/T) over its sum. The head's log-ratios are divided by T. The tail's level is
stored for each T that the dump names, as round( log(p_0^(1/T) / sum off the head of p^(1/T)) / step ). Only `top-k` has other
temperatures, because draws from p stand for p.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor

from .draws import draw_tail

ENTROPY_STEP = 1 / 8
"""The quantizer step of `tail_entropies`, in nats. It shifts only logged values, and rounding averages out over positions."""

_LEAST_TAIL = 1e-7
"""The smallest tail that 1 - sum in float32 can resolve."""


@dataclass(frozen=True, slots=True)
class LogitIntegers:
    """The stored integers of some positions, int32 each. The lists of all positions are laid end to end."""

    head_sizes: Tensor
    """The number of entries of each head, [positions]."""
    head_codes: Tensor
    """Ranks, or rank differences where the level is 0 inside a head, [head entries]."""
    head_levels: Tensor
    """The levels above, [head entries]."""
    draw_sizes: Tensor
    """The number of draws, [positions]."""
    draw_ranks: Tensor
    """The ranks that were drawn, ascending within a position, with repeats, [draws]."""
    tail_entropies: Tensor
    """The entropy sum of the tail, -sum of p log p, in units of ENTROPY_STEP, [positions]."""
    tail_levels: Tensor
    """Level 0 at the code's other temperatures, [temperatures, positions]; 0 if the head is the whole vocabulary."""

    def to(self, device: torch.device | str) -> "LogitIntegers":
        """Return the same integers on a device."""
        return LogitIntegers(*(getattr(self, f.name).to(device, non_blocking=True) for f in fields(self)))


def join_integers(parts: list[LogitIntegers]) -> LogitIntegers:
    """Return the positions of several parts, end to end."""
    return LogitIntegers(*(torch.cat([getattr(part, f.name) for part in parts], dim=-1) for f in fields(LogitIntegers)))


@dataclass(frozen=True, slots=True)
class SparseDistributions:
    """Decoded distributions of some positions."""

    head_position: Tensor
    """The position of each head entry, int64 [head entries], ascending."""
    head_ids: Tensor
    """The id of each head entry, int64 [head entries]."""
    head_log_p: Tensor
    """Natural logarithms of probabilities, float32 [head entries]."""
    tail_mass: Tensor
    """The probability off the head, float32 [positions]; 1 for an empty head."""
    draw_position: Tensor
    """The position of each draw, int64 [draws], ascending."""
    draw_ids: Tensor
    """The id of each draw, int64 [draws]; a repeat counts twice."""
    draw_weight: Tensor
    """The probability that a draw stands for, float32 [draws]."""
    tail_entropy: Tensor
    """The entropy sum of the tail, -sum of p log p, in nats, float32 [positions]."""
    one_tail: bool
    """Whether the tail is one outcome (top-k) rather than draws."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LogitCode:
    """The encoder and decoder of one kind."""

    kind: str
    k: int
    """The length of the longest head; 0 for `sampled`."""
    top_p: float
    """The probability at which a top-k head may end."""
    draws: int
    """N above; 0 for `top-k`."""
    step: float
    """The quantizer step of log-probabilities, in nats."""
    vocab_rows: int
    order: Tensor
    """The ids that may be kept or drawn, by falling mean probability of the teacher, int64 [tokenizer size]."""
    temperatures: tuple[float, ...] = ()
    """The temperatures other than 1 at which `top-k` can be decoded."""

    def encode(self, log_p: Tensor, uniforms: Tensor) -> LogitIntegers:
        """Return the integers of full log-probabilities, float32 [positions, vocab_rows], on their device.

        `uniforms`, float64 [positions] in [0, 1), decide the draws. Vocabulary rows beyond the tokenizer's ids stay in the
        normalizer and in the tail, but are never kept or drawn.
        """
        kept, ids, sizes = self._head(log_p)
        inside = torch.arange(kept.shape[1], device=kept.device) < sizes[:, None]
        tail = _mass_off(kept, inside)
        codes, levels = self._head_integers(kept, self._ranks_of(ids), inside, tail)
        draws, draw_sizes, entropies = self._tail_integers(log_p, ids, inside, tail, uniforms)
        tempered = self._tail_levels(log_p, ids, inside)
        integers = (sizes, codes[inside], levels[inside], draw_sizes, draws, entropies, tempered)
        return LogitIntegers(*(tensor.to(torch.int32) for tensor in integers))

    def _head(self, log_p: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return log p and ids of the most probable entries, [positions, width] each, and how many of them are the head."""
        kept, ids = log_p[:, : len(self.order)].topk(min(self.k, len(self.order)), dim=-1)
        if self.kind == "hybrid":
            return kept, ids, (kept.exp() >= 1.0 / self.draws).sum(-1)
        sizes = torch.full((len(log_p),), kept.shape[1], device=log_p.device)
        if self.top_p < 1.0:
            sizes = ((kept.exp().cumsum(-1) < self.top_p).sum(-1) + 1).clamp_max(kept.shape[1])
        return kept, ids, sizes

    def _ranks_of(self, ids: Tensor) -> Tensor:
        ranks = torch.empty_like(self.order)
        ranks[self.order] = torch.arange(len(self.order), device=self.order.device)
        return ranks[ids]

    def _head_integers(self, kept: Tensor, ranks: Tensor, inside: Tensor, tail: Tensor) -> tuple[Tensor, Tensor]:
        """Return codes and levels, int64 [positions, width]; the numbers outside of a head are arbitrary.

        `kept` and `ranks` are log p and ranks [positions, width] of the entries, of which `inside` marks the head; `tail` is the
        mass off it, [positions].
        """
        if not kept.shape[1]:
            return ranks, ranks
        first = kept[:, :1]
        # b_j = round(u_j) = round( log(p_0 / p_j) / step ), and for entries outside of the head a number above all of these
        below = ((first - kept) / self.step).round().long()
        beyond = int(below.max()) + 1 if below.numel() else 1
        below = torch.where(inside, below, beyond)
        # sorted by (b, rank): rounding can tie neighbours, and ascending ranks have small differences
        below, place = _sorted_by(below, ranks, len(self.order))
        ranks = ranks.gather(-1, place)
        # level_j = b_j - b_(j-1) for j > 0
        levels = torch.diff(below, dim=-1, prepend=below[:, :1])
        tied = levels == 0
        tied[:, 0] = False
        # code_j = rank_j - rank_(j-1) where b_j = b_(j-1), else rank_j
        codes = torch.where(tied, torch.diff(ranks, dim=-1, prepend=ranks[:, :1]), ranks)
        # level_0 = round( log(p_0 / m) / step )
        levels[:, 0] = self._tail_level(first[:, 0], tail, inside)
        return codes, levels

    def _tail_level(self, first: Tensor, tail: Tensor, inside: Tensor) -> Tensor:
        """Return log(p_0 / m) in steps, int64 [positions]; 0 if the head is the whole vocabulary."""
        level = ((first - tail.clamp_min(_LEAST_TAIL).log()) / self.step).round().long()
        return torch.where(inside.sum(-1) < self.vocab_rows, level, 0)

    def _tail_levels(self, log_p: Tensor, ids: Tensor, inside: Tensor) -> Tensor:
        """Return the tail's level at every other temperature, int64 [temperatures, positions]."""
        levels = [torch.empty((0, len(log_p)), dtype=torch.int64, device=log_p.device)]
        for temperature in self.temperatures:
            kept = (log_p / temperature).log_softmax(-1).gather(-1, ids)
            levels.append(self._tail_level(kept[:, 0], _mass_off(kept, inside), inside)[None])
        return torch.cat(levels)

    def _tail_integers(
        self, log_p: Tensor, ids: Tensor, inside: Tensor, tail: Tensor, uniforms: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the ranks of the draws end to end, the number of draws per position, and the tail entropies in steps."""
        if not self.draws:
            nothing = torch.zeros(len(log_p), dtype=torch.int32, device=log_p.device)
            return nothing[:0], nothing, nothing
        p = log_p.exp()
        kept, kept_log = p.gather(-1, ids), log_p.gather(-1, ids)
        # -sum off the head of p log p  =  sum over the head of p log p - sum over all ids of p log p
        whole = torch.einsum("ij,ij->i", p, log_p)
        entropies = torch.where(inside, kept * kept_log, 0.0).sum(-1) - whole
        p.scatter_(-1, ids, torch.where(inside, 0.0, kept))
        draws, sizes = draw_tail(p.index_select(1, self.order), tail, self.draws, uniforms.to(log_p.device))
        return draws, sizes, (entropies / ENTROPY_STEP).round().clamp_min(0.0)

    def decode(self, stored: LogitIntegers, temperature: float = 1.0) -> SparseDistributions:
        """Return the distributions of stored positions, on the device of the integers.

        `temperature` is 1 or one of the code's temperatures.
        """
        sizes = stored.head_sizes.long()
        position = torch.repeat_interleave(torch.arange(len(sizes), device=sizes.device), sizes)
        ranks, below, to_tail = _head_from(stored.head_codes.long(), stored.head_levels.long(), sizes, position)
        if temperature != 1.0:
            to_tail = stored.tail_levels[self.temperatures.index(temperature)].long()
        log_p, tail_mass = self._normalized(below.float() * (-self.step / temperature), to_tail, sizes, position)
        draw_sizes = stored.draw_sizes.long()
        drawn = torch.repeat_interleave(torch.arange(len(sizes), device=sizes.device), draw_sizes)
        weight = tail_mass.clamp_min(1.0 / max(1, self.draws)) / draw_sizes.clamp_min(1)
        return SparseDistributions(
            head_position=position,
            head_ids=self.order[ranks],
            head_log_p=log_p,
            tail_mass=tail_mass,
            draw_position=drawn,
            draw_ids=self.order[stored.draw_ranks.long()],
            draw_weight=weight[drawn],
            tail_entropy=stored.tail_entropies.float() * ENTROPY_STEP,
            one_tail=not self.draws,
        )

    def _normalized(self, relative: Tensor, to_tail: Tensor, sizes: Tensor, position: Tensor) -> tuple[Tensor, Tensor]:
        """Return the log-probabilities of the head's entries and the tail's mass [positions], which sum to one.

        `relative` is log(p_j / p_0) of the entries, `to_tail` is log(p_0 / m) in steps, [positions].
        """
        head = torch.zeros(len(sizes), device=relative.device).index_add(0, position, relative.exp()).log()
        tail = torch.where(sizes < self.vocab_rows, to_tail.float() * -self.step, float("-inf"))
        tail = torch.where(sizes > 0, tail, 0.0)
        normalizer = torch.logaddexp(head, tail)
        return relative - normalizer[position], (tail - normalizer).exp()

    def to(self, device: torch.device | str) -> "LogitCode":
        """Return the code with its table on a device."""
        return replace(self, order=self.order.to(device))


def logit_code_from(description: Mapping[str, Any], vocab_rows: int, order: Tensor) -> LogitCode:
    """Rebuild a code from the plan's description and the calibration's order of ids."""
    return LogitCode(
        kind=str(description["kind"]),
        k=int(description["k"]),
        top_p=float(description["top_p"]),
        draws=int(description["draws"]),
        step=float(description["step"]),
        temperatures=tuple(map(float, description["temperatures"])),
        vocab_rows=vocab_rows,
        order=order.long(),
    )


def rank_order(mean_probability: Tensor, allowed: int) -> Tensor:
    """Return the ids below `allowed` by falling mean probability, the smaller id first among equals: int64 [allowed]."""
    return mean_probability[:allowed].sort(descending=True, stable=True).indices


def _mass_off(kept: Tensor, inside: Tensor) -> Tensor:
    """Return the probability [positions] off the heads with log-probabilities `kept` [positions, width] where `inside`."""
    return (1.0 - torch.where(inside, kept.exp(), 0.0).sum(-1)).clamp_min(0.0)


def _sorted_by(below: Tensor, ranks: Tensor, most: int) -> tuple[Tensor, Tensor]:
    """Return `below` [positions, width] ascending, equal ones by rank, and the places that they came from."""
    key, place = (below * most + ranks).sort(-1)
    return key // most, place


def _head_from(codes: Tensor, levels: Tensor, sizes: Tensor, position: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return ranks and steps below the first entry, int64 [head entries], and the tail's level [positions] (0 without a head)."""
    starts = sizes.cumsum(0) - sizes
    first = starts[sizes > 0]
    to_tail = torch.zeros_like(sizes)
    to_tail[sizes > 0] = levels[first]
    gaps = levels.index_fill(0, first, 0)
    # b_j = sum of level_1 .. level_j within a position: a running sum over all entries, minus its value at the position's first
    total = gaps.cumsum(0)
    below = total - total[starts[position]]
    # rank_j = sum of the codes from the last entry that holds a whole rank up to j
    own = (gaps != 0).index_fill(0, first, True)
    group = torch.where(own, torch.arange(len(codes), device=codes.device), 0)
    group = group.cummax(0).values if len(group) else group
    added = codes.cumsum(0)
    return added - (added - codes)[group], below, to_tail
