"""How faithful must a cache be? Students from caches of falling fidelity against students of the live teacher, paired by seed.

    python benchmarks/how_faithful.py --teacher DIR --corpus 'FILES*.jsonl.gz' --work DIR [--size 2L64H] [--steps 300] [--seeds 3]

Every row is a cache with another relation KL target or logit budget, all other things equal; `live` is the teacher itself at
every step: exact Q, K, V and the full KL. Students of one seed share first weights, order of examples and optimiser, and every
student is judged by the live teacher on the validation examples: hard-label cross-entropy, full KL(teacher || student) and the
relation KLs. Printed are means over seeds and, as the difference to `live`, the mean and the range of the paired differences.
"""

import argparse
import platform
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from statistics import mean
from typing import Any

import torch
from torch import Tensor, nn

from miniend.cache import Cache, open_cache
from miniend.progress import progress_bar
from miniend.recipes.inspection import inspect_cache
from miniend.signals.relations import relation_kl_sum
from miniend.signals.sites import tapped
from miniend.signals.t5 import head_scale
from miniend.student_train.config import TrainConfig
from miniend.student_train.distillation import Batch, Distillation
from miniend.student_train.loader import Ahead, in_order, shuffled
from miniend.student_train.objective import build_objective, required_codecs
from miniend.student_train.setup import Setup, set_up
from miniend.student_train.train import Progress, train_step
from miniend.teacher_dump.config import DumpConfig
from miniend.teacher_dump.dump import dump_teacher
from miniend.teacher_dump.teacher import Teacher, load_teacher

RELATIONS = ("3e-1", "3e-2", "1e-2", "3e-3", "1e-3", "1e-4")
LOGITS: tuple[dict[str, Any], ...] = (
    {"logits": "hybrid", "draws": 5},
    {"logits": "hybrid", "draws": 20},
    {"logits": "hybrid", "draws": 50},
    {"logits": "sampled", "draws": 20},
    {"logits": "top-k", "top_k": 8},
    {"logits": "top-k", "top_k": 64},
)
BASE: dict[str, Any] = {"relation_kl": 1e-3, "logits": "hybrid", "draws": 20}


@dataclass(frozen=True)
class Row:
    """One cache of the table."""

    name: str
    overrides: Mapping[str, Any]
    live: bool = False


class LiveDistillation(Distillation):
    """The same losses with the teacher itself in the place of the cache."""

    def beside(self, teacher: Teacher) -> "LiveDistillation":
        """Give it its teacher; not a submodule, for it is not trained."""
        object.__setattr__(self, "teacher", teacher)
        return self

    def _ask(self, batch: Batch) -> tuple[Mapping[str, dict[str, Tensor]], Tensor]:
        sites = [codec.site for codec in self.codecs.values()]
        with torch.no_grad(), tapped(self.teacher.model, sites) as captured:
            logits = self.teacher.forward(batch.input_ids, batch.valid["input"], batch.labels)
            return dict(captured), logits

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        object.__setattr__(self, "answer", self._ask(batch))
        return super().forward(batch)

    def _relation_sums(self, batch: Batch, captured: Mapping[str, dict[str, Tensor]]) -> dict[str, Tensor]:
        sums = {}
        for term, codec in self.codecs.items():
            factors = self.answer[0][str(codec.site)], captured[str(self._sites[term])]
            for relation in self.objective.relations(term, codec.site):
                alpha = codec.alpha[relation.kind]
                kl = relation_kl_sum(relation, *factors, batch.valid, self.heads, alpha)
                sums[f"{term}.{relation.kind}"] = kl
        return sums

    def _logit_sums(self, batch: Batch, hidden: Tensor) -> dict[str, Tensor]:
        logits = self.student.lm_head(hidden * head_scale(self.student))
        log_p = self.answer[1][batch.valid["target"]].log_softmax(-1)
        labels = batch.labels[batch.valid["target"]]
        sums = {
            "logits": (log_p.exp() * (log_p - logits.log_softmax(-1))).sum(),
            "labels": nn.functional.cross_entropy(logits, labels, reduction="sum"),
        }
        return {term: value for term, value in sums.items() if term in self.objective.weights}


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--teacher", required=True)
    parser.add_argument("--corpus", required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--examples", type=int, default=2048)
    parser.add_argument("--validation-examples", type=int, default=256)
    parser.add_argument("--input-length", type=int, default=128)
    parser.add_argument("--mean-span", type=float, default=3.0)
    parser.add_argument("--size", default="2L64H")
    parser.add_argument("--objective", default="miniend-e")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--learning-rate", type=float, default=2e-2)
    parser.add_argument("--seeds", type=int, default=3)
    return parser.parse_args()


def main() -> None:
    asked = parse()
    print(f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    teacher = load_teacher(asked.teacher, "float32", torch.device("cpu"))
    rows = [
        Row("live teacher", {}, live=True),
        *(Row(f"relation KL {target}", {"relation_kl": float(target)}) for target in RELATIONS),
        *(Row(" ".join(str(value) for value in logits.values()), logits) for logits in LOGITS),
    ]
    results: dict[str, list[dict[str, float]]] = {}
    sizes: dict[str, str] = {}
    for row in rows:
        cache = open_cache(dumped(asked, row))
        sizes[row.name] = "" if row.live else size_line(cache)
        results[row.name] = [one_student(asked, cache, row, seed, teacher) for seed in range(asked.seeds)]
        print(line(row.name, results, sizes), flush=True)


def dumped(asked: argparse.Namespace, row: Row) -> Path:
    """The row's cache; rows of equal settings share one."""
    settings = {**BASE, **row.overrides}
    path: Path = asked.work / "-".join(str(value) for value in settings.values())
    config = DumpConfig(
        teacher=asked.teacher,
        corpus=asked.corpus,
        cache=path,
        examples=asked.examples,
        validation_examples=asked.validation_examples,
        input_length=asked.input_length,
        mean_span=asked.mean_span,
        relation_temperature="calibrated",
        **settings,
    )
    dump_teacher(config, say=lambda _line: None)
    return path


def size_line(cache: Cache) -> str:
    """Bytes per input token of everything, and per target token of the logits."""
    facts = inspect_cache(cache.path)
    relations = sum(facts["bytes"]["relations"].values()) / facts["tokens"]["input"]
    return f"{relations:6.1f} + {facts['bytes_per_token']['logits']:5.1f}"


def one_student(asked: argparse.Namespace, cache: Cache, row: Row, seed: int, teacher: Teacher) -> dict[str, float]:
    """Train one student and judge it by the live teacher."""
    config = TrainConfig(
        cache=cache.path,
        output=asked.work / "unused",
        size=asked.size,
        objective=asked.objective,
        steps=asked.steps,
        batch_size=asked.batch_size,
        optimizer="adafactor",
        learning_rate=asked.learning_rate,
        seed=seed,
    )
    objective = build_objective(config.objective, config.logits, config.cross_relation, config.weight)
    setup = set_up(config, cache, objective, required_codecs(objective, cache), lambda _line: None)
    live = live_setup(setup, teacher)
    train(live if row.live else setup, f"{row.name} seed {seed}")
    return judged(live)


def live_setup(setup: Setup, teacher: Teacher) -> Setup:
    """The same student under the live teacher."""
    sides = {}
    for name in ("distillation", "evaluation"):
        own: Distillation = getattr(setup, name)
        shared = (own.codecs, own.heads, own._logit_code, own._start_id, own._pad_id)
        sides[name] = LiveDistillation(own.student, own.objective, *shared).beside(teacher)
    return replace(setup, **sides)


def train(setup: Setup, name: str) -> None:
    config, progress = setup.config, Progress()
    ahead = Ahead(shuffled(setup.training, config.batch_size, config.seed, start=0))
    setup.student.train()
    try:
        with progress_bar(name, config.steps, "step") as bar:
            for batch in islice(batches(ahead), config.steps):
                train_step(setup, progress, [batch])
                bar.update()
    finally:
        ahead.close()


def batches(ahead: Ahead) -> Iterator[Batch]:
    while True:
        yield next(ahead)


@torch.no_grad()
def judged(setup: Setup) -> dict[str, float]:
    """Held-out means of every term, and the hard-label cross-entropy, by the live teacher."""
    sums: dict[str, float] = {}
    counts: dict[str, int] = {}
    for batch in in_order(setup.validation, setup.config.batch_size):
        for name, value in setup.evaluation(batch).items():
            sums[name] = sums.get(name, 0.0) + float(value)
        for name, count in setup.evaluation.counts(batch).items():
            counts[name] = counts.get(name, 0) + count
    return setup.evaluation.term_means(sums, counts)


def line(name: str, results: Mapping[str, list[dict[str, float]]], sizes: Mapping[str, str]) -> str:
    """One row: bytes, then per measure the mean and the paired differences to the live teacher."""
    own, live = results[name], results["live teacher"]
    cells = []
    for measure in own[0]:
        differences = [a[measure] - b[measure] for a, b in zip(own, live, strict=True)]
        cells.append(
            f"{measure} {mean(one[measure] for one in own):.4f} ({mean(differences):+.4f}, "
            f"{min(differences):+.4f} to {max(differences):+.4f})"
        )
    return f"{name:<22} {sizes[name]:>15}  " + "  ".join(cells)


if __name__ == "__main__":
    main()
