"""Measure caches and students of a text encoder: bytes by error, and how near students come on texts that nobody trained on.

    python benchmarks/encoders.py --teacher DIR --corpus FILES --work DIR [--size 2L128H] [--texts 4000] [--steps 600]
        [--batch-size 16] [--seeds 2]

The texts are sentences of 5 to 40 words, of JSON lines with a field `text`, as prompts are. One table has bytes per token of the
final states at `--hidden-error` 1e-1 to 1e-3, beside bfloat16 and float8 (e4m3), with error and cosine of each.

The other compares encoders of one size on the cache's validation texts: students of `--objective encoder` from each of the
caches, the encoder of a student of `miniend-e` without logits, which learned as long on span corruption of the same texts, and
random weights. A map of each one's states to the teacher's width is fitted by least squares on training texts, so that all are
treated alike. A student of `encoder` is also shown with the map that it learned. Printed are the share of variance that is
not explained, the mean cosine of tokens and of the means of texts, and how often the text whose mean is nearest is the one
that the teacher finds.
"""

import argparse
import gzip
import json
import platform
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from torch import Tensor

import miniend
from miniend.cache import Cache
from miniend.models.families import family_named
from miniend.models.size import student_config
from miniend.models.start.fresh import build_student
from miniend.recipes.judge_encoder.encoder import Encoder
from miniend.recipes.judge_encoder.states import Nearness, fitted
from miniend.runtime.progress import silent

ERRORS = (1e-1, 3e-2, 1e-2, 1e-3)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--teacher", required=True)
    parser.add_argument("--corpus", nargs="+", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--size", default="2L128H")
    parser.add_argument("--texts", type=int, default=4000)
    parser.add_argument("--held-out", type=int, default=500)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


def sentences(files: Sequence[Path], most: int) -> Iterator[str]:
    """Yield the first sentences of 5 to 40 words, each once, of at most four from a document."""
    seen = set[str]()
    for path in files:
        with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as lines:
            for line in lines:
                found = re.split(r"(?<=[.!?])\s+", str(json.loads(line)["text"]))
                for text in [one for one in found if 5 <= len(one.split()) <= 40][:4]:
                    if text not in seen:
                        seen.add(text)
                        yield text
                        if len(seen) == most:
                            return


def ids_of(split: Any) -> list[Tensor]:
    """Return the token ids of the cached texts."""
    return [torch.from_numpy(np.asarray(split[number].input_ids, dtype=np.int64)) for number in range(len(split))]


def states_of(model: Any, texts: Sequence[Tensor]) -> list[Tensor]:
    """Return the final states of each text, float32 [length, width]."""
    encoder = Encoder(model, None)
    return [one for first in range(0, len(texts), 32) for one in encoder.states(texts[first : first + 32])]


def nearness(ours: Sequence[Tensor], theirs: Sequence[Tensor]) -> Nearness:
    """Return how near the states of some texts are to the teacher's."""
    found = Nearness(theirs[0].shape[1])
    for own, one in zip(ours, theirs, strict=True):
        found.add(own, one)
    return found


def row(name: str, ours: Sequence[Tensor], theirs: Sequence[Tensor]) -> None:
    """Print what the states of a student are worth, beside the teacher's."""
    near = nearness(ours, theirs)
    print(
        f"| {name} | {1 - near.explained:.3f} | {near.cosine:.3f} | {near.cosine_of_texts:.3f} | {near.same_nearest:.1%} |",
        flush=True,
    )


def dumped(asked: argparse.Namespace, name: str, corpus: Path, **settings: Any) -> Cache:
    """Return a cache of the texts, made unless it is there."""
    shared = {"validation_examples": asked.held_out, "device": "cpu", "threads": asked.threads, "log": silent}
    settings = {"teacher": asked.teacher, "corpus": str(corpus), "cache": asked.work / name, **shared, **settings}
    miniend.dump_teacher(**settings)
    return miniend.open_cache(asked.work / name)


def bytes_table(caches: dict[float, Cache], teacher: Any) -> None:
    """Print bytes per token, error and cosine of every cache, and of the formats of numbers."""
    print("\n| final states | bytes per token | squared error / energy | cosine |\n|---|---|---|---|")
    first = next(iter(caches.values()))
    texts = ids_of(first.validation)
    exact = states_of(teacher, texts)
    for error, cache in caches.items():
        facts = miniend.inspect(str(cache.path))
        near = nearness([torch.as_tensor(np.asarray(one.hidden["encoder.final"])) for one in cache.validation], exact)
        [places] = facts.bytes_per_token.hidden.values()
        size = places if isinstance(places, float) else sum(places.values())
        print(f"| `--hidden-error {error:g}` | {size:.1f} | {1 - near.explained:.1e} | {near.cosine:.4f} |", flush=True)
    for name, dtype, size in (("bfloat16", torch.bfloat16, 2), ("float8 e4m3", torch.float8_e4m3fn, 1)):
        near = nearness([one.to(dtype).float() for one in exact], exact)
        print(f"| {name} | {size * exact[0].shape[1]:.1f} | {1 - near.explained:.1e} | {near.cosine:.4f} |", flush=True)


def main() -> None:
    """Run everything."""
    asked = parse()
    torch.set_num_threads(asked.threads)
    asked.work.mkdir(parents=True, exist_ok=True)
    corpus = asked.work / "sentences.jsonl"
    corpus.write_text(
        "".join(json.dumps({"text": one}) + "\n" for one in sentences(asked.corpus, asked.texts + 3 * asked.held_out))
    )
    print(f"{platform.machine()}, {asked.threads} threads, torch {torch.__version__}; {vars(asked)}", flush=True)
    teacher = transformers.AutoModelForTextEncoding.from_pretrained(asked.teacher).eval()
    encoder = {"encoder_only": True, "examples": asked.texts, "input_length": 64}
    caches = {error: dumped(asked, f"error-{error:g}", corpus, hidden_error=error, **encoder) for error in ERRORS}
    bytes_table(caches, teacher)

    cache = caches[1e-2]
    spans = {"signals": ("encoder.self", "decoder.self"), "logits": "none", "examples": asked.texts, "input_length": 64}
    full = dumped(asked, "relations", corpus, **spans, relation_temperature="calibrated", corpus_epochs=20)
    training, held_out = ids_of(cache.training)[: 4 * asked.held_out], ids_of(cache.validation)
    theirs, on_training = states_of(teacher, held_out), states_of(teacher, training)
    print(
        "\n| encoder | not explained | cosine of tokens | cosine of texts | same nearest text |\n|---|---|---|---|---|"
    )

    def with_map(name: str, model: Any) -> None:
        weight, bias = fitted(zip(states_of(model, training), on_training, strict=True))
        row(name, [one @ weight.T + bias for one in states_of(model, held_out)], theirs)

    run = {"size": asked.size, "steps": asked.steps, "batch_size": asked.batch_size, "device": "cpu", "log": silent}
    for seed in range(asked.seeds):
        config = student_config(asked.size, cache.plan.teacher.config)
        family = family_named(cache.plan.teacher.facts.model_type)
        with_map(
            f"random weights, seed {seed}", build_student({**config, "model_type": family.name}, True, seed).eval()
        )
        output = asked.work / f"relations-{seed}"
        miniend.train_student(
            cache=str(full.path), output=output, objective="miniend-e", logits=False, seed=seed, **run
        )
        whole = transformers.AutoModelForSeq2SeqLM.from_pretrained(output)
        with_map(f"`miniend-e --no-logits`, seed {seed}", whole.get_encoder().eval())
        for error, own in caches.items():
            output = asked.work / f"encoder-{error:g}-{seed}"
            miniend.train_student(cache=str(own.path), output=output, objective="encoder", seed=seed, **run)
            name = f"`encoder` from error {error:g}, seed {seed}"
            projected = miniend.ProjectedT5Encoder.from_student(output)
            row(f"{name}, learned map", states_of(projected, held_out), theirs)
            with_map(name, projected.student.eval())


if __name__ == "__main__":
    main()
