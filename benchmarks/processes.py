"""Compare one process with two: the same losses, and the speed that the second one adds.

    python benchmarks/processes.py --cache DIR --work DIR [--size 4L256H] [--steps 12]

The command itself runs three times: one process with one thread, two processes of one thread under torchrun (gloo on a CPU), and
one process with two threads. The batch and everything else are equal. We print the tokens per second (the last logged line) and
the largest relative difference of any logged loss from the first run.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")
CASES = {"1 process, 1 thread": (1, 1), "1 process, 2 threads": (1, 2), "2 processes, 1 thread each": (2, 1)}


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--size", default="4L256H")
    parser.add_argument("--objective", action="append")
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--batch-size", type=int, default=16)
    return parser.parse_args()


def main() -> None:
    asked = parse()
    print(f"{platform.machine()}, {os.cpu_count()} cores")
    objectives = asked.objective or ["scratch", "minilm", "miniend-d", "miniend-e"]
    for objective in objectives:
        reference: list[dict[str, Any]] = []
        for name, (processes, threads) in CASES.items():
            lines = trained(asked, objective, processes, threads)
            reference = reference or lines
            worst = max(
                abs(line[key] / expected[key] - 1)
                for line, expected in zip(lines, reference, strict=True)
                for key in expected
                if key == "loss" or key.startswith("validation.")
            )
            speed = lines[-1]["tokens_per_second"]
            ratio = speed / reference[-1]["tokens_per_second"]
            print(
                f"{objective:<10} {name:<27} {speed:8.0f} tokens/s (x {ratio:.2f}), losses within {worst:.1e}",
                flush=True,
            )


def trained(asked: argparse.Namespace, objective: str, processes: int, threads: int) -> list[dict[str, Any]]:
    """Return the lines of metrics of one run."""
    output = asked.work / f"{objective}-{processes}-{threads}"
    options = {
        "cache": asked.cache,
        "output": output,
        "size": asked.size,
        "objective": objective,
        "steps": asked.steps,
        "batch-size": asked.batch_size,
        "log-every": max(1, asked.steps // 2),
        "eval-every": asked.steps,
    }
    command = [sys.executable, *(TORCHRUN if processes > 1 else ()), "-m", "miniend", "train-student"]
    command += [f"--{name}={value}" for name, value in options.items()]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    subprocess.run(command, env=environment, check=True, capture_output=True)
    return [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()]


if __name__ == "__main__":
    main()
