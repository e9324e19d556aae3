"""Make the demo's own teacher: a tokenizer and a small T5, from Python's documentation.

With a checkpoint of your own you do not need this. The demo makes one because it must not download any.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch

from ...models.families import SpecialIds, family_of
from ...models.optimizers import build_optimizer, learning_rate_at, set_learning_rate
from ...models.padding import by_axis, pad_examples
from ...models.save import save_student
from ...models.start.fresh import build_student
from ...runtime.progress import progress_bar, quiet_transformers
from ...storage.documents.plan import PlannedTokenizer
from ...teacher_dump.corpus.corpus import documents, parse_corpus
from ...teacher_dump.corpus.tokenizer import TextTokenizer
from ...teacher_dump.examples.packing import is_validation, pack_segments
from ...teacher_dump.examples.span_corruption import SpanLengths, corrupt, example_rng, lengths, noise_mask

VOCABULARY = 2048
SENTINELS = 32
SCORE_DECIMALS = 6
CORPUS = "python-docs"
_PRETRAINING_STREAM = 2
"""The random stream of the teacher's corruptions; the dump's two splits use other streams."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TeacherRecipe:
    """The shape and the training of the demo's teacher."""

    config: dict[str, Any]
    input_length: int
    steps: int
    batch_size: int
    seed: int
    validation_share: float


def make_tokenizer(
    folder: Path, texts: Iterable[str], vocabulary: int = VOCABULARY, sentinels: int = SENTINELS
) -> TextTokenizer:
    """Train a Unigram tokenizer like T5's on texts: pad 0, EOS 1, unk 2, sentinels last, descending.

    Reading a score from JSON may change its last bit, and that bit decides between splits of a row of `=` that are equally
    probable. So we round the scores to what JSON keeps, or transformers' class and the file would give some texts other ids.
    """
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
    from transformers import T5Tokenizer

    trained = Tokenizer(models.Unigram())
    trained.normalizer = normalizers.NFKC()
    trained.pre_tokenizer = pre_tokenizers.Metaspace()
    special = ["<pad>", "</s>", "<unk>"]
    trainer = trainers.UnigramTrainer(
        vocab_size=vocabulary - sentinels, special_tokens=special, unk_token="<unk>", show_progress=False
    )
    trained.train_from_iterator(texts, trainer)
    pieces = [(piece, round(score, SCORE_DECIMALS)) for piece, score in json.loads(trained.to_str())["model"]["vocab"]]
    named = [(f"<extra_id_{k}>", 0.0) for k in reversed(range(sentinels))]
    with quiet_transformers():
        T5Tokenizer(vocab=[*pieces, *named], extra_ids=sentinels).save_pretrained(folder)
    return TextTokenizer.load(folder)


def corpus_texts() -> Iterator[str]:
    """Yield the documents of the demo's corpus."""
    return (str(document[0]) for document in documents(parse_corpus(CORPUS, ("text",))))


def pretrain(recipe: TeacherRecipe, tokenizer: TextTokenizer, folder: Path) -> float:
    """Train the teacher by span corruption with Adafactor, like T5, and save it; return the seconds that it took.

    The documents that the dump will hold out for validation are left out here too.
    """
    begun = perf_counter()
    model = build_student(recipe.config, tied=True, seed=recipe.seed)
    family, described = family_of(model), tokenizer.describe(sentinels=True)
    special = SpecialIds(start=model.config.decoder_start_token_id, pad=described.pad_id)
    optimizer = build_optimizer("adafactor", model.named_parameters(), 2e-2, 0.0)
    batches = _corrupted_batches(recipe, tokenizer, described)
    with progress_bar("teacher", recipe.steps, "step") as bar:
        for step in range(1, recipe.steps + 1):
            ids, valid = pad_examples(family, by_axis(family, next(batches)), special.pad)
            logits = family.logits(model, family.given(ids, special), valid)
            labels = ids[family.label_axis].flatten()
            loss = torch.nn.functional.cross_entropy(logits.flatten(0, -2), labels)
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            set_learning_rate(optimizer, learning_rate_at(step, recipe.steps, 2e-2, recipe.steps // 20, "cosine"), step)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            bar.update(facts=f"loss {float(loss.detach()):.3f}")
    readme = (
        "# The demo's teacher\n\nA small T5, pre-trained by `miniend demo` on the documentation that Python carries.\n"
    )
    save_student(model, folder, tokenizer.files, readme)
    return perf_counter() - begun


def _corrupted_batches(
    recipe: TeacherRecipe, tokenizer: TextTokenizer, described: PlannedTokenizer
) -> Iterator[list[tuple[np.ndarray, np.ndarray]]]:
    """Yield batches without end. Each example is a random segment with its own corruption."""
    spans = lengths(recipe.input_length)
    numbered = enumerate(corpus_texts())
    texts = ((i, text) for i, text in numbered if not is_validation(recipe.seed, i, recipe.validation_share))
    segments = [ids for ids, _ in pack_segments(texts, tokenizer.encoder(), repeat(spans.segment))]
    drawn = np.random.default_rng(recipe.seed)
    index = 0
    while True:
        batch = []
        for choice in drawn.integers(len(segments), size=recipe.batch_size):
            batch.append(_corrupt(segments[choice], spans, recipe.seed, index, described))
            index += 1
        yield batch


def _corrupt(
    segment: np.ndarray, spans: SpanLengths, seed: int, index: int, described: PlannedTokenizer
) -> tuple[np.ndarray, np.ndarray]:
    rng = example_rng(seed, _PRETRAINING_STREAM, index)
    mask = noise_mask(spans.segment, spans.noise, spans.spans, rng)
    return corrupt(segment, mask, described.sentinel_ids, described.eos_id)
