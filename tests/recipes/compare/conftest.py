"""A whole comparison in miniature: a random teacher, a corpus, SST-2 in a few rows, and the YAML file that names them."""

import random

import pytest
import yaml

from support.tiny_t5 import build_tiny_t5, tiny_texts, write_texts
from support.tiny_tokenizer import build_tiny_tokenizer


@pytest.fixture(scope="session")
def small_world(tmp_path_factory):
    """Folder with teacher/, corpus.jsonl and SST-2/."""
    root = tmp_path_factory.mktemp("world")
    texts = tiny_texts(150)
    build_tiny_t5(root / "teacher", build_tiny_tokenizer(texts, 120, sentinels=10), sharpen=0.8)
    write_texts(root / "corpus.jsonl", texts)
    generator, words = random.Random(0), texts[0].split()
    for name, count in (("train", 24), ("dev", 10)):
        rows = [f"{' '.join(generator.choices(words, k=4))}\t{n % 2}" for n in range(count)]
        (root / "SST-2").mkdir(exist_ok=True)
        (root / "SST-2" / f"{name}.tsv").write_text("\n".join(["sentence\tlabel", *rows, ""]))
    return root


@pytest.fixture(scope="session")
def settings(small_world):
    """settings(**changed): what the YAML file holds; top-level keys can be changed."""

    def build(**changed):
        return {
            "teacher": str(small_world / "teacher"),
            "device": "cpu",
            "dump": {
                "corpus": str(small_world / "corpus.jsonl"),
                "examples": 24,
                "validation_examples": 8,
                "calibration_examples": 20,
                "input_length": 32,
                "noise_density": 0.3,
                "shard_examples": 10,
                "batch_size": 8,
                "codec": "zstd",
                "threads": 1,
            },
            "train": {"steps": 4, "batch_size": 4, "log_every": 1, "eval_every": 2, "save_every": 2},
            "sizes": ["1L32H"],
            "rows": {"scratch": None, "miniend-e": None},
            "seeds": 2,
            "learning_rates": ["1e-3", 3e-3],
            "evaluate": {
                "data": str(small_world),
                "seeds": 1,
                "epochs": 1,
                "batch_size": 8,
                "learning_rates": 1e-3,
                "bf16": True,
            },
            "tasks": {"glue/sst2": None},
            **changed,
        }

    return build


@pytest.fixture
def written(tmp_path, settings):
    """written(**changed): the YAML file."""

    def write(**changed):
        path = tmp_path / "comparison.yaml"
        path.write_text(yaml.safe_dump(settings(**changed), sort_keys=False))
        return path

    return write
