"""One dump and several students on real input: bytes per token by signal, fidelity, wall times, validation losses.

    python benchmarks/end_to_end.py --teacher DIR --corpus 'FILES*.jsonl.gz' --work DIR [--examples 2000] [--input-length 256]
        [--steps 300] [--students 4L128H:miniend-e,4L128H:scratch] [--relation-temperature calibrated] ...

Students share steps, batches, seeds and optimizer. Each runs `--seeds` times, and we print the spread.
"""

import argparse
import platform
from pathlib import Path
from time import perf_counter

import torch

from miniend.recipes.inspect.inspection import describe, inspect_cache
from miniend.student_train.config import TrainConfig
from miniend.student_train.train import train_student
from miniend.teacher_dump.config import DumpConfig
from miniend.teacher_dump.dump import dump_teacher


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--teacher", required=True)
    parser.add_argument("--corpus", required=True)
    parser.add_argument("--field", default="text")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--examples", type=int, default=2000)
    parser.add_argument("--validation-examples", type=int, default=256)
    parser.add_argument("--input-length", type=int, default=256)
    parser.add_argument("--mean-noise-span-length", type=float, default=3.0)
    parser.add_argument("--relation-temperature", default="published")
    parser.add_argument("--logits", default="hybrid")
    parser.add_argument("--top-k", type=int, default=64)
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--students", default="4L128H:miniend-e,2L96H:miniend-e,4L128H:scratch")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--optimizer", default="adafactor")
    parser.add_argument("--learning-rate", type=float, default=2e-2)
    parser.add_argument("--seeds", type=int, default=1)
    return parser.parse_args()


def main() -> None:
    asked = parse()
    print(f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    begun = perf_counter()
    report = dump_teacher(
        DumpConfig(
            teacher=asked.teacher,
            corpus=asked.corpus,
            field=(asked.field,),
            cache=asked.work / "cache",
            examples=asked.examples,
            validation_examples=asked.validation_examples,
            input_length=asked.input_length,
            mean_noise_span_length=asked.mean_noise_span_length,
            relation_temperature=asked.relation_temperature,
            logits=asked.logits,
            top_k=asked.top_k,
            draws=asked.draws,
        )
    )
    print(f"dump-teacher, everything: {perf_counter() - begun:.1f} s; shard loop {report.seconds:.1f} s\n")
    facts = inspect_cache(asked.work / "cache")
    print("\n".join(describe(facts)))
    teacher = facts.teacher
    print(f"\nunigram {teacher.unigram_entropy:.3f}, teacher {teacher.validation_cross_entropy:.3f} (validation)")
    for student in asked.students.split(","):
        size, _, objective = student.partition(":")
        print(line(asked, size, objective))


def line(asked: argparse.Namespace, size: str, objective: str) -> str:
    losses, seconds = [], []
    for seed in range(asked.seeds):
        begun = perf_counter()
        validation = train_student(
            TrainConfig(
                cache=asked.work / "cache",
                output=asked.work / f"{size}-{objective}-{seed}",
                size=size,
                objective=objective,
                steps=asked.steps,
                batch_size=asked.batch_size,
                optimizer=asked.optimizer,
                learning_rate=asked.learning_rate,
                warmup_steps=asked.steps // 20,
                schedule="cosine",
                seed=seed,
                eval_every=asked.steps,
                save_every=asked.steps,
                log_every=50,
            ),
            log=lambda _line: None,
        )
        seconds.append(perf_counter() - begun)
        losses.append(validation["cross_entropy"])
    shown = ", ".join(f"{loss:.4f}" for loss in losses)
    mean = sum(seconds) / len(seconds)
    return f"{size:<8} {objective:<10} validation cross-entropy {shown}; {mean:.0f} s for {asked.steps} steps"


if __name__ == "__main__":
    main()
