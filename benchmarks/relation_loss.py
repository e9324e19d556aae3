"""The blocked relation KL (value and gradient) against the materialised one: time, and agreement with float64.

    python benchmarks/relation_loss.py [--lengths 128,256,512] [--heads 32] [--batch 4] [--repeats 5]

Self relation, teacher width 768, student width 384; interleaved runs, the median of each.
"""

import argparse
import platform
from statistics import median
from time import perf_counter

import torch
from torch import Tensor

from miniend.signals.relations import Relation, relation_kl_sum, relation_logits

RELATION = Relation("query", "query", "query", "input", "input")


def materialised(teacher: Tensor, student: Tensor, heads: int) -> Tensor:
    log_p = relation_logits(teacher, teacher, heads).log_softmax(-1)
    log_q = relation_logits(student, student, heads).log_softmax(-1)
    return (log_p.exp() * (log_p - log_q)).sum()


def blocked(teacher: Tensor, student: Tensor, heads: int) -> Tensor:
    valid = {"input": torch.ones(teacher.shape[:2], dtype=torch.bool)}
    return relation_kl_sum(RELATION, {"query": teacher}, {"query": student}, valid, heads, 1.0)


def timed(function, teacher: Tensor, student: Tensor, heads: int) -> tuple[float, Tensor]:
    student.grad = None
    begun = perf_counter()
    function(teacher, student, heads).backward()
    return perf_counter() - begun, student.grad.clone()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lengths", default="128,256,512")
    parser.add_argument("--heads", type=int, default=32)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=5)
    asked = parser.parse_args()
    print(
        f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}, "
        f"R={asked.heads}, batch {asked.batch}"
    )
    print(f"{'length':>6} {'materialised s':>15} {'blocked s':>10} {'ratio':>6} {'gradient error':>15}")
    for length in map(int, asked.lengths.split(",")):
        torch.manual_seed(0)
        teacher, student = (
            torch.randn(asked.batch, length, 768),
            torch.randn(asked.batch, length, 384, requires_grad=True),
        )
        times: dict = {materialised: [], blocked: []}
        gradients = {}
        for _ in range(asked.repeats):
            for function, found in times.items():
                seconds, gradients[function] = timed(function, teacher, student, asked.heads)
                found.append(seconds)
        exact = student.detach().double().requires_grad_()
        log_p, log_q = (x.double().unflatten(-1, (asked.heads, -1)).transpose(1, 2) for x in (teacher, exact))
        scores = [x @ x.transpose(-1, -2) / x.shape[-1] ** 0.5 for x in (log_p, log_q)]
        log_p, log_q = (score.log_softmax(-1) for score in scores)
        (log_p.exp() * (log_p - log_q)).sum().backward()
        error = float((gradients[blocked] - exact.grad).norm() / exact.grad.norm())
        slow, fast = median(times[materialised]), median(times[blocked])
        print(f"{length:>6} {slow:>15.3f} {fast:>10.3f} {fast / slow:>6.2f} {error:>15.1e}")


if __name__ == "__main__":
    main()
