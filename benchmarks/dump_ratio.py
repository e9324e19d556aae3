"""Measure the cost of a dump relative to the bare teacher: shard loop / forward to logits over the same batches; one-off costs.

    python benchmarks/dump_ratio.py --tokenizer DIR --corpus 'FILES*.jsonl.gz' --work DIR [--shape base] [--input-length 512]

The teacher has random weights in the shape of T5-base (or -small, 60 M parameters), because time does not depend on them. After
plan, segments and calibration we dump a few shards at a time (three sites and logits, with codecs, integrity and writing). The
bare forward over the same examples runs in turns with it. Two examples of every shard are measured for fidelity, so shards
shorter than the default of 256 examples look more expensive than they are. We print the median and the range of the ratios, and
the one-off costs of segments, calibration and fidelity.
"""

import argparse
import platform
from collections.abc import Iterator
from dataclasses import replace
from statistics import median
from time import perf_counter

import torch
from random_teacher import parser_for, random_teacher

from miniend.models.padding import by_axis, pad_examples
from miniend.runtime.devices import choose_device
from miniend.storage.documents.plan import Plan
from miniend.storage.folder import PublishedFolder
from miniend.storage.layout import plan_path
from miniend.teacher_dump.config import DumpConfig
from miniend.teacher_dump.dump import dump_teacher
from miniend.teacher_dump.examples.source import ExampleSource
from miniend.teacher_dump.shards.batches import batches_of
from miniend.teacher_dump.teacher import Teacher, load_teacher


def parse() -> argparse.Namespace:
    parser = parser_for(__doc__)
    parser.add_argument("--logits", default="top-k")
    parser.add_argument("--shard-examples", type=int, default=32)
    parser.add_argument(
        "--shards", type=int, default=2, help="shards per pair; writing the last one does not overlap with another"
    )
    parser.add_argument("--calibration-examples", type=int, default=16)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--device", default="auto")
    return parser.parse_args()


def main() -> None:
    asked = parse()
    device = choose_device(asked.device)
    print(f"{platform.machine()}, {device}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    config = DumpConfig(
        teacher=str(random_teacher(asked.work, asked.shape, asked.tokenizer)),
        corpus=asked.corpus,
        cache=asked.work / "cache",
        examples=asked.shard_examples * (asked.pairs * asked.shards + 1),
        validation_examples=0,
        input_length=asked.input_length,
        logits=asked.logits,
        calibration_examples=min(asked.calibration_examples, asked.shard_examples),
        batch_size=asked.batch_size,
        shard_examples=asked.shard_examples,
        dtype=asked.dtype,
        device=asked.device,
        shards="0:1",
    )
    begun = perf_counter()
    first = dump_teacher(config)
    print(f"loading, plan, segments, calibration: {perf_counter() - begun - first.seconds:.1f} s")
    teacher = load_teacher(config.teacher, asked.dtype, device)
    source = ExampleSource(config.cache, PublishedFolder(plan_path(config.cache), "plan").parsed(Plan))
    ratios = list(pairs(asked, config, teacher, source))
    print(
        f"T5-{asked.shape}, L={asked.input_length}, three sites and {asked.logits}: shard loop / bare forward "
        f"{median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f}, {len(ratios)} pairs of {asked.shards} shards "
        f"of {asked.shard_examples} examples)"
    )


def pairs(asked: argparse.Namespace, config: DumpConfig, teacher: Teacher, source: ExampleSource) -> Iterator[float]:
    """Return one ratio per pair: the dump's own loop over a few shards, and the bare forward over its examples, in turns."""
    for number in range(1, asked.pairs + 1):
        first = 1 + (number - 1) * asked.shards
        part = (first * asked.shard_examples, (first + asked.shards) * asked.shard_examples)
        bare = bare_seconds(teacher, source, config, *part) if number % 2 else 0.0
        report = dump_teacher(replace(config, shards=f"{first}:{first + asked.shards}"), log=lambda _line: None)
        bare = bare or bare_seconds(teacher, source, config, *part)
        t = report.timings
        print(
            f"  pair {number}: loop {report.seconds:.2f} s (forward {t.forward:.2f}, encoding {t.encode:.2f}, "
            f"waiting {t.wait:.2f}), {(part[1] - part[0]) / report.seconds:.1f} examples/s, bare {bare:.2f} s: "
            f"{report.seconds / bare:.3f}"
        )
        yield report.seconds / bare


def bare_seconds(teacher: Teacher, source: ExampleSource, config: DumpConfig, start: int, stop: int) -> float:
    """Return the seconds of only the forward to logits over examples [start, stop), in the dump's own batches."""
    batches = []
    for examples in batches_of(source, "train", start, stop, config.batch_size):
        padded = pad_examples(teacher.family, by_axis(teacher.family, examples), teacher.pad_id)
        batches.append([{axis: part.to(teacher.device) for axis, part in parts.items()} for parts in padded])
    begun = perf_counter()
    with torch.inference_mode():
        for batch in batches:
            teacher.forward(*batch)
    if teacher.device.type == "cuda":
        torch.cuda.synchronize()
    return perf_counter() - begun


if __name__ == "__main__":
    main()
