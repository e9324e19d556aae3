"""The loss of a student on sparse next-token distributions, and how far it is from the loss on the full ones.

With p the teacher's and q the student's probabilities, both over all rows of the head, in nats per position:

    top-k             L = sum_K p_v log(p_v / q_v) + m log(m / q_m),      q_m the student's mass off K
    sampled, hybrid   L = sum_head p_v log(p_v / q_v) + sum_tail p_v log p_v - sum_draws w log q_v

The first is the KL of the (k+1)-outcome coarsening. It is a lower bound of KL(p || q), and equal to it for k = vocabulary. Its
gradient with respect to the student's logits is q_v - p_v on K and q_v (1 - m / q_m) off K. The second has the expectation
KL(p || q) and the expected gradient q - p, both up to the rounding of the head. Renormalizing over K instead is biased
(Anshumann et al. 2025).
"""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from ..fidelity import MeanOf
from .code import SparseDistributions


def sparse_kl(student_logits: Tensor, target: SparseDistributions) -> Tensor:
    """Return the loss above per position, float32 [positions], in nats, for student logits [positions, vocabulary]."""
    log_q = student_logits.float().log_softmax(-1)
    head = target.head_log_p.exp() * (target.head_log_p - log_q[target.head_position, target.head_ids])
    total = torch.zeros(len(log_q), device=log_q.device).index_add(0, target.head_position, head)
    return total + (_tail_outcome(log_q, target) if target.one_tail else _drawn_tail(log_q, target))


def _tail_outcome(log_q: Tensor, target: SparseDistributions) -> Tensor:
    m = target.tail_mass
    off = log_q.index_put((target.head_position, target.head_ids), log_q.new_tensor(float("-inf"))).logsumexp(-1)
    return torch.where(m > 0, m * (m.clamp_min(torch.finfo(m.dtype).tiny).log() - off), 0.0)


def _drawn_tail(log_q: Tensor, target: SparseDistributions) -> Tensor:
    drawn = target.draw_weight * log_q[target.draw_position, target.draw_ids]
    return -target.tail_entropy - torch.zeros_like(target.tail_mass).index_add(0, target.draw_position, drawn)


def coarsened_kl(log_p: Tensor, target: SparseDistributions) -> Tensor:
    """Return the KL from the teacher's own head and tail mass to the decoded ones, [positions]: the cost of rounding the head.

    `log_p` is the teacher's, [positions, vocabulary].
    """
    exact = log_p[target.head_position, target.head_ids]
    zero = torch.zeros_like(target.tail_mass)
    head = zero.index_add(0, target.head_position, exact.exp() * (exact - target.head_log_p))
    m = (1.0 - zero.index_add(0, target.head_position, exact.exp())).clamp_min(1e-7)
    return head + m * (m.log() - target.tail_mass.clamp_min(1e-7).log())


def whole_kl(log_p: Tensor, decoded: Tensor) -> Tensor:
    """Return KL(p || decoded p), [positions], in nats, of log-probabilities [positions, vocabulary]."""
    return (log_p.exp() * (log_p - decoded)).sum(-1)


def gradient_agreement(log_p: Tensor, target: SparseDistributions | Tensor, reference: Tensor) -> dict[str, MeanOf]:
    """Compare the cached target's gradient with the full one, for a student that predicts `reference` at every position.

    `log_p` [positions, vocabulary] is the teacher's, `reference` [vocabulary] are probabilities. `target` is a list, or whole
    decoded log-probabilities, whose gradient is q - exp(target). With g = q - p and c the cached
    target's gradient, return sums over positions: `gradient_dot` = <g, c>, `gradient_square` = |g|^2, `cached_square` = |c|^2.
    The cosine of the angle is dot / sqrt(gradient_square cached_square), the norm ratio sqrt(cached_square / gradient_square).
    These are single positions, not the mean of a batch. The errors of draws average out over a batch, so draws look worse here
    than they train.
    """
    q = reference.to(log_p).expand_as(log_p)
    exact = q - log_p.exp()
    cached = q - target.exp() if isinstance(target, Tensor) else _cached_gradient(q, target)
    sums = {"gradient_dot": exact * cached, "gradient_square": exact.square(), "cached_square": cached.square()}
    return {name: MeanOf(float(value.sum(dtype=torch.float64)), len(log_p)) for name, value in sums.items()}


def tempered_kl(temperature: float) -> str:
    """Return the name of the mean `kl` at another temperature."""
    return f"kl at {temperature:g}"


def logit_facts(means: Mapping[str, float]) -> dict[str, float | None]:
    """Return the facts that people read, from the measured means of a cache's logits.

    They are `kl` in nats (at other temperatures under the names of `tempered_kl`); `kept_mass` and `entries` per position, 1 and
    None for whole distributions, which do not have lists; and `gradient_angle` in degrees and `gradient_norm_ratio` as in
    `gradient_agreement` (None if nothing was compared).
    """
    dot, exact, cached = (means.get(name, 0.0) for name in ("gradient_dot", "gradient_square", "cached_square"))
    compared = exact > 0 and cached > 0
    return {
        **{name: mean for name, mean in means.items() if name.startswith("kl")},
        "kept_mass": 1.0 - means.get("tail_mass", 0.0),
        "entries": means.get("entries"),
        "gradient_angle": math.degrees(math.acos(max(-1.0, min(1.0, dot / math.sqrt(exact * cached)))))
        if compared
        else None,
        "gradient_norm_ratio": math.sqrt(cached / exact) if compared else None,
    }


def _cached_gradient(q: Tensor, target: SparseDistributions) -> Tensor:
    """Return the gradient of `sparse_kl` with respect to the logits of a student with probabilities q [positions, vocabulary]."""
    at_head, at_draws = (target.head_position, target.head_ids), (target.draw_position, target.draw_ids)
    head = target.head_log_p.exp()
    if target.one_tail:
        off = (1.0 - torch.zeros_like(target.tail_mass).index_add(0, at_head[0], q[at_head])).clamp_min(1e-7)
        # q_v (1 - m / q_m) off K, q_v - p_v on K
        spread = q * (1.0 - target.tail_mass / off)[:, None]
        return spread.index_put(at_head, q[at_head] - head)
    # q_v (sum of all weights) - weight_v: the weights, of draws in particular, need not sum to one
    weight = torch.zeros_like(target.tail_mass).index_add(0, at_head[0], head)
    weight = weight.index_add(0, at_draws[0], target.draw_weight)
    gradient = q * weight[:, None]
    gradient = gradient.index_put(at_head, -head, accumulate=True)
    return gradient.index_put(at_draws, -target.draw_weight, accumulate=True)
