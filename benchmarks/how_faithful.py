"""How faithful must a cache be? Compare students of ever less faithful caches with students of the live teacher, paired by seed.

    python benchmarks/how_faithful.py --teacher DIR --corpus 'FILES*.jsonl.gz' --work DIR [--size 2L64H] [--steps 300] [--seeds 3]

The rows are caches that differ only in the relation KL target or the logit budget. `live` is the teacher itself at every step,
with exact Q, K, V and the full KL. Students of one seed share first weights, order of examples and optimizer. The live teacher
evaluates every student on the validation examples: hard-label cross-entropy, full KL(teacher || student) and the relation KLs. We
print means over seeds, and the mean and the range of the paired differences from `live`.
"""

import argparse
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

import torch
from live_teacher import beside
from one_student import student_of

from miniend.cache import Cache, open_cache
from miniend.recipes.inspect.inspection import inspect_cache
from miniend.runtime.progress import progress_bar
from miniend.student_train.reading.loader import Prefetcher, steps
from miniend.student_train.run.processes import Processes
from miniend.student_train.run.setup import Setup
from miniend.student_train.run.student_run import StudentRun
from miniend.student_train.run.validation import evaluate
from miniend.student_train.train import train_step
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


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--teacher", required=True)
    parser.add_argument("--corpus", required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--examples", type=int, default=2048)
    parser.add_argument("--validation-examples", type=int, default=256)
    parser.add_argument("--input-length", type=int, default=128)
    parser.add_argument("--mean-noise-span-length", type=float, default=3.0)
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
    """Return the row's cache; rows with equal settings share one."""
    settings = {**BASE, **row.overrides}
    path: Path = asked.work / "-".join(str(value) for value in settings.values())
    config = DumpConfig(
        teacher=asked.teacher,
        corpus=asked.corpus,
        cache=path,
        examples=asked.examples,
        validation_examples=asked.validation_examples,
        input_length=asked.input_length,
        mean_noise_span_length=asked.mean_noise_span_length,
        relation_temperature="calibrated",
        **settings,
    )
    dump_teacher(config, log=lambda _line: None)
    return path


def size_line(cache: Cache) -> str:
    """Return the bytes per input token of everything, and the bytes per target token of the logits."""
    facts = inspect_cache(cache.path)
    relations = sum(facts.bytes.relations.values()) / facts.tokens["input"]
    return f"{relations:6.1f} + {facts.bytes_per_token.logits:5.1f}"


def one_student(asked: argparse.Namespace, cache: Cache, row: Row, seed: int, teacher: Teacher) -> dict[str, float]:
    """Train one student and evaluate it by the live teacher."""
    processes = Processes("auto")
    setup = student_of(
        cache,
        processes.device,
        size=asked.size,
        objective=asked.objective,
        steps=asked.steps,
        batch_size=asked.batch_size,
        optimizer="adafactor",
        learning_rate=asked.learning_rate,
        seed=seed,
    )
    live = beside(setup, teacher)
    train(live if row.live else setup, processes, f"{row.name} seed {seed}")
    return evaluate([live], processes)[0]


def train(setup: Setup, processes: Processes, name: str) -> None:
    config, run = setup.config, StudentRun(setup, processes)
    ahead = Prefetcher(steps(setup.feed.training, config.batch_size, config.seed, 0))
    try:
        with progress_bar(name, config.steps, "step") as bar:
            for _ in range(config.steps):
                train_step([run], next(ahead), processes)
                bar.update()
    finally:
        ahead.close()


def line(name: str, results: Mapping[str, list[dict[str, float]]], sizes: Mapping[str, str]) -> str:
    """Return one row: bytes, then per measure the mean and the paired differences from the live teacher."""
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
