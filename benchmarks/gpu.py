"""Measure everything that a GPU changes, in ten minutes of one GPU: parity, dumps, losses and training steps.

    python benchmarks/gpu.py [--device cuda] [--minutes 10] [--work DIR] [--tiny]

It needs no material: the corpus is the documentation of Python, the tokenizer is trained on it, and the teachers
have random weights, since time does not depend on them. Every part is another script of this folder, in a process of its own;
its command is printed above what it prints. A part that does not fit into the minutes that are left is stopped and said so.

| part | script | what it shows |
|---|---|---|
| parity | `gpu_parity.py` | every signal, every column of a shard and every loss: CPU against GPU, float32 |
| dump of T5-base and T5-large | `dump_ratio.py` | the shard loop over the bare forward, examples per second, seconds of waiting |
| training | `training_step.py` | a step from the cache over one from memory, and what waits |
| relations, logits, states | `relation_loss.py`, `logit_loss.py`, `hidden_cost.py` | our losses over the naive ones |

`--tiny` takes shapes that a CPU computes in a minute or two, to try the script.
"""

import argparse
import platform
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from time import monotonic

import torch
from random_teacher import random_teacher

from miniend.recipes.demo.teacher import CORPUS, corpus_texts, make_tokenizer
from miniend.runtime.devices import choose_device
from miniend.runtime.progress import silent
from miniend.teacher_dump.config import DumpConfig
from miniend.teacher_dump.dump import dump_teacher

HERE = Path(__file__).parent
SIGNALS = ("encoder.self", "decoder.self", "decoder.cross", "encoder.hidden@all", "decoder.hidden@all")


@dataclass(frozen=True, kw_only=True, slots=True)
class Sizes:
    """How large everything is."""

    vocabulary: int
    """The rows of the tokenizer."""
    documents: int
    """The documents that the tokenizer is trained on."""
    teachers: tuple[str, ...]
    """The shapes whose dumps are timed (`random_teacher.py`)."""
    batch: int
    length: int
    shard: int
    dtype: str
    students: str
    relation: tuple[str, ...]
    logits: tuple[str, ...]
    hidden: tuple[str, ...]


FULL = Sizes(
    vocabulary=8192,
    documents=2000,
    teachers=("base", "large"),
    batch=64,
    length=512,
    shard=256,
    dtype="bfloat16",
    students="6L384H,4L128H",
    relation=("--lengths", "512,2048", "--tokens", "32768", "--limit-mb", "0"),
    logits=("--positions", "8192,65536"),
    hidden=("--batch-size", "64", "--memory-tokens", "65536"),
)
TINY = Sizes(
    vocabulary=1024,
    documents=50,
    teachers=("tiny",),
    batch=4,
    length=32,
    shard=8,
    dtype="float32",
    students="1L32H",
    relation=("--lengths", "32", "--tokens", "64", "--heads", "8", "--repeats", "1", "--limit-mb", "0"),
    logits=("--positions", "64", "--vocabulary", "1000", "--width", "32", "--repeats", "1"),
    hidden=(
        "--size",
        "1L64H",
        "--length",
        "16",
        "--targets",
        "8",
        "--rank",
        "32",
        "--repeats",
        "1",
        "--memory-tokens",
        "512",
    ),
)


@dataclass(frozen=True, slots=True)
class Part:
    """One script with its options."""

    title: str
    script: str
    options: Sequence[object]


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--work", type=Path, default=Path("gpu-benchmark"))
    parser.add_argument("--tiny", action="store_true")
    return parser.parse_args()


def main() -> None:
    asked = parse()
    until = monotonic() + 60 * asked.minutes
    device, sizes = choose_device(asked.device), TINY if asked.tiny else FULL
    print(described(device), flush=True)
    tokenizer = material(asked.work, sizes)
    dumped = parity_cache(asked.work, tokenizer, sizes)
    print(f"material made in {60 * asked.minutes - (until - monotonic()):.0f} s", flush=True)
    for part in parts(asked.work, tokenizer, dumped, device, sizes):
        run(part, until - monotonic())


def described(device: torch.device) -> str:
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    return f"{name}, torch {torch.__version__}, CUDA {torch.version.cuda}, {torch.get_num_threads()} CPU threads"


def material(work: Path, sizes: Sizes) -> Path:
    """Return the folder of a tokenizer, which is trained once."""
    folder = work / "tokenizer"
    if not (folder / "tokenizer.json").exists():
        make_tokenizer(folder, islice(corpus_texts(), sizes.documents), sizes.vocabulary)
    return folder


def parity_cache(work: Path, tokenizer: Path, sizes: Sizes) -> Path:
    """Return a small cache of every kind of signal, dumped on the CPU by a tiny teacher; the training steps of parity read it."""
    cache = work / "parity-cache"
    dump_teacher(
        DumpConfig(
            teacher=str(random_teacher(work, "tiny", tokenizer)),
            corpus=CORPUS,
            cache=cache,
            examples=32,
            validation_examples=0,
            input_length=min(64, sizes.length),
            signals=SIGNALS,
            calibration_examples=16,
            batch_size=8,
            shard_examples=16,
            device="cpu",
        ),
        log=silent,
    )
    return cache


def parts(work: Path, tokenizer: Path, parity: Path, device: torch.device, sizes: Sizes) -> Iterator[Part]:
    """Yield the parts, those first without which the others mean nothing."""
    on = ("--device", device)
    teacher = random_teacher(work, "tiny", tokenizer)
    yield Part("CPU against GPU", "gpu_parity.py", ("--teacher", teacher, "--cache", parity, *on))
    for shape in sizes.teachers:
        yield Part(f"the dump of T5-{shape}", "dump_ratio.py", dump_options(work, tokenizer, shape, sizes, on))
    cache = work / sizes.teachers[0] / "cache"
    steps = ("--cache", cache, "--size", sizes.students, "--batch-size", sizes.batch, "--steps", 4, *on)
    yield Part("training steps", "training_step.py", (*steps, *(() if sizes.dtype == "float32" else ("--bf16",))))
    yield Part("the loss on relations", "relation_loss.py", (*sizes.relation, *on))
    yield Part("the loss on logits", "logit_loss.py", (*sizes.logits, *on))
    yield Part("the loss on hidden states", "hidden_cost.py", (*sizes.hidden, *on))


def dump_options(work: Path, tokenizer: Path, shape: str, sizes: Sizes, on: tuple[object, ...]) -> tuple[object, ...]:
    made = ("--tokenizer", tokenizer, "--corpus", CORPUS, "--work", work / shape, "--shape", shape)
    lengths = ("--input-length", sizes.length, "--batch-size", sizes.batch, "--shard-examples", sizes.shard)
    return (*made, *lengths, "--pairs", 3, "--logits", "hybrid", "--dtype", sizes.dtype, *on)


def run(part: Part, seconds: float) -> None:
    """Run one part, and say its command and how it ended."""
    command = [part.script, *map(str, part.options)]
    print(f"\n## {part.title}\n\n    python benchmarks/{' '.join(command)}\n", flush=True)
    if seconds <= 0:
        print("left out: no time is left")
        return
    begun = monotonic()
    try:
        status = subprocess.run([sys.executable, str(HERE / command[0]), *command[1:]], check=False, timeout=seconds)
    except subprocess.TimeoutExpired:
        print(f"stopped after {seconds:.0f} s: no time is left")
        return
    ended = "" if not status.returncode else f", exit status {status.returncode}"
    print(f"({monotonic() - begun:.0f} s{ended})", flush=True)


if __name__ == "__main__":
    main()
