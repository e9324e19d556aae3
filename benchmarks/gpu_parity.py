"""Compare what a CPU and a GPU compute: every signal of a teacher, what a shard holds of it, and every loss with its gradients.

    python benchmarks/gpu_parity.py --teacher DIR --cache DIR [--device cuda] [--size 2L64H] [--examples 16]

The cache should hold all kinds of signals, and `--teacher` is the one that dumped it. Everything is in float32. A difference is
relative: |a - b| / |b| over all elements, with b from the CPU. A rounding error before the quantizer moves an integer by one
step, so we print the share of a shard's integers that differ.
"""

import argparse
import platform
from collections.abc import Iterator, Mapping

import torch
from one_student import student_of
from torch import Tensor

from miniend.cache import Cache, open_cache
from miniend.errors import MiniEndError
from miniend.runtime.devices import choose_device
from miniend.storage.columns.columns import Column
from miniend.storage.layout import ShardRange
from miniend.student_train.objective import OBJECTIVES
from miniend.student_train.reading.loader import in_order
from miniend.student_train.run.setup import Setup
from miniend.teacher_dump.calibration.calibrate import planned_sites
from miniend.teacher_dump.examples.source import ExampleSource
from miniend.teacher_dump.shards.batches import batches_of, run_teacher
from miniend.teacher_dump.shards.encoder import ShardEncoder
from miniend.teacher_dump.teacher import Teacher, load_teacher

CPU = torch.device("cpu")
BATCH = 8


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--teacher", required=True)
    parser.add_argument("--cache", required=True)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--size", default="2L64H")
    parser.add_argument("--examples", type=int, default=16)
    return parser.parse_args()


def difference(found: Tensor, exact: Tensor) -> float:
    """Return |found - exact| / |exact|; 0 where both are zero."""
    a, b = found.detach().cpu().double(), exact.detach().cpu().double()
    return float((a - b).norm() / b.norm()) if b.norm() else float((a - b).norm())


def signals(cache: Cache, teachers: Mapping[torch.device, Teacher], count: int) -> Iterator[tuple[str, float]]:
    """Yield each captured tensor and the logits with their difference, on tokens that are not padding."""
    source = ExampleSource(cache.path, cache.plan)
    sites = planned_sites(cache.plan)
    [examples] = batches_of(source, "train", 0, count, count)
    theirs, ours = (run_teacher(teacher, examples, sites) for teacher in teachers.values())
    for site in sites:
        axes = {name: place.axis for place in cache.codecs[str(site)].places for name in place.blocks}
        for name, axis in axes.items():
            exact, found = (batch.sites[str(site)][name][batch.valid[axis]] for batch in (theirs, ours))
            yield f"{site} {name}", difference(found, exact)
    yield "logits", difference(ours.valid_logits()[0], theirs.valid_logits()[0])


def integers(cache: Cache, teachers: Mapping[torch.device, Teacher], count: int) -> Iterator[tuple[str, float]]:
    """Yield the columns of a shard with the share of their integers that differ; a list of another length differs whole."""
    source = ExampleSource(cache.path, cache.plan)
    shard = ShardRange("train", 0, 0, count)
    encoded = [
        ShardEncoder(cache.plan, cache.calibration_folder, teacher, source).encode(shard).columns
        for teacher in teachers.values()
    ]
    theirs, ours = encoded
    for name, column in theirs.items():
        yield name, _share(ours[name], column)


def _share(found: Column, exact: Column) -> float:
    same_shape = found.values.shape == exact.values.shape
    return float((found.values != exact.values).mean()) if same_shape and exact.values.size else float(not same_shape)


def losses(cache: Cache, device: torch.device, size: str, count: int) -> Iterator[tuple[str, float, float]]:
    """Yield each objective that the cache serves, with the largest difference of a term's sum and that of all gradients."""
    for objective in OBJECTIVES:
        try:
            exact, found = (_gradients(cache, one, size, objective, count) for one in (CPU, device))
        except MiniEndError as error:
            print(f"{objective:>40}: left out, because {error}")
            continue
        sums = max(difference(found[0][name], exact[0][name]) for name in exact[0])
        yield objective, sums, difference(found[1], exact[1])


def _gradients(
    cache: Cache, device: torch.device, size: str, objective: str, count: int
) -> tuple[dict[str, Tensor], Tensor]:
    """Return the sums of all parts, and all gradients of their weighted mean as one vector."""
    torch.manual_seed(0)
    setup: Setup = student_of(cache, device, size=size, objective=objective, batch_size=BATCH)
    setup.student.eval()  # dropout draws other numbers on another device
    batch = next(in_order(setup.feed.training, count)).to(device)
    sums = setup.distillation(batch, setup.feed.decoder.decode(batch))
    setup.distillation.total(sums, setup.distillation.counts(batch)).backward()
    gradients = [
        one.grad.detach().cpu().double().flatten() for _, one in setup.distillation.trained() if one.grad is not None
    ]
    return {name: value.detach() for name, value in sums.items()}, torch.cat(gradients)


def main() -> None:
    asked = parse()
    device, cache = choose_device(asked.device), open_cache(asked.cache)
    print(f"{platform.machine()}, cpu and {device}, torch {torch.__version__}, {len(cache)} examples")
    teachers = {place: load_teacher(asked.teacher, "float32", place) for place in dict.fromkeys((CPU, device))}
    if device == CPU:
        teachers = {CPU: teachers[CPU], torch.device("cpu:0"): teachers[CPU]}  # both sides are the CPU
    print(f"{'signal':>40}{'difference':>12}")
    for name, value in signals(cache, teachers, asked.examples):
        print(f"{name:>40}{value:>12.1e}", flush=True)
    print(f"{'column of a shard':>40}{'other':>12}")
    for name, value in integers(cache, teachers, asked.examples):
        print(f"{name:>40}{value:>12.2%}", flush=True)
    print(f"{'objective':>40}{'sums':>12}{'gradients':>12}")
    for name, sums, gradients in losses(cache, device, asked.size, asked.examples):
        print(f"{name:>40}{sums:>12.1e}{gradients:>12.1e}", flush=True)


if __name__ == "__main__":
    main()
