"""Measure what several layers of hidden states cost in a cache: each by itself, each predicted from the layer below, or jointly.

    python benchmarks/stacks.py --teacher DIR --corpus FILES [--input-length 512] [--examples 320] [--tokens 16384]
        [--errors 1e-1,1e-2,1e-3] [--counts 1,2,4] [--relation-kl 1e-3] [--dump-examples 192]
        [--stacks encoder,decoder] [--parts attention,dump]

Codes are fitted on half of the examples, steps are searched on an eighth, and the rest is measured: bytes of columns as a shard
writes them, per token of the stack. Bases are not counted. `--tokens` limits the tokens that a basis is fitted on; the other
parts shrink with it. Layers are chosen by `uniform:N`. "joint" is one code of the layers side by side, each over the root of its
centred energy (`stack_codes.py`); its error is the mean over layers.

With the predicted code we print the speed of coding all layers. Then come the same prediction for Q, K and V of all layers, and a
dump with all layers over the bare forward of the same examples, in turns. At the end is what `inspect` says of its layers.
"""

import argparse
import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter

import numpy as np
import torch
from dump_ratio import bare_seconds
from stack_codes import Coded, Layers, joint, of_attention, predicted, separate

from miniend.recipes.inspect.inspection import describe, inspect_cache
from miniend.signals.codes.prediction import decode_chain
from miniend.signals.kinds import parse_sites
from miniend.storage.columns.columns import Column, read_column, write_column
from miniend.teacher_dump.config import DumpConfig
from miniend.teacher_dump.dump import dump_teacher
from miniend.teacher_dump.examples.source import ExampleSource
from miniend.teacher_dump.prepare import open_sources, prepare_examples
from miniend.teacher_dump.shards.batches import batches_of, run_teacher
from miniend.teacher_dump.teacher import Teacher
from miniend.teacher_dump.worker import Worker

BATCH, SHARD = 16, 32
PAIRS = 3
"""The pairs of a dump and a bare forward."""
METHODS = {"separate": separate, "predicted": predicted, "joint": joint}


@dataclass(frozen=True)
class Material:
    """The teacher, its examples, and the names of its stacks with their depths."""

    teacher: Teacher
    source: ExampleSource
    depths: Mapping[str, int]


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--teacher", required=True)
    parser.add_argument("--corpus", required=True)
    parser.add_argument("--field", default="text")
    parser.add_argument("--input-length", type=int, default=512)
    parser.add_argument("--examples", type=int, default=320)
    parser.add_argument("--tokens", type=int, default=16_384)
    parser.add_argument("--errors", default="1e-1,1e-2,1e-3")
    parser.add_argument("--counts", default="", help="numbers of layers; by default 1, half and all")
    parser.add_argument("--relation-kl", type=float, default=1e-3)
    parser.add_argument("--dump-examples", type=int, default=192)
    parser.add_argument("--stacks", default="encoder,decoder")
    parser.add_argument("--parts", default="attention,dump", help="what to measure beside hidden states")
    return parser.parse_args()


def main() -> None:
    asked = parse()
    torch.set_num_threads(1)
    print(f"{platform.machine()}, 1 thread, torch {torch.__version__}; {asked.examples} examples")
    errors = [float(error) for error in asked.errors.split(",")]
    with TemporaryDirectory() as folder, torch.inference_mode():
        material = opened(asked, Path(folder))
        for stack in asked.stacks.split(","):
            depth = material.depths[stack]
            counts = [int(one) for one in asked.counts.split(",") if one] or sorted({1, depth // 2, depth} - {0})
            every = layers_of(material, f"{stack}.hidden@all", asked)
            print(
                f"\n{stack}, {depth} layers, {every.tokens:,} measured tokens: bytes per token, kept components in brackets"
            )
            for line in (line for error in errors for line in sizes(every, counts, error)):
                print(line, flush=True)
            if "attention" in asked.parts:
                print(attention(material, stack, asked), flush=True)
        for line in dump_cost(asked, material, Path(folder)) if "dump" in asked.parts else ():
            print(line, flush=True)


def opened(asked: argparse.Namespace, folder: Path) -> Material:
    """Return the teacher and the training examples of a planned dump."""
    config = config_of(asked, folder / "cache", asked.examples)
    sources = open_sources(config, Worker())
    _, source = prepare_examples(config, sources)
    return Material(sources.teacher, source, sources.teacher.family.depths(sources.teacher.facts))


def config_of(asked: argparse.Namespace, cache: Path, examples: int, **others: object) -> DumpConfig:
    """Return a dump's configuration; `others` are further options."""
    settings = {
        "signals": "none",
        "examples": examples,
        "validation_examples": 0,
        "batch_size": BATCH,
        "shard_examples": SHARD,
        "device": "cpu",
        "threads": 1,
        **others,
    }
    named = {"teacher": asked.teacher, "corpus": asked.corpus, "field": (asked.field,), "cache": cache}
    return DumpConfig(**named, input_length=asked.input_length, **settings)


def layers_of(material: Material, names: str, asked: argparse.Namespace) -> Layers:
    """Return the samples of some sites of one stack, cut into the parts for bases, steps and measuring."""
    sites = parse_sites(names, material.depths)
    axis = material.teacher.family.stack(sites[0].stack).axis
    found: dict[str, list[list]] = {}
    shares = {"basis": asked.examples // 2, "step": asked.examples // 8, "unseen": asked.examples * 3 // 8}
    begin = 0
    for part, share in shares.items():
        found[part], tokens, most = [[] for _ in sites], 0, asked.tokens * share / shares["basis"]
        for examples in batches_of(material.source, "train", begin, begin + share, BATCH):
            batch = run_teacher(material.teacher, examples, sites)
            for own, site in zip(found[part], sites, strict=True):
                own.append(batch.sample(site))
            tokens += int(batch.valid[axis].sum())
            if tokens >= most:
                break
        begin += share
    return Layers(sites, axis, **found)


def sizes(every: Layers, counts: Sequence[int], error: float) -> Iterator[str]:
    """Yield a line for each method: the bytes of 1 layer up to all, and by layer."""
    for name, method in METHODS.items():
        cells = []
        for count in counts:
            coded = method(every.uniform(count), error)
            by_column = [size / coded.tokens for size in column_bytes(coded).values()]
            kept = ",".join(str(len(rows)) for rows in coded.integers.values())
            shown = f" = {' + '.join(f'{size:.1f}' for size in by_column)}" if len(by_column) > 1 else ""
            cells.append(f"{count}: {sum(by_column):.1f}{shown} [{kept}], error {max(coded.errors):.1e}")
        yield f"  {error:.0e} {name:<10} " + "; ".join(cells)
        if name == "predicted":
            yield speeds(coded, error)


def column_bytes(coded: Coded) -> dict[str, int]:
    """Return the bytes of each column of integers as a shard writes it."""
    found = {}
    with TemporaryDirectory() as folder:
        for name, values in coded.integers.items():
            write_column(Path(folder), name, Column(values=values, axis="input"), "pcodec")
            found[name] = sum(file.stat().st_size for file in (Path(folder) / name).rglob("*") if file.is_file())
    return found


def speeds(coded: Coded, error: float) -> str:
    """Return the tokens per second and core of all layers: to integers, to files, and both ways back."""
    with TemporaryDirectory() as folder:
        begun = perf_counter()
        for name, values in coded.integers.items():
            write_column(Path(folder), name, Column(values=values, axis="input"), "pcodec")
        written = perf_counter() - begun
        begun = perf_counter()
        stored = {name: read_column(Path(folder), name) for name in coded.integers}
        read = perf_counter() - begun
    integers = {name: torch.from_numpy(np.ascontiguousarray(rows.T.astype(np.int32))) for name, rows in stored.items()}
    codecs = {str(codec.site): codec for codec in coded.codecs}
    begun = perf_counter()
    decode_chain(codecs, codecs, integers, coded.ids)
    decoded = perf_counter() - begun
    parts = {"encode": coded.seconds, "write": written, "read": read, "decode": decoded}
    rates = ", ".join(f"{name} {coded.tokens / seconds:,.0f}" for name, seconds in parts.items())
    return f"  {error:.0e} all layers predicted, tokens per second and core: {rates}"


def attention(material: Material, stack: str, asked: argparse.Namespace) -> str:
    """Return the bytes of Q, K and V of all layers of a stack at equal relation KL, by themselves and predicted."""
    every = layers_of(material, f"{stack}.self@all", asked)
    cells = []
    for name in ("separate", "predicted"):
        coded = of_attention(every, asked.relation_kl, name == "predicted")
        by_column = [size / coded.tokens for size in column_bytes(coded).values()]
        cells.append(f"{name} {sum(by_column):.1f} = {' + '.join(f'{size:.1f}' for size in by_column)}")
    return f"\n{stack}.self@all, Q, K and V at relation KL {asked.relation_kl:g}, bytes per token: {'; '.join(cells)}"


def dump_cost(asked: argparse.Namespace, material: Material, folder: Path) -> Iterator[str]:
    """Yield what a dump costs over the bare forward: with the last layer of each stack, and with all, by both codes."""
    shards = asked.dump_examples // SHARD - 1
    for names, code in (("last:1", "predicted"), ("all", "separate"), ("all", "predicted")):
        signals = tuple(f"{stack}.hidden@{names}" for stack in material.depths)
        options = {"signals": signals, "hidden_code": code, "logits": "none", "calibration_examples": 80}
        cache = folder / f"{names}-{code}".replace(":", "-")
        config = config_of(asked, cache, asked.dump_examples, **options)
        dump_teacher(replace(config, shards="0:1"), lambda _line: None)
        ratios = []
        for pair in range(PAIRS):
            first, last = (1 + place * shards // PAIRS for place in (pair, pair + 1))
            bare = bare_seconds(material.teacher, material.source, config, first * SHARD, last * SHARD)
            report = dump_teacher(replace(config, shards=f"{first}:{last}"), lambda _line: None)
            ratios.append(report.seconds / bare)
        spread = f"{median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        yield f"dump of hidden@{names}, {code}, over the bare forward: {spread}"
    yield from (line for line in describe(inspect_cache(cache)) if "hidden@" in line)


if __name__ == "__main__":
    main()
