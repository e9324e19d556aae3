"""Pre-train a T5 from nothing, on the source code that every Python environment has: a teacher that knows something.

python examples/pretrain.py OUTPUT [SIZE] [STEPS]

MiniEnD pre-trains when a cache has examples but no signals: the objective `scratch` reads labels only. A cache takes its
tokenizer and family from a teacher, so a tiny T5 of random weights is one here. Run it again to go on, also with more STEPS.
"""

import sys
from itertools import islice
from pathlib import Path

import miniend
from miniend.models.save import save_student
from miniend.models.start.fresh import build_student
from miniend.recipes.demo.teacher import make_tokenizer
from miniend.teacher_dump.corpus.built_in import python_source

CORPUS, EXAMPLES = "python-source", 150_000
VOCABULARY, SENTINELS, TOKENIZER_FILES = 8192, 100, 300
SHORTEST, LONGEST = 32, 232
"""Input tokens. Drawn lengths teach the end of a target by what is missing, and not by its position."""


def random_teacher(folder):
    """Write a T5 of random weights with a tokenizer that is trained on the corpus."""
    texts = islice(python_source(print), TOKENIZER_FILES)
    tokenizer = make_tokenizer(folder, texts, VOCABULARY, SENTINELS)
    shape = {"d_model": 32, "d_kv": 16, "num_heads": 2, "d_ff": 32, "num_layers": 1, "num_decoder_layers": 1}
    ids = {
        "vocab_size": tokenizer.describe(sentinels=True).size,
        "decoder_start_token_id": 0,
        "pad_token_id": 0,
        "eos_token_id": 1,
    }
    model = build_student({"model_type": "t5", **shape, **ids}, tied=True, seed=0)
    save_student(model, folder, tokenizer.files, "# Random weights\n")


def main(output, size="4L256H", steps="20000", examples=EXAMPLES):
    """Make OUTPUT/random, OUTPUT/cache and OUTPUT/teacher; each that is there already is used."""
    folder = Path(output)
    if not (folder / "random" / "config.json").exists():
        random_teacher(folder / "random")
    miniend.dump_teacher(
        teacher=folder / "random",
        corpus=CORPUS,
        cache=folder / "cache",
        examples=int(examples),
        validation_examples=max(4, int(examples) // 300),
        input_length=LONGEST,
        shortest_input_length=SHORTEST,
        signals="none",
        logits="none",
        batch_size=64,
        shard_examples=4096,
    )
    trained = miniend.train_student(
        cache=folder / "cache",
        output=folder / "teacher",
        objective="scratch",
        size=size,
        steps=int(steps),
        batch_size=16,
        learning_rate=0.02,
    )
    print(trained)


if __name__ == "__main__":
    main(*sys.argv[1:])
