"""What --relation-kl costs and what it keeps: bytes, the worst relation, errors of Q, K and V, and students, for each target.

    python benchmarks/fidelity_target.py --teacher DIR --corpus FILES --work DIR [--targets 3e-2,1e-2,3e-3,1e-3]
        [--input-length 512] [--examples 384] [--relation-temperature published] [--students STEPS] [--relation-heads R]

The caches differ only in the target. `miniend inspect` says of them what the tables of the sites have; bytes are of the
columns only. With `--students`, some students of each cache learn for STEPS steps from labels and from the relations of all three
sites. The students of one seed share first weights and order of examples. The live teacher evaluates each on the validation
examples. We print means over seeds, and mean and range of the paired differences from the students of the smallest target.
"""

import argparse
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from time import process_time

import torch
from live_teacher import beside
from one_student import student_of

from miniend import OBJECTIVES, spec
from miniend.cache import open_cache
from miniend.recipes.inspect.facts import CacheFacts
from miniend.recipes.inspect.inspection import inspect_cache
from miniend.student_train.reading.loader import Prefetcher, steps
from miniend.student_train.run.processes import Processes
from miniend.student_train.run.setup import Setup
from miniend.student_train.run.student_run import StudentRun
from miniend.student_train.run.validation import evaluate
from miniend.student_train.train import train_step
from miniend.teacher_dump.config import DumpConfig
from miniend.teacher_dump.dump import dump_teacher
from miniend.teacher_dump.teacher import Teacher, load_teacher

OBJECTIVES.add(
    "labels-and-relations",
    (
        spec("labels"),
        spec("relations", "decoder_self", site="decoder.self"),
        spec("relations", "encoder_self", site="encoder.self"),
        spec("cross_relations", "cross", site="decoder.cross"),
    ),
)


@dataclass(frozen=True)
class Cached:
    """The cache of one target, and the losses of its students by seed."""

    target: float
    path: Path
    seconds: float
    """CPU seconds of the whole dump, the teacher's forward included."""
    students: Sequence[Mapping[str, float]]


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--teacher", required=True)
    parser.add_argument("--corpus", required=True)
    parser.add_argument(
        "--work", type=Path, required=True, help="a folder for the caches; finished ones are used again"
    )
    parser.add_argument("--targets", default="3e-2,1e-2,3e-3,1e-3")
    parser.add_argument("--input-length", type=int, default=512)
    parser.add_argument("--examples", type=int, default=384)
    parser.add_argument("--validation-examples", type=int, default=64)
    parser.add_argument("--relation-temperature", default="published")
    parser.add_argument("--students", type=int, default=0, metavar="STEPS")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--size", default="2L64H")
    parser.add_argument("--relation-heads", type=int, default=None)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--learning-rate", type=float, default=2e-2)
    return parser.parse_args()


def main() -> None:
    asked = parse()
    torch.set_num_threads(1)
    print(f"{platform.machine()}, 1 thread, torch {torch.__version__}; {asked.examples} examples")
    teacher = load_teacher(asked.teacher, "float32", torch.device("cpu")) if asked.students else None
    caches = [cached(asked, target, teacher) for target in sorted(map(float, asked.targets.split(",")), reverse=True)]
    for site in inspect_cache(caches[0].path).relations:
        print_site(site, caches)
    if asked.students:
        print_students(asked, caches)


def cached(asked: argparse.Namespace, target: float, teacher: Teacher | None) -> Cached:
    """Dump the cache of a target, and train its students."""
    path: Path = asked.work / f"{asked.relation_temperature}-{asked.input_length}-{target:g}"
    begun = process_time()
    config = DumpConfig(
        teacher=asked.teacher,
        corpus=asked.corpus,
        cache=path,
        examples=asked.examples,
        validation_examples=asked.validation_examples,
        input_length=asked.input_length,
        relation_temperature=asked.relation_temperature,
        relation_kl=target,
        logits="none",
        threads=1,
    )
    dump_teacher(config, log=lambda _line: None)
    seconds = process_time() - begun
    students = [student(asked, path, seed, teacher) for seed in range(asked.seeds)] if teacher else []
    return Cached(target, path, seconds, students)


def student(asked: argparse.Namespace, path: Path, seed: int, teacher: Teacher) -> dict[str, float]:
    """Train one student from the cache, and evaluate it by the live teacher."""
    processes = Processes("cpu")
    setup = student_of(
        open_cache(path),
        processes.device,
        size=asked.size,
        objective="labels-and-relations",
        relation_heads=asked.relation_heads,
        steps=asked.students,
        batch_size=asked.batch_size,
        optimizer="adafactor",
        learning_rate=asked.learning_rate,
        seed=seed,
    )
    train(setup, processes)
    return evaluate([beside(setup, teacher)], processes)[0]


def train(setup: Setup, processes: Processes) -> None:
    config, run = setup.config, StudentRun(setup, processes)
    ahead = Prefetcher(steps(setup.feed.training, config.batch_size, config.seed, 0))
    try:
        for _ in range(config.steps):
            train_step([run], next(ahead), processes)
    finally:
        ahead.close()


def print_site(site: str, caches: Sequence[Cached]) -> None:
    """Print a site's table: one row per target."""
    print(
        f"\n| {site}: target | bytes per token | worst relation | mean KL by relation | errors of Q, K, V | CPU s of the dump |"
    )
    print("|---|---|---|---|---|---|")
    for one in caches:
        facts = inspect_cache(one.path)
        print(f"| {one.target:.0e} | {' | '.join(cells(facts, site))} | {one.seconds:.0f} |", flush=True)


def cells(facts: CacheFacts, site: str) -> list[str]:
    """Return bytes, worst relation, mean KLs at the site's own number of heads, and errors."""
    fidelity, places = facts.fidelity, facts.bytes_per_token.of_site(site)
    worst, heads = fidelity.relation_kl_worst[site], facts.relations[site].relation_heads
    kls = ", ".join(f"{kind} {kl:.1e}" for kind, kl in fidelity.relation_kl[site].items())
    return [
        " + ".join(f"{part:.1f} per {facts.relations[site].axis[name]} token" for name, part in places.items()),
        f"{worst.kl:.1e} ({worst.kind}, R = {worst.heads})",
        f"R = {heads}: {kls}",
        ", ".join(f"{error:.1e}" for error in fidelity.tensor_error[site].values()),
    ]


def print_students(asked: argparse.Namespace, caches: Sequence[Cached]) -> None:
    """Print for each target the losses of its students, paired by seed with the students of the smallest target."""
    best = caches[-1].students
    measures = list(best[0])
    print(
        f"\n{asked.size}, {asked.students} steps of {asked.batch_size}, {asked.seeds} seeds, "
        f"relation heads {asked.relation_heads or 'by default'}"
    )
    print(f"| target | {' | '.join(measures)} |")
    print("|---" * (1 + len(measures)) + "|")
    for one in caches:
        row = []
        for measure in measures:
            values = [own[measure] for own in one.students]
            differences = [a - b[measure] for a, b in zip(values, best, strict=True)]
            row.append(
                f"{mean(values):.4f} ({mean(differences):+.4f}, {min(differences):+.4f} to {max(differences):+.4f})"
            )
        print(f"| {one.target:.0e} | {' | '.join(row)} |")
    spreads = [max(own[measure] for own in best) - min(own[measure] for own in best) for measure in measures]
    print(f"| spread of seeds | {' | '.join(f'{spread:.4f}' for spread in spreads)} |")


if __name__ == "__main__":
    main()
