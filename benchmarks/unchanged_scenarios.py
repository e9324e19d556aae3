"""The scenarios of `unchanged.py`: the dumps, and the students that are trained from them.

All run in one folder. A scenario reads below `recorded/`, which is the recording itself, so a difference in a dump does not show
again in every student. It writes beside that folder.
"""

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from functools import partial
from pathlib import Path
from typing import Any

from unchanged_commands import in_todays_words, miniend, printed, stopped

DUMP = (
    "dump-teacher --examples 32 --validation-examples 12 --calibration-examples 16 --input-length 40 --noise-density 0.3 "
    "--shard-examples 12 --batch-size 8 --device cpu --threads 1"
)
TEXT = "--corpus recorded/inputs/text.txt"
PAIRS = "--corpus recorded/inputs/pairs.jsonl --objective pairs --input-length 24 --target-length 14"
LAYERS = "encoder.self@0,encoder.self,decoder.self@0,decoder.self@1,decoder.cross@0,decoder.cross"
MIXED = (
    "--corpus recorded/inputs/text.txt --corpus-weight 3 --corpus recorded/inputs/other.jsonl --corpus-weight 1.5 "
    "--shuffle-buffer 10"
)
DUMPS = {
    "t5": [f"t5 {TEXT}"],
    "v11-top-k-zstd": [
        f"v11 {TEXT} --logits top-k --top-k 16 --top-p 0.9 --temperature 2 --temperature 4 --codec zstd"
    ],
    "mt5-sampled": [f"mt5 {TEXT} --logits sampled --draws 12"],
    "umt5": [f"umt5 {TEXT} --draws 8 --logit-step 0.25"],
    "umt5-tied-zstd": [f"umt5-tied {TEXT} --codec zstd"],
    "no-logits": [f"t5 {TEXT} --logits none"],
    "only-logits": [f"t5 {TEXT} --signal '' --logits top-k --top-k 1000"],
    "layers-and-hidden": [
        f"t5 {TEXT} --signal {LAYERS},encoder.hidden@0,encoder.hidden,decoder.hidden --hidden-error 0.01"
    ],
    "calibrated": [f"t5 {TEXT} --relation-temperature calibrated"],
    "coarse": [f"t5 {TEXT} --relation-kl 0.01 --seed 3"],
    "step-and-rank": [f"t5 {TEXT} --relation-step 0.2 --relation-rank 10"],
    "pairs": [f"t5 {PAIRS}"],
    "bfloat16": [f"v11 {TEXT} --dtype bfloat16"],
    "grown": [f"t5 {TEXT} --examples 20", f"t5 {TEXT} --examples 41"],
    "in-parts": [f"t5 {TEXT} --shards 2:", f"t5 {TEXT} --shards :2"],
    "unfinished": [f"t5 {TEXT} --shards :3"],
    "mixture": [f"t5 {MIXED}"],
    "python-docs": ["t5 --corpus python-docs --shuffle-buffer 50"],
    "passes": ["t5 --corpus recorded/inputs/short.txt --passes 9 --mean-span 2 --noise-density 0.25 --seed 7"],
}
"""Name -> the arguments from `--teacher` on, for each run in turn."""

TRAIN = (
    "train-student --steps 20 --batch-size 8 --warmup-steps 4 --learning-rate 3e-3 --log-every 1 --eval-every 10 "
    "--save-every 10 --device cpu"
)
EIGHT = "--objective miniend-e --relation-heads 8"
TRAININGS = {
    "scratch": "t5 --objective scratch",
    "logits": "t5 --objective logits",
    "minilm": "t5 --objective minilm --size 2L32H",
    "implicit": "t5 --objective implicit",
    "miniend-d": "t5 --objective miniend-d",
    "miniend-e": "t5 --objective miniend-e",
    "miniend-d-no-logits": "t5 --objective miniend-d --no-logits",
    "miniend-e-no-logits": "t5 --objective miniend-e --no-logits",
    "miniend-d-qq-kk-vv": "t5 --objective miniend-d --cross-relation qq_kk_vv",
    "miniend-d-qq-kk-vv-no-logits": "t5 --objective miniend-d --cross-relation qq_kk_vv --no-logits",
    "weights": "t5 --objective miniend-d --weight cross=0.5 --weight logits=2 --weight decoder_self=0.1",
    "relation-heads": "t5 --objective miniend-e --relation-heads 4 --size 2L64H",
    "top-k": "v11-top-k-zstd --objective miniend-e",
    "temperature": "v11-top-k-zstd --objective miniend-d --temperature 2",
    "accumulate": f"t5 {EIGHT} --accumulate 2",
    "gradient-checkpointing": f"t5 {EIGHT} --gradient-checkpointing --size 2L64H",
    "bf16": f"t5 {EIGHT} --bf16",
    "bf16-logits-accumulate": "v11-top-k-zstd --objective logits --bf16 --accumulate 4",
    "adafactor": "t5 --objective miniend-e --optimizer adafactor --learning-rate 0.4",
    "adafactor-own-rate": "t5 --objective scratch --optimizer adafactor --weight-decay 0",
    "cosine": "t5 --objective logits --schedule cosine",
    "constant": "t5 --objective logits --schedule constant",
    "inverse-sqrt": "t5 --objective logits --schedule inverse-sqrt",
    "no-clip": "t5 --objective implicit --clip 0 --weight-decay 0.3",
    "clip": "t5 --objective implicit --clip 0.1 --seed 5",
    "one-pass": "t5 --size 1L32H --size 1E2D64H --objective scratch --objective miniend-d --objective miniend-e",
    "one-pass-of-one-checkpoint": "t5 --init recorded/students/logits --objective miniend-d --objective implicit",
    "own-size": f"t5 {EIGHT} --size recorded/inputs/size.json",
    "init": "t5 --init recorded/students/scratch --objective miniend-e",
    "init-from-teacher": "t5 --init-from-teacher recorded/inputs/t5 --objective miniend-d",
    "init-from-teacher-untied": "v11-top-k-zstd --init-from-teacher recorded/inputs/v11 --objective logits",
    "init-from-teacher-umt5": "umt5 --init-from-teacher recorded/inputs/umt5 --objective miniend-e --size 2L32H",
    "mt5": "mt5-sampled --objective miniend-d",
    "mt5-scratch": "mt5-sampled --objective scratch --size 2L64H",
    "umt5": "umt5 --objective miniend-e --size 2L64H",
    "umt5-tied": "umt5-tied-zstd --objective implicit",
    "no-logits-cache": "no-logits --objective miniend-e --no-logits",
    "only-logits": "only-logits --objective logits",
    "deepest-of-layers": "layers-and-hidden --objective miniend-d",
    "calibrated": "calibrated --objective miniend-d --cross-relation qq_kk_vv",
    "coarse": "coarse --objective minilm --seed 1 --size 2L32H",
    "step-and-rank": "step-and-rank --objective miniend-e",
    "pairs": "pairs --objective miniend-d",
    "pairs-scratch-accumulate": "pairs --objective scratch --accumulate 2",
    "pairs-miniend-e": f"pairs {EIGHT}",
    "bfloat16": "bfloat16 --objective implicit",
    "grown": "grown --objective miniend-e",
    "unfinished": "unfinished --objective miniend-e --allow-unfinished",
    "python-docs": "python-docs --objective logits",
    "passes": "passes --objective miniend-e",
}
"""Name -> the arguments from `--cache` on."""
INTERRUPTED = {
    "interrupted": ("t5 --objective miniend-e --size 2L64H", 4),
    "interrupted-late": ("t5 --objective logits", 13),
}
"""Name -> the arguments from `--cache` on, and the number of lines of metrics after which we stop the training and resume it."""


@dataclass(frozen=True)
class Scenario:
    """Jobs that follow one another, and the files and folders that they leave."""

    name: str
    jobs: tuple[Callable[[], None], ...]
    outputs: tuple[Path, ...]


def all_scenarios() -> list[Scenario]:
    """Return all scenarios: dumps first, and a student before the ones that start from it."""
    trained = [training(name, options) for name, options in TRAININGS.items()]
    resumed = [training(name, options, lines) for name, (options, lines) in INTERRUPTED.items()]
    return [*(dump(name, runs) for name, runs in DUMPS.items()), *trained, *resumed]


def dump(name: str, runs: list[str]) -> Scenario:
    """Return the scenario of a dump: its runs, then `inspect`, `verify` and the decoded examples of the recorded cache."""
    recorded, cache = f"recorded/caches/{name}", Path("caches", name)
    inspected, verified = Path("inspected", f"{name}.json"), Path("verified", f"{name}.json")
    decoded = Path("decoded", f"{name}.safetensors")
    commands = [shlex.split(f"{DUMP} --cache {cache} --teacher recorded/inputs/{options}") for options in runs]
    jobs = [partial(miniend, in_todays_words(command)) for command in commands]
    jobs.append(partial(printed, ["inspect", recorded, "--json"], inspected))
    jobs.append(partial(printed, ["verify", recorded, "--json"], verified))
    jobs.append(partial(decode, recorded, decoded))
    return Scenario(f"dump/{name}", tuple(jobs), (cache, inspected, verified, decoded))


def training(name: str, options: str, lines: int | None = None) -> Scenario:
    """Return the scenario of a training, or of one that we stop after this many lines of metrics and resume."""
    output = Path("students", name)
    sized = "" if "--size" in options or "--init " in options else " --size 1L32H"
    command = in_todays_words(shlex.split(f"{TRAIN} --output {output} --cache recorded/caches/{options}{sized}"))
    jobs = (partial(miniend, command),)
    if lines is not None:
        jobs = (partial(stopped, command, output / "metrics.jsonl", lines), *jobs)
    return Scenario(f"train/{name}", jobs, (output,))


def decode(cache: str, file: Path) -> None:
    """Write the decoded examples of a cache."""
    import numpy as np
    from safetensors.numpy import save_file

    import miniend as build

    opened = build.open_cache(cache, allow_unfinished=True)
    splits = {"train": opened, "validation": opened.validation}
    read = ("input_ids", "labels", "relations", "hidden", "logits")
    parts = [
        leaves({name: getattr(example, name) for name in read}, f"{split}.{k}")
        for split, part in splits.items()
        for k, example in enumerate(part)
    ]
    file.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: np.ascontiguousarray(value) for part in parts for name, value in part.items()}, file)


def leaves(value: Any, name: str) -> dict[str, Any]:
    """Return the arrays inside an example by their path."""
    if value is None:
        return {}
    if is_dataclass(value):
        inside = {field.name: getattr(value, field.name) for field in fields(value)}
    elif isinstance(value, Mapping):
        inside = dict(value)
    else:
        return {name: value}
    return {path: leaf for key, part in inside.items() for path, leaf in leaves(part, f"{name}.{key}").items()}
