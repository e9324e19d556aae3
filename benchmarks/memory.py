"""Measure the peak memory of a dump and of a student's loader as the number of examples grows: both must stay flat.

    python benchmarks/memory.py --teacher DIR --corpus 'FILES*.jsonl.gz' --work DIR [--examples 1000,10000] [--input-length 64]

Every measurement runs in a separate process: `dump-teacher` from nothing to a finished cache, then an epoch of reading with the
training loader (all relations and logits). We print the peak resident memory of each.
"""

import argparse
import platform
import subprocess
import sys
from pathlib import Path

import torch

DUMP = """
import resource, sys
from miniend.teacher_dump.config import DumpConfig
from miniend.teacher_dump.dump import dump_teacher
teacher, corpus, cache, examples, length = sys.argv[1:]
dump_teacher(DumpConfig(teacher=teacher, corpus=corpus, cache=cache, examples=int(examples), input_length=int(length),
                        logits="hybrid", validation_examples=64), log=lambda _line: None)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""
READ = """
import resource, sys
from miniend.cache import open_cache
from miniend.student_train.reading.loader import BatchSource, Columns, steps
cache = open_cache(sys.argv[1])
coefficients = tuple((name, p.axis) for codec in cache.codecs.values() for name, p in codec.columns.items())
columns = Columns(cache.family, coefficients, (cache.logit_code.kind, len(cache.logit_code.order), False))
batches = steps(BatchSource(cache.training, columns, 0), 16, seed=0, start=0)
for _ in range(len(cache) // 16):
    next(batches)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--teacher", required=True)
    parser.add_argument("--corpus", required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--examples", default="1000,10000")
    parser.add_argument("--input-length", default="64")
    return parser.parse_args()


def main() -> None:
    asked = parse()
    print(f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    print(f"{'examples':>10}{'dump, MB':>12}{'reading an epoch, MB':>24}")
    for examples in asked.examples.split(","):
        cache = str(asked.work / f"cache-{examples}")
        dump = peak(DUMP, asked.teacher, asked.corpus, cache, examples, asked.input_length)
        print(f"{examples:>10}{dump:>12.0f}{peak(READ, cache):>24.0f}", flush=True)


def peak(program: str, *arguments: str) -> float:
    """Return the peak resident memory in MB of a program that prints it in KiB as its last line."""
    run = subprocess.run([sys.executable, "-c", program, *arguments], check=True, stdout=subprocess.PIPE, text=True)
    return int(run.stdout.split()[-1]) * 1024 / 1e6


if __name__ == "__main__":
    main()
