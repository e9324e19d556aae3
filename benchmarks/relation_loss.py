"""Compare the blocked relation KL (value and gradients) with the materialized one: time, peak memory, agreement with float64.

    python benchmarks/relation_loss.py [--lengths 128,256,512,1024,2048] [--tokens 2048] [--heads 32] [--repeats 5]

Teacher width 768, student width 384; all `--tokens` of each batch are valid. `self` is the encoder's QQ, `causal` the decoder's
QQ, and `query-key` cross-attention's Q K^T. Times are taken in turns, as median (least-greatest). Memory is the peak above the
level before the call, in a separate process for each number (`child_memory.py`). At the end the longest batch runs in a process
that may map only `--limit-mb` more than its inputs; with 0 it does not run.
"""

import argparse
import json
import platform

import torch
from child_memory import in_child, limit_memory, peak_over_before
from in_turns import in_turns, ratio, shown
from torch import Tensor

from miniend.signals.relations.relations import Relation, relation_kl_sum, relation_logits

RELATIONS = {
    "self": Relation("query", "query", "query", "input", "input"),
    "causal": Relation("query", "query", "query", "target", "target"),
    "query-key": Relation("query_key", "query", "key", "target", "input"),
}
WAYS = ("materialized", "blocked")
WIDTHS = {"teacher": 768, "student": 384}


class Case:
    """One relation of one batch, ready to be computed in either way."""

    def __init__(self, name: str, length: int, batch: int, heads: int, device: str) -> None:
        torch.manual_seed(0)
        self.relation, self.heads, self.device = RELATIONS[name], heads, device
        sides = sorted({self.relation.left, self.relation.right})
        self.teacher, self.student = (
            {side: torch.randn(batch, length, width, device=device) for side in sides} for width in WIDTHS.values()
        )
        self.leaves = [tensor.requires_grad_() for tensor in self.student.values()]
        axes = {self.relation.row_axis, self.relation.key_axis}
        self.valid = {axis: torch.ones(batch, length, dtype=torch.bool, device=device) for axis in axes}
        self.future = ~torch.ones(length, length, dtype=torch.bool, device=device).tril()

    def _log(self, side: dict[str, Tensor]) -> Tensor:
        logits = relation_logits(side[self.relation.left], side[self.relation.right], self.heads)
        if self.relation.causal:
            logits = logits.masked_fill(self.future, -1e30)
        return logits.log_softmax(-1)

    def materialized(self) -> None:
        log_p, log_q = self._log(self.teacher), self._log(self.student)
        (log_p.exp() * (log_p - log_q)).sum().backward()

    def blocked(self) -> None:
        relation_kl_sum(self.relation, self.teacher, self.student, self.valid, self.heads, 1.0).backward()

    def error(self, found: list[Tensor]) -> float:
        """Relative, against float64; of the first example, for its size."""
        exact = {side: tensor[:1].detach().double().requires_grad_() for side, tensor in self.student.items()}
        scores = []
        for factors in ({side: tensor[:1].double() for side, tensor in self.teacher.items()}, exact):
            a, c = (
                factors[side].unflatten(-1, (self.heads, -1)).transpose(1, 2)
                for side in (self.relation.left, self.relation.right)
            )
            score = a @ c.mT / a.shape[-1] ** 0.5
            scores.append((score.masked_fill(self.future, -1e30) if self.relation.causal else score).log_softmax(-1))
        (scores[0].exp() * (scores[0] - scores[1])).sum().backward()
        return max(float((a[:1] - b.grad).norm() / b.grad.norm()) for a, b in zip(found, exact.values(), strict=True))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lengths", default="128,256,512,1024,2048")
    parser.add_argument("--relations", default=",".join(RELATIONS))
    parser.add_argument("--tokens", type=int, default=2048)
    parser.add_argument("--heads", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--limit-mb", type=float, default=1000.0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--case", type=json.loads, help=argparse.SUPPRESS)
    return parser.parse_args()


def measure_memory(way: str, shape: list, limit: float | None = None) -> None:
    """Measure and print, in the child process. A first tiny call loads what libraries load lazily."""
    name, _, _, heads, device = shape
    getattr(Case(name, 2, 1, heads, device), way)()
    case = Case(*shape)
    if limit is not None:
        limit_memory(limit)
    print(peak_over_before(getattr(case, way), device))


def row(shape: list, repeats: int) -> None:
    memory = {way: in_child(__file__, way=way, shape=shape) for way in WAYS}
    case = Case(*shape)
    times, gradients = in_turns(case, WAYS, repeats)
    print(
        f"{shape[0]:>10}{shape[1]:>7}{shape[2]:>6}{shown(times['materialized'], 3):>24}{shown(times['blocked'], 3):>22}"
        f"{ratio(times['materialized'], times['blocked']):>7.2f}"
        f"{memory['materialized']:>17.0f}{memory['blocked']:>11.0f}{memory['blocked'] / memory['materialized']:>7.3f}"
        f"{case.error(gradients['blocked']):>9.0e}",
        flush=True,
    )


def main() -> None:
    asked = parse()
    if asked.case:
        measure_memory(**asked.case)
        return
    print(
        f"{platform.machine()}, {asked.device}, {torch.get_num_threads()} threads, torch {torch.__version__}, "
        f"R={asked.heads}, {asked.tokens} tokens"
    )
    print(
        f"{'relation':>10}{'length':>7}{'batch':>6}{'materialized s':>24}{'blocked s':>22}{'ratio':>7}"
        f"{'materialized MB':>17}{'blocked MB':>11}{'ratio':>7}{'error':>9}"
    )
    lengths = [int(length) for length in asked.lengths.split(",")]
    for name in asked.relations.split(","):
        for length in lengths:
            row([name, length, max(1, asked.tokens // length), asked.heads, asked.device], asked.repeats)
    if not asked.limit_mb:
        return
    longest = ["self", lengths[-1], max(1, asked.tokens // lengths[-1]), asked.heads, "cpu"]
    for way in WAYS:
        peak = in_child(__file__, way=way, shape=longest, limit=asked.limit_mb)
        said = "does not fit" if peak is None else f"trains, with a peak of {peak:.0f} MB"
        print(f"at length {longest[1]} with {asked.limit_mb:.0f} MB to spare, {way}: {said}")


if __name__ == "__main__":
    main()
