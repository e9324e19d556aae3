"""Compare the logit losses in chunks with the same on whole logits (value, gradients of hidden states and head).

    python benchmarks/logit_loss.py [--positions 512,1024,2048,4096,8192] [--vocabulary 32128] [--width 384] [--repeats 5]

We measure time, memory and agreement. Both start from the decoder's hidden states and end with all gradients. Times are taken in
turns, as median (least-greatest). Memory is the peak above the level before the call, in a separate process for each number
(`child_memory.py`). Hybrid and top-k distributions come from random logits of standard deviation 3, which give lists of about 40
and of 12 entries.
"""

import argparse
import json
import platform

import torch
from child_memory import in_child, peak_over_before
from in_turns import in_turns, ratio, shown
from torch import Tensor

from miniend.signals.logits.code import LogitCode, SparseDistributions, join_integers
from miniend.signals.logits.fidelity import sparse_kl
from miniend.signals.logits.head_loss import head_loss_sums
from miniend.signals.logits.targets import LogitTarget, label_target, sparse_target

KINDS = {"hybrid": {"k": 50, "draws": 50}, "top-k": {"k": 12, "draws": 0}, "labels": None}
WAYS = ("whole", "chunked")
ENCODED_AT_ONCE = 64


def cached(kind: str, positions: int, vocabulary: int) -> SparseDistributions:
    code = LogitCode(
        kind=kind, top_p=1.0, step=1 / 16, vocab_rows=vocabulary, order=torch.arange(vocabulary), **KINDS[kind]
    )
    parts = []
    for start in range(0, positions, ENCODED_AT_ONCE):
        rows = min(ENCODED_AT_ONCE, positions - start)
        log_p = (3 * torch.randn(rows, vocabulary)).log_softmax(-1)
        parts.append(code.encode(log_p, torch.rand(rows, dtype=torch.float64)))
    return code.decode(join_integers(parts))


class Case:
    """One loss of some positions, ready to be computed in either way."""

    def __init__(self, kind: str, positions: int, vocabulary: int, width: int, device: str) -> None:
        torch.manual_seed(0)
        self.kind, self.device = kind, device
        self.hidden = torch.randn(positions, width, device=device, requires_grad=True)
        self.weight = (torch.randn(vocabulary, width, device=device) * width**-0.5).requires_grad_()
        self.leaves = [self.hidden, self.weight]
        self.labels = torch.randint(vocabulary, (positions,), device=device)
        if kind == "labels":
            self.target: LogitTarget = label_target(self.labels)
        else:
            found = cached(kind, positions, vocabulary)
            moved = {name: getattr(found, name) for name in SparseDistributions.__slots__}
            self.cached = SparseDistributions(
                **{name: value.to(device) if isinstance(value, Tensor) else value for name, value in moved.items()}
            )
            self.target = sparse_target(self.cached)

    def whole(self) -> None:
        logits = self.hidden @ self.weight.T
        if self.kind == "labels":
            torch.nn.functional.cross_entropy(logits, self.labels, reduction="sum").backward()
        else:
            sparse_kl(logits, self.cached).sum().backward()

    def chunked(self) -> None:
        head_loss_sums(self.hidden, self.weight, 1.0, [self.target]).sum().backward()


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--positions", default="512,1024,2048,4096,8192")
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--vocabulary", type=int, default=32_128)
    parser.add_argument("--width", type=int, default=384)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--case", type=json.loads, help=argparse.SUPPRESS)
    return parser.parse_args()


def measure_memory(way: str, shape: list) -> None:
    """Measure and print, in the child process. A first tiny call loads what libraries load lazily."""
    kind, _, vocabulary, width, device = shape
    getattr(Case(kind, 2, vocabulary // 100, width, device), way)()
    print(peak_over_before(getattr(Case(*shape), way), device))


def row(shape: list, repeats: int) -> None:
    memory = {way: in_child(__file__, way=way, shape=shape) for way in WAYS}
    times, gradients = in_turns(Case(*shape), WAYS, repeats)
    error = max(float((a - b).norm() / b.norm()) for a, b in zip(gradients["chunked"], gradients["whole"], strict=True))
    megabytes = [f"{value:.0f}" if value is not None else "did not fit" for value in memory.values()]
    share = f"{memory['chunked'] / memory['whole']:.3f}" if None not in memory.values() else "-"
    print(
        f"{shape[0]:>7}{shape[1]:>10}{shown(times['whole'], 2):>20}{shown(times['chunked'], 2):>20}"
        f"{ratio(times['whole'], times['chunked']):>7.2f}"
        f"{megabytes[0]:>12}{megabytes[1]:>12}{share:>7}{error:>9.0e}",
        flush=True,
    )


def main() -> None:
    asked = parse()
    if asked.case:
        measure_memory(**asked.case)
        return
    print(
        f"{platform.machine()}, {asked.device}, {torch.get_num_threads()} threads, torch {torch.__version__}, "
        f"V={asked.vocabulary}, d={asked.width}, float32"
    )
    print(
        f"{'loss':>7}{'positions':>10}{'whole s':>20}{'chunked s':>20}{'ratio':>7}"
        f"{'whole MB':>12}{'chunked MB':>12}{'ratio':>7}{'error':>9}"
    )
    for kind in asked.kinds.split(","):
        for positions in map(int, asked.positions.split(",")):
            row([kind, positions, asked.vocabulary, asked.width, asked.device], asked.repeats)


if __name__ == "__main__":
    main()
