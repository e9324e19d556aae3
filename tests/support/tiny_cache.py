"""Tiny caches: a tokenizer, a random teacher and some text, written to disk as a user has them, and dumped for real."""

import json
import random
from pathlib import Path
from typing import Any

from support.tiny_t5 import build_tiny_t5, tiny_texts, write_texts
from support.tiny_tokenizer import build_tiny_tokenizer

TEACHER_OPTIONS = ("model_type", "tied", "v11", "layers", "d_model", "heads", "d_kv", "sharpen", "spare_rows")
DUMP = {
    "examples": 24,
    "validation_examples": 8,
    "calibration_examples": 20,
    "input_length": 32,
    "noise_density": 0.3,
    "logits": "top-k",
    "top_k": 16,
    "shard_examples": 10,
    "batch_size": 8,
    "codec": "zstd",
    "device": "cpu",
    "threads": 1,
}
PAIRS = {"task": "pairs", "field": ("source", "target"), "input_length": 24, "target_length": 14, "noise_density": 0.15}
"""Ragged examples: inputs of 4 to 24 tokens, targets of 2 to 14."""
LOSSLESS = {"spare_rows": 0, "logits": "top-k", "top_k": 1000, "logit_step": 1e-4, "relation_step": 1e-4}
"""Every row of the head is kept, and the steps are far below what a loss can feel."""

EVERY_LAYER = {
    "tied": False,
    "v11": True,
    "layers": (4, 4),
    "d_kv": 12,
    "signals": ",".join(
        [
            *(f"{stack}.self@{layer}" for stack in ("encoder", "decoder") for layer in (2, 3)),
            *(f"{stack}.hidden@{layer}" for stack in ("encoder", "decoder") for layer in range(4)),
        ]
    ),
}
"""A teacher of 4+4 layers with inner 48 of d_model 32; the states of all layers, and Q, K and V of the last two."""


def build_tiny_cache(folder: Path, vocabulary: int = 120, teacher: Path | None = None, **overrides: Any) -> Path:
    """A finished cache at `folder/cache`, beside `folder/teacher` and its corpus; the same for the same arguments.

    `overrides` are options of `build_tiny_t5` or fields of `DumpConfig`; `teacher` is a checkpoint to use instead of a new
    one, with the tokenizer that this function makes.
    """
    from miniend.teacher_dump.config import DumpConfig
    from miniend.teacher_dump.dump import dump_teacher

    folder.mkdir(parents=True, exist_ok=True)
    texts = tiny_texts(150)
    chosen = {name: overrides.pop(name) for name in TEACHER_OPTIONS if name in overrides}
    if teacher is None:
        tokenizer = build_tiny_tokenizer(texts, vocabulary, sentinels=10)
        teacher = build_tiny_t5(folder / "teacher", tokenizer, **{"sharpen": 0.8, **chosen})
    pairs = overrides.get("task") == "pairs"
    corpus = write_pairs(folder / "pairs.jsonl", texts) if pairs else write_texts(folder / "corpus.jsonl", texts)
    settings = {**DUMP, "corpus": str(corpus), "cache": folder / "cache", **overrides}
    dump_teacher(DumpConfig(teacher=str(teacher), **settings), log=lambda _line: None)
    return Path(settings["cache"])


def write_pairs(path: Path, texts: list[str]) -> Path:
    """Pairs of a few words each, of very different lengths, as JSON lines with the fields `source` and `target`."""
    generator = random.Random(0)
    rows = []
    for text in texts:
        words = text.split()
        cut = generator.randint(1, 12)
        rows.append(
            {"source": " ".join(words[:cut]), "target": " ".join(words[cut : cut + generator.choice((1, 2, 3, 7))])}
        )
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path
