"""Next-token distributions as sparse lists of integers: `top-k`, `sampled` and `hybrid`.

Every kind is a head, kept exactly up to rounding, and a tail of mass m = 1 - sum of the head's DECODED probabilities, always
under the full-vocabulary normaliser and never renormalised over the kept entries:

- `top-k`    the k most probable ids (with `top_p` below 1 the fewest of them that hold this mass); the tail is one outcome.
- `sampled`  no head; N draws from the whole distribution (random-sampling distillation, Anshumann et al. 2025, "Sparse Logit
             Sampling", but see `logit_draws` for how we draw).
- `hybrid`   all ids with p >= 1/N in the head, draws of weight about 1/N from what is left: threshold sampling, which has the
             least variance among unbiased sparse lists of its length (Duffield, Lund, Thorup 2005, "Estimating flow
             distributions from sampled flow statistics"). Confident positions have short lists, flat ones long ones.

A head is stored in the order of falling probability, as log-ratios between neighbours in units of a step, so that every
outcome keeps its relative precision, a tail of 1e-4 behind a confident head included:

    level 0      round( log(p_0 / m) / step )              may be negative; 0 where nothing lies off the head
    level j > 0  round(u_j) - round(u_(j-1)),  u_j = log(p_0 / p_j) / step      not negative

Decoding adds them up and normalises over head and tail. Ids are stored as ranks in the order of the teacher's mean
probability; entries of equal level are sorted by rank and all but the first stored as the difference to the one before.

At another temperature T the distribution is p^(1/T) over its sum: the head's log-ratios are divided by T, and the tail's
level is round( log(p_0^(1/T) / sum off the head of p^(1/T)) / step ), stored for each T that was named (`top-k` alone: draws
from p stand for p).
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor

from .draws import draw_tail

ENTROPY_STEP = 1 / 8
"""Quantiser step of `tail_entropies`, in nats: it shifts logged values alone, and rounding averages out over positions."""

_LEAST_TAIL = 1e-7
"""1 - sum in float32 resolves no smaller tail."""


@dataclass(frozen=True, slots=True)
class LogitIntegers:
    """What is stored of some positions, int32 each; lists of positions are laid end to end."""

    head_sizes: Tensor
    """[positions]: entries of each head"""
    head_codes: Tensor
    """[head entries]: ranks, or rank differences where the level is 0 inside a head"""
    head_levels: Tensor
    """[head entries]"""
    draw_sizes: Tensor
    """[positions]"""
    draw_ranks: Tensor
    """[draws]: ascending within a position, repeats allowed"""
    tail_entropies: Tensor
    """[positions]: -sum over the tail of p log p, in units of ENTROPY_STEP"""
    tail_levels: Tensor
    """[temperatures, positions]: level 0 at the code's other temperatures; 0 where nothing lies off the head"""

    def to(self, device: torch.device | str) -> "LogitIntegers":
        """The same integers on a device."""
        return LogitIntegers(*(getattr(self, f.name).to(device, non_blocking=True) for f in fields(self)))


def join_integers(parts: list[LogitIntegers]) -> LogitIntegers:
    """Positions of several parts, end to end."""
    return LogitIntegers(*(torch.cat([getattr(part, f.name) for part in parts], dim=-1) for f in fields(LogitIntegers)))


@dataclass(frozen=True, slots=True)
class SparseDistributions:
    """Decoded distributions of some positions. `position` says which one an entry belongs to (ascending)."""

    head_position: Tensor
    """int64 [head entries]"""
    head_ids: Tensor
    """int64 [head entries]"""
    head_log_p: Tensor
    """float32 [head entries], natural logarithms"""
    tail_mass: Tensor
    """float32 [positions], 1 where there is no head"""
    draw_position: Tensor
    """int64 [draws]"""
    draw_ids: Tensor
    """int64 [draws], a repeat counts twice"""
    draw_weight: Tensor
    """float32 [draws]: probability that a draw stands for"""
    tail_entropy: Tensor
    """float32 [positions], nats"""
    one_tail: bool
    """The tail is one outcome (top-k) rather than given by draws."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LogitCode:
    """Encoder and decoder of one kind."""

    kind: str
    k: int
    """Longest head; 0 for `sampled`."""
    top_p: float
    """Mass at which a top-k head may end."""
    draws: int
    """N; 0 for `top-k`."""
    step: float
    """Of log-probabilities, in nats."""
    vocab_rows: int
    order: Tensor
    """int64 [tokenizer size]: the ids that may be kept or drawn, by falling mean probability of the teacher."""
    temperatures: tuple[float, ...] = ()
    """At which `top-k` can be decoded, beside 1."""

    def encode(self, log_p: Tensor, uniforms: Tensor) -> LogitIntegers:
        """Integers of full log-probabilities [positions, vocab_rows], float32, on their device.

        `uniforms`, float64 [positions] in [0, 1), decide the draws. Rows of the head above the tokenizer's length stay in the
        normaliser and in the tail, but are never kept or drawn.
        """
        kept, ids, sizes = self._head(log_p)
        inside = torch.arange(kept.shape[1], device=kept.device) < sizes[:, None]
        tail = _mass_off(kept, inside)
        codes, levels = self._head_integers(kept, self._ranks_of(ids), inside, tail)
        draws, draw_sizes, entropies = self._tail_integers(log_p, ids, inside, tail, uniforms)
        tempered = self._tail_levels(log_p, ids, inside)
        found = (sizes, codes[inside], levels[inside], draw_sizes, draws, entropies, tempered)
        return LogitIntegers(*(tensor.to(torch.int32) for tensor in found))

    def _head(self, log_p: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The most probable ids that may belong to the head, [positions, width] with their log p, and how many do."""
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
        """Codes and levels [positions, width], int64; what lies outside of a head is arbitrary."""
        if not kept.shape[1]:
            return ranks, ranks
        first = kept[:, :1]
        below = ((first - kept) / self.step).round().long()
        beyond = int(below.max()) + 1 if below.numel() else 1
        below = torch.where(inside, below, beyond)
        below, place = _sorted_by(below, ranks, len(self.order))
        ranks = ranks.gather(-1, place)
        levels = torch.diff(below, dim=-1, prepend=below[:, :1])
        tied = levels == 0
        tied[:, 0] = False
        codes = torch.where(tied, torch.diff(ranks, dim=-1, prepend=ranks[:, :1]), ranks)
        levels[:, 0] = self._tail_level(first[:, 0], tail, inside)
        return codes, levels

    def _tail_level(self, first: Tensor, tail: Tensor, inside: Tensor) -> Tensor:
        """log(p_0 / m) in steps, int64 [positions]; 0 where nothing lies off the head."""
        level = ((first - tail.clamp_min(_LEAST_TAIL).log()) / self.step).round().long()
        return torch.where(inside.sum(-1) < self.vocab_rows, level, 0)

    def _tail_levels(self, log_p: Tensor, ids: Tensor, inside: Tensor) -> Tensor:
        """The same at every other temperature, [temperatures, positions]."""
        levels = [torch.empty((0, len(log_p)), dtype=torch.int64, device=log_p.device)]
        for temperature in self.temperatures:
            kept = (log_p / temperature).log_softmax(-1).gather(-1, ids)
            levels.append(self._tail_level(kept[:, 0], _mass_off(kept, inside), inside)[None])
        return torch.cat(levels)

    def _tail_integers(
        self, log_p: Tensor, ids: Tensor, inside: Tensor, tail: Tensor, uniforms: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Ranks of the draws end to end, draws per position, and tail entropies."""
        if not self.draws:
            nothing = torch.zeros(len(log_p), dtype=torch.int32, device=log_p.device)
            return nothing[:0], nothing, nothing
        p = log_p.exp()
        kept, kept_log = p.gather(-1, ids), log_p.gather(-1, ids)
        whole = torch.einsum("ij,ij->i", p, log_p)
        entropies = torch.where(inside, kept * kept_log, 0.0).sum(-1) - whole
        p.scatter_(-1, ids, torch.where(inside, 0.0, kept))
        draws, sizes = draw_tail(p.index_select(1, self.order), tail, self.draws, uniforms.to(log_p.device))
        return draws, sizes, (entropies / ENTROPY_STEP).round().clamp_min(0.0)

    def decode(self, stored: LogitIntegers, temperature: float = 1.0) -> SparseDistributions:
        """The distributions of stored positions, on the device of the integers, at 1 or one of the code's temperatures."""
        sizes = stored.head_sizes.long()
        position = torch.repeat_interleave(torch.arange(len(sizes), device=sizes.device), sizes)
        ranks, below, to_tail = _head_from(stored.head_codes.long(), stored.head_levels.long(), sizes, position)
        if temperature != 1.0:
            to_tail = stored.tail_levels[self.temperatures.index(temperature)].long()
        log_p, tail_mass = self._normalised(below.float() * (-self.step / temperature), to_tail, sizes, position)
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

    def _normalised(self, relative: Tensor, to_tail: Tensor, sizes: Tensor, position: Tensor) -> tuple[Tensor, Tensor]:
        """Log-probabilities of the head's entries and the tail's mass [positions], which sum to one."""
        head = torch.zeros(len(sizes), device=relative.device).index_add(0, position, relative.exp()).log()
        tail = torch.where(sizes < self.vocab_rows, to_tail.float() * -self.step, float("-inf"))
        tail = torch.where(sizes > 0, tail, 0.0)
        normaliser = torch.logaddexp(head, tail)
        return relative - normaliser[position], (tail - normaliser).exp()

    def to(self, device: torch.device | str) -> "LogitCode":
        """The same code with its table on a device."""
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
    """Ids below `allowed` by falling mean probability, the smaller id first among equals: int64 [allowed]."""
    return mean_probability[:allowed].sort(descending=True, stable=True).indices


def _mass_off(kept: Tensor, inside: Tensor) -> Tensor:
    """Probability [positions] of what lies off heads with these log-probabilities [positions, width]."""
    return (1.0 - torch.where(inside, kept.exp(), 0.0).sum(-1)).clamp_min(0.0)


def _sorted_by(below: Tensor, ranks: Tensor, most: int) -> tuple[Tensor, Tensor]:
    """`below` [positions, width] ascending, equal ones by rank, and the places that they came from."""
    key, place = (below * most + ranks).sort(-1)
    return key // most, place


def _head_from(codes: Tensor, levels: Tensor, sizes: Tensor, position: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Ranks and steps below the first entry, int64 [head entries], and the tail's level [positions] (0 without a head)."""
    starts = sizes.cumsum(0) - sizes
    first = starts[sizes > 0]
    to_tail = torch.zeros_like(sizes)
    to_tail[sizes > 0] = levels[first]
    gaps = levels.index_fill(0, first, 0)
    total = gaps.cumsum(0)
    below = total - total[starts[position]]
    own = (gaps != 0).index_fill(0, first, True)
    group = torch.where(own, torch.arange(len(codes), device=codes.device), 0)
    group = group.cummax(0).values if len(group) else group
    added = codes.cumsum(0)
    return added - (added - codes)[group], below, to_tail
