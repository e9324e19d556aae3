"""Measure what matching of hidden states costs: a step of `hidden` over a step of plain cross-entropy, and the loss's memory.

    python benchmarks/hidden_cost.py [--size 6L384H] [--batch-size 2] [--length 512] [--targets 114] [--rank 768] [--repeats 5]

Two equal students take a step on the same batch in turns: one on hard labels, one on 6+6 pairs of hidden states of a teacher of
width 768, with a learned map for each pair. The teacher's states are decoded from integers in every step, as in a training; a
`--rank` of 768 keeps every component, which no cache does. Printed are the median steps, their ratio by pairs within a turn, and
the share of decoding. On a CPU we count the seconds of the process, so that other work on the machine counts less. The hidden
step does not compute the head, because that objective does not train it.

Then the loss itself, value and gradients, of `--memory-tokens` tokens and 6 pairs: the peak above the level before the call, in a
separate process for each way (`child_memory.py`), and without the gradients that both ways have to return.
"""

import argparse
import json
import platform
from dataclasses import dataclass
from statistics import median
from time import perf_counter, process_time

import torch
from child_memory import in_child, peak_over_before
from in_turns import in_turns, ratio, shown
from torch import Tensor, nn

from miniend.models.families import SpecialIds, family_named, family_of
from miniend.models.optimizers import build_optimizer
from miniend.models.size import student_config
from miniend.models.start.fresh import build_student
from miniend.signals.codes.code import RelationCode
from miniend.signals.codes.site_codec import SiteCodec
from miniend.signals.kinds import KINDS
from miniend.signals.matching.linear_match import Comparison, match_sum
from miniend.signals.matching.row_norms import NORMS
from miniend.signals.matching.target_statistics import Target, TargetStatistics
from miniend.signals.sites import Site
from miniend.student_train.distillation import Distillation
from miniend.student_train.reading.batch import Batch
from miniend.student_train.reading.teacher_signals import TeacherDecoder
from miniend.student_train.terms import SitePair, Term
from miniend.student_train.terms.hidden import Hidden
from miniend.student_train.terms.labels import Labels
from miniend.student_train.terms.matched import LinearMap, Match

TEACHER = {"model_type": "t5", "vocab_size": 32128, "feed_forward_proj": "relu"}
TEACHER_WIDTH, STUDENT_WIDTH, PAIRS = 768, 384, 6
WAYS = ("naive", "blocked")
SPECIAL = SpecialIds(start=0, pad=0)
KNOWN = 4096
"""The tokens that have a mean of their own."""


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="6L384H")
    parser.add_argument("--batch-size", type=int, default=2)
    parser.add_argument("--length", type=int, default=512)
    parser.add_argument("--targets", type=int, default=114)
    parser.add_argument("--rank", type=int, default=768)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--memory-tokens", type=int, default=32768)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--case", type=json.loads, help=argparse.SUPPRESS)
    return parser.parse_args()


@dataclass(slots=True)
class Learner:
    """A student with its objective, its optimizer and the decoder of what its teacher gave."""

    distillation: Distillation
    optimizer: torch.optim.Optimizer
    decoder: TeacherDecoder

    def step(self, batch: Batch) -> dict[str, float]:
        """Make a step; return the seconds of decoding and of the whole."""
        begun = now(batch)
        signals = self.decoder.decode(batch)
        decoded = now(batch)
        sums = self.distillation(batch, signals)
        self.distillation.total(sums, self.distillation.counts(batch)).backward()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return {"decoding": decoded - begun, "whole": now(batch) - begun}


def now(batch: Batch) -> float:
    """Return the seconds of the clock on CUDA, and of this process on a CPU: waiting for a busy machine is not the step's."""
    if not batch.labels.is_cuda:
        return process_time()
    torch.cuda.synchronize()
    return perf_counter()


def random_code(rank: int) -> RelationCode:
    """Return a code of hidden states with random bases."""
    return RelationCode(
        blocks=("hidden",),
        step=0.1,
        mean=torch.randn(TEACHER_WIDTH),
        synthesis=torch.randn(rank, TEACHER_WIDTH),
        analysis=torch.randn(TEACHER_WIDTH, rank),
        spread=torch.ones(rank),
        token_ids=torch.arange(KNOWN, dtype=torch.int32),
        token_means=torch.randn(KNOWN, rank),
    )


def codecs_of(depths: dict[str, int], rank: int, device: str) -> dict[str, SiteCodec]:
    sites = [Site(f"{stack}.hidden", layer) for stack, depth in depths.items() for layer in range(depth)]
    return {
        str(site): SiteCodec(site=site, places=KINDS["hidden"].places(site), codes={"hidden": random_code(rank)}).to(
            device
        )
        for site in sites
    }


def hidden_terms(depths: dict[str, int], width: int) -> dict[str, Term]:
    """Return a term for each stack: layer by layer, with a learned map for each pair."""
    terms: dict[str, Term] = {}
    for stack, depth in depths.items():
        sites = [Site(f"{stack}.hidden", layer) for layer in range(depth)]
        matches = [
            Match(
                part=f"{site.layer + 1}-{site.layer + 1}",
                pair=SitePair(site, site),
                target=Target(str(site), "hidden", "rms"),
                map=f"{site.layer + 1}-{site.layer + 1}",
                width=TEACHER_WIDTH,
            )
            for site in sites
        ]
        maps = {match.part: LinearMap(width, TEACHER_WIDTH) for match in matches}
        term = Hidden(matches, maps, family_named("t5").stack(stack).axis, "energy", "hidden states")
        statistics = {}
        for match in matches:
            statistics[match.target] = TargetStatistics(match.target, TEACHER_WIDTH, torch.device("cpu"))
            statistics[match.target].add(torch.randn(512, TEACHER_WIDTH))
        term.start(statistics)
        terms[f"{stack}_hidden"] = term
    return terms


def learner(objective: str, asked: argparse.Namespace) -> Learner:
    torch.manual_seed(0)
    student = build_student(student_config(asked.size, TEACHER), tied=True, seed=0)
    depths = {"encoder": student.config.num_layers, "decoder": student.config.num_decoder_layers}
    terms = {"labels": Labels()} if objective == "labels" else hidden_terms(depths, student.config.d_model)
    distillation = Distillation(student, terms, dict.fromkeys(terms, 1.0), SPECIAL).to(asked.device)
    codecs = {} if objective == "labels" else codecs_of(depths, asked.rank, asked.device)
    decoder = TeacherDecoder(family_of(student), codecs, list(codecs), None, [], SPECIAL)
    return Learner(distillation, build_optimizer("adafactor", distillation.trained(), 0.05, 0.01), decoder)


def random_batch(asked: argparse.Namespace, codecs: dict[str, SiteCodec]) -> Batch:
    family = family_named("t5")
    lengths = {axis: asked.targets if axis == family.label_axis else asked.length for axis in family.axes}
    axes = {axis: torch.randint(2, 32000, (asked.batch_size, length)) for axis, length in lengths.items()}
    columns = {column: place.axis for codec in codecs.values() for column, place in codec.columns.items()}
    coefficients = {
        column: torch.randint(-8, 8, (asked.batch_size, lengths[axis], asked.rank), dtype=torch.int8)
        for column, axis in columns.items()
    }
    valid = {axis: torch.ones_like(ids, dtype=torch.bool) for axis, ids in axes.items()}
    return Batch(axes, valid, family.label_axis, coefficients, None, tuple(range(asked.batch_size))).to(
        torch.device(asked.device)
    )


class Case:
    """The loss of PAIRS pairs with its gradients, in either way."""

    def __init__(self, tokens: int, device: str) -> None:
        torch.manual_seed(0)
        self.device, shape = device, (-(-tokens // 512), min(tokens, 512))
        self.ours = [torch.randn(*shape, STUDENT_WIDTH, device=device).requires_grad_() for _ in range(PAIRS)]
        self.theirs = [torch.randn(*shape, TEACHER_WIDTH, device=device) for _ in range(PAIRS)]
        self.maps = [LinearMap(STUDENT_WIDTH, TEACHER_WIDTH).to(device) for _ in range(PAIRS)]
        self.valid = torch.ones(*shape, dtype=torch.bool, device=device)
        self.leaves = [*self.ours, *(one for learned in self.maps for one in learned.parameters())]

    def naive(self) -> None:
        norm, total = NORMS["rms"].of, torch.zeros((), device=self.device)
        for ours, theirs, learned in zip(self.ours, self.theirs, self.maps, strict=True):
            mapped = nn.functional.linear(norm(ours[self.valid]), learned.weight, learned.bias)
            total = total + (mapped - norm(theirs[self.valid])).square().sum() / TEACHER_WIDTH
        total.backward()

    def blocked(self) -> None:
        rows, total = self.valid.flatten().nonzero().squeeze(1), torch.zeros((), device=self.device)
        metric = torch.tensor(1 / TEACHER_WIDTH, device=self.device)
        for ours, theirs, learned in zip(self.ours, self.theirs, self.maps, strict=True):
            compared = Comparison(theirs=theirs, rows=rows, norm=NORMS["rms"], their_norm=NORMS["rms"], metric=metric)
            total = total + match_sum(ours, learned.weight, learned.bias, compared)
        total.backward()

    @property
    def returned(self) -> float:
        """The MB of the gradients that a loss returns."""
        return sum(leaf.nbytes for leaf in self.leaves) / 1e6


def measure_memory(way: str, tokens: int, device: str) -> None:
    """Measure and print, in the child process. A first tiny call loads what libraries load lazily."""
    getattr(Case(2, device), way)()
    case = Case(tokens, device)
    print(peak_over_before(getattr(case, way), device))


def agreement(found: dict[str, list[Tensor]]) -> float:
    """Return the largest relative difference of a gradient between the two ways."""
    return max(float((a - b).norm() / a.norm()) for a, b in zip(found["naive"], found["blocked"], strict=True))


def time_steps(asked: argparse.Namespace) -> None:
    learners = {name: learner(name, asked) for name in ("labels", "hidden")}
    batch = random_batch(asked, learners["hidden"].decoder._codecs)
    seconds: dict[str, list[dict[str, float]]] = {name: [] for name in learners}
    for repeat in range(asked.repeats + 1):
        for name, one in learners.items():
            taken = one.step(batch)
            if repeat:  # the first warms up
                seconds[name].append(taken)
    whole = {name: [one["whole"] for one in found] for name, found in seconds.items()}
    ratios = [hidden / plain for plain, hidden in zip(whole["labels"], whole["hidden"], strict=True)]
    decoding = median(one["decoding"] / one["whole"] for one in seconds["hidden"])
    print(
        f"{asked.size}, {asked.batch_size} examples of {asked.length} input and {asked.targets} target tokens, rank "
        f"{asked.rank}: cross-entropy {shown(whole['labels'], 2)} s, hidden {shown(whole['hidden'], 2)} s, ratio "
        f"{median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f}); decoding is {decoding:.0%} of the hidden step"
    )


def measure_loss(asked: argparse.Namespace) -> None:
    memory = {way: in_child(__file__, way=way, tokens=asked.memory_tokens, device=asked.device) for way in WAYS}
    case = Case(4096, asked.device)
    times, gradients = in_turns(case, WAYS, asked.repeats)
    returned = case.returned * asked.memory_tokens / 4096
    beyond = {way: (found or 0.0) - returned for way, found in memory.items()}
    print(
        f"loss of {PAIRS} pairs, {asked.memory_tokens} tokens: peak {memory['naive']:.0f} MB naive, {memory['blocked']:.0f} MB "
        f"blocked; without the {returned:.0f} MB of gradients {beyond['naive']:.0f} and {beyond['blocked']:.0f} MB, "
        f"ratio {beyond['blocked'] / beyond['naive']:.3f}"
    )
    print(
        f"loss of {PAIRS} pairs, 4096 tokens: {shown(times['naive'], 3)} s naive, {shown(times['blocked'], 3)} s blocked, ratio "
        f"{ratio(times['naive'], times['blocked']):.2f}; gradients agree to {agreement(gradients):.0e}"
    )


def main() -> None:
    asked = parse()
    if asked.case:
        measure_memory(**asked.case)
        return
    print(f"{platform.machine()}, {asked.device}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    time_steps(asked)
    measure_loss(asked)


if __name__ == "__main__":
    main()
