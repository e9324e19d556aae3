"""Top-k next-token distributions: integers for the cache, log-probabilities back, and the KL divergence to a student.

Kept are the k most probable ids below the tokenizer's length, with their log-probabilities under the full-vocabulary
normaliser, never renormalised over the kept ones. What is not kept is one outcome, the tail, of mass m = 1 - sum of the
DECODED probabilities, so that the stored target always sums to one.

    L = sum_K p_v log(p_v / q_v) + m log(m / q_m),      q_m the student's mass off K

is the KL divergence of the (k+1)-outcome coarsening, a lower bound of KL(p || q) and equal to it for k = vocabulary.
Its gradient with respect to the student's logits is q_v - p_v on K and q_v (1 - m / q_m) off K. Renormalising over K
instead is biased (Anshumann et al. 2025, "Sparse Logit Sampling").

Stored are log-ratios between neighbours in the order of probability, in units of a step, so that every outcome keeps its
relative precision, a tail of 1e-4 behind a confident head included:

    level 0      round( log(p_0 / m) / step )              may be negative; 0 where nothing lies off K
    level j > 0  round(u_j) - round(u_(j-1)),  u_j = log(p_0 / p_j) / step      not negative

Decoding adds them up and normalises over head and tail.
"""

import torch
from torch import Tensor

_LEAST_TAIL = 1e-7
"""1 - sum in float32 resolves no smaller tail."""


def encode_top_k(logits: Tensor, k: int, allowed: int, step: float) -> tuple[Tensor, Tensor]:
    """Ids and levels, both int32 [positions, k], of teacher logits [positions, vocabulary].

    `allowed` is the tokenizer's length: rows of the head above it stay in the normaliser and in the tail, but are never
    kept. Ids descend in probability.
    """
    log_p = logits.float().log_softmax(-1)
    kept, ids = log_p[:, :allowed].topk(min(k, allowed), dim=-1)
    first = kept[:, :1]
    below = ((first - kept) / step).round().to(torch.int32)
    levels = torch.diff(below, dim=-1, prepend=below[:, :1])
    if ids.shape[-1] < logits.shape[-1]:
        levels[:, :1] = ((first - tail_mass(kept)[:, None].clamp_min(_LEAST_TAIL).log()) / step).round().to(torch.int32)
    return ids.to(torch.int32), levels


def decode_top_k(levels: Tensor, step: float, vocab_rows: int) -> Tensor:
    """Log-probabilities, float32 [positions, k], of which head and tail sum to one.

    With k = vocab_rows there is no tail and the head sums to one.
    """
    levels = levels.to(torch.int32)
    below = levels[:, 1:].cumsum(-1, dtype=torch.int32)
    relative = torch.nn.functional.pad(below, (1, 0)).float() * -step
    tail = levels[:, :1].float() * -step
    outcomes = relative if levels.shape[-1] == vocab_rows else torch.cat([relative, tail], dim=-1)
    return relative - outcomes.logsumexp(-1, keepdim=True)


def tail_mass(log_p: Tensor) -> Tensor:
    """m = 1 - sum of the kept probabilities, at least 0; [positions] for log_p [positions, k]."""
    return (1.0 - log_p.exp().sum(-1)).clamp_min(0.0)


def top_k_kl(student_logits: Tensor, ids: Tensor, log_p: Tensor) -> Tensor:
    """KL of the (k+1)-outcome coarsening, in nats per position: [positions].

    student_logits [positions, vocabulary], ids int [positions, k], log_p float32 [positions, k]. Zero when the student
    has the stored distribution; with k = vocabulary there is no tail and it is the full KL.
    """
    log_q = student_logits.float().log_softmax(-1)
    ids = ids.long()
    head = (log_p.exp() * (log_p - log_q.gather(-1, ids))).sum(-1)
    if ids.shape[-1] == student_logits.shape[-1]:
        return head
    m = tail_mass(log_p)
    log_q_tail = log_q.scatter(-1, ids, float("-inf")).logsumexp(-1)
    tail = torch.where(m > 0, m * (m.clamp_min(torch.finfo(m.dtype).tiny).log() - log_q_tail), 0.0)
    return head + tail


def coarsened_kl(teacher_logits: Tensor, ids: Tensor, log_p: Tensor) -> Tensor:
    """KL of the teacher's exact coarsening from the cached one, [positions]: what rounding the kept values cost."""
    exact = teacher_logits.float().log_softmax(-1).gather(-1, ids.long())
    head = (exact.exp() * (exact - log_p)).sum(-1)
    m, cached = tail_mass(exact).clamp_min(_LEAST_TAIL), tail_mass(log_p).clamp_min(_LEAST_TAIL)
    return head + m * (m.log() - cached.log())
