"""Makes a golden cache for a format version; run by hand once per version, never by a test.

PYTHONPATH=tests python tests/golden/make.py tests/golden/version-2
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from safetensors.torch import load_file, save_file

import miniend
from miniend.teacher_dump.config import DumpConfig
from miniend.teacher_dump.dump import dump_teacher
from support.tiny_t5 import build_tiny_t5, tiny_texts, write_texts
from support.tiny_tokenizer import build_tiny_tokenizer

EXAMPLES = (0, 6)
LOGITS = (
    "head_starts", "head_ids", "head_log_probabilities", "tail_mass", "draw_starts", "draw_ids", "draw_weights",
)  # fmt: skip


def main(target: Path) -> None:
    with TemporaryDirectory() as folder:
        texts = tiny_texts(40)
        tokenizer = build_tiny_tokenizer(texts, 160, sentinels=16)
        teacher = build_tiny_t5(Path(folder) / "tiny-t5", tokenizer, sharpen=0.8)
        make_sure(teacher)
        corpus = write_texts(Path(folder) / "golden.jsonl", texts)
        shared = {"teacher": str(teacher), "corpus": str(corpus), "cache": target / "cache", "input_length": 32}
        for examples, codec in ((5, "pcodec"), (8, "pcodec")):
            dump_teacher(
                DumpConfig(
                    **shared,
                    examples=examples,
                    codec=codec,
                    validation_examples=2,
                    signals="encoder.self,decoder.self,decoder.cross,encoder.hidden@all,decoder.hidden@0",
                    logits="hybrid",
                    draws=20,
                    shard_examples=3,
                    batch_size=2,
                    calibration_examples=5,
                    relation_temperature="calibrated",
                )
            )
    cache = miniend.open_cache(target / "cache")
    arrays = {}
    for index in EXAMPLES:
        example = cache[index]
        arrays |= {f"{index}.input_ids": example.input_ids, f"{index}.labels": example.labels}
        arrays |= {f"{index}.logits.{name}": getattr(example.logits, name) for name in LOGITS}
        for site, factors in example.relations.items():
            arrays |= {f"{index}.{site}.{kind}": getattr(factors, kind) for kind in ("query", "key", "value")}
        arrays |= {f"{index}.{site}.hidden": states for site, states in example.hidden.items()}
    np.savez_compressed(target / "expected.npz", **arrays)
    (target / "digest.txt").write_text(cache.digest + "\n")


def make_sure(teacher: Path) -> None:
    """Sharpen a random teacher's predictions, so that some ids are likely enough for a head."""
    weights = load_file(teacher / "model.safetensors")
    weights["decoder.final_layer_norm.weight"] *= 4
    save_file(weights, teacher / "model.safetensors", metadata={"format": "pt"})


if __name__ == "__main__":
    main(Path(sys.argv[1]))
