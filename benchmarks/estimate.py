"""Compare `miniend estimate` with the dump itself: bytes by signal and seconds by part, and their ratios.

    python benchmarks/estimate.py --teacher DIR --corpus 'FILES*.jsonl.gz' --work DIR [--examples 5000] [--input-length 256]
        [--mean-noise-span-length 3.3] [--logits hybrid] [--validation-examples 512] [--sample-examples 256]

On a machine that does other work at the same time, only the bytes can be compared.
"""

import argparse
import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from time import perf_counter

from miniend.recipes.estimate.config import EstimateConfig
from miniend.recipes.estimate.estimate import describe, estimate
from miniend.runtime.options import completed
from miniend.storage.folder import PublishedFolder
from miniend.storage.survey import survey
from miniend.teacher_dump.config import DumpConfig
from miniend.teacher_dump.dump import dump_teacher
from miniend.teacher_dump.shards.space import folder_sizes


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--teacher", required=True)
    parser.add_argument("--corpus", required=True)
    parser.add_argument("--work", type=Path, required=True, help="directory for the cache")
    parser.add_argument("--examples", type=int, default=5000)
    parser.add_argument("--validation-examples", type=int, default=512)
    parser.add_argument("--input-length", type=int, default=256)
    parser.add_argument("--mean-noise-span-length", type=float, default=3.0)
    parser.add_argument("--logits", default="top-k")
    parser.add_argument("--sample-examples", type=int)
    return parser.parse_args()


def main() -> None:
    asked = parse()
    config = DumpConfig(
        teacher=asked.teacher,
        corpus=asked.corpus,
        cache=asked.work / "cache",
        examples=asked.examples,
        validation_examples=asked.validation_examples,
        input_length=asked.input_length,
        mean_noise_span_length=asked.mean_noise_span_length,
        logits=asked.logits,
    )
    begun = perf_counter()
    told = estimate(completed(EstimateConfig, config, sample_examples=asked.sample_examples))
    print("\n".join(describe(told)))
    print(f"\nthe estimate took {perf_counter() - begun:.1f} s")
    report = dump_teacher(config)
    before = report.before
    seconds = {"start": before.start, "segments": before.segments, "calibration": before.calibration}
    seconds |= {"shards": report.seconds}
    compare("bytes", told.bytes, sizes(asked.work / "cache"))
    compare("seconds", told.seconds, {**seconds, "total": sum(seconds.values())})
    print(json.dumps(told.as_json()["students_to_pay"]))


def sizes(cache: Path) -> dict[str, float]:
    """Return the bytes of a whole cache by the signals that the estimate names."""
    found: Counter[str] = Counter()
    for name, kind in survey(cache).folders.items():
        folder = PublishedFolder(cache / name, kind)
        if kind == "marker":
            found.update(folder_sizes([folder]).of(folder.document["stop"] - folder.document["start"], 1))
        else:
            found["bases" if kind == "calibration" else "plan"] += folder.total_bytes
    total = sum(path.stat().st_size for path in cache.rglob("*") if path.is_file())
    return {**found, "total": total}


def compare(what: str, told: Mapping[str, float], found: dict[str, float]) -> None:
    print(f"\n{what:<28} {'estimated':>14} {'found':>14} {'ratio':>7}")
    for name, size in found.items():
        print(f"{name:<28} {told[name]:>14,.1f} {size:>14,.1f} {told[name] / size:>7.3f}")


if __name__ == "__main__":
    main()
