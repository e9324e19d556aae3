"""Make the inputs of the scenarios of `unchanged.py` from seeds: texts, tokenizers, tiny teachers, students to start from.

A fresh random model of transformers has a tied head whatever its config says, so we untie it by hand. Its relations and its
distributions are almost uniform, and any code would pass on those, so we make the weights behind them larger.
"""

import json
import random
import string
from collections import Counter
from pathlib import Path
from typing import Any

SYLLABLES = ("ba", "de", "fi", "go", "lu", "ma", "ne", "pi", "ro", "su", "ta", "ve", "wi", "zo")
CONTROL = ("<pad>", "</s>", "<unk>")
SENTINELS = 20
VOCABULARY = 300
SPARE_ROWS = 4
"""The number of rows of the head that do not belong to a token."""
LARGER = {".q.weight": 4.0, ".k.weight": 1.5, ".v.weight": 2.0, "decoder.final_layer_norm.weight": 4.0}
"""The factor of a weight, by the end of its name."""
WIDTHS = {"d_model": 32, "d_kv": 12, "d_ff": 64, "num_heads": 4, "num_layers": 2, "num_decoder_layers": 2}
SPECIAL = {"pad_token_id": 0, "eos_token_id": 1, "decoder_start_token_id": 0}
TEACHERS = {
    "t5": ("T5", "relu", True),
    "v11": ("T5", "gated-gelu", False),
    "mt5": ("MT5", "gated-gelu", False),
    "umt5": ("UMT5", "gated-gelu", False),
    "umt5-tied": ("UMT5", "gated-gelu", True),
}
"""The class, the feed-forward, and whether the head is the embedding."""
OWN_SIZE = {**WIDTHS, "d_kv": 16, "d_ff": 40, "num_heads": 3, "num_layers": 1, "relative_attention_num_buckets": 16}
"""A size that a size string cannot express."""


def write_inputs(folder: Path) -> None:
    """Write all inputs into a new folder."""
    folder.mkdir(parents=True)
    known, other = texts(160, seed=0), texts(80, seed=1)
    (folder / "text.txt").write_text("\n\n".join(known) + "\n")
    (folder / "short.txt").write_text("\n\n".join(known[:12]) + "\n")
    write_lines(folder / "other.jsonl", [{"text": text} for text in other])
    write_lines(folder / "pairs.jsonl", pairs(known))
    (folder / "size.json").write_text(json.dumps(OWN_SIZE))
    for seed, (name, kind) in enumerate(TEACHERS.items()):
        build_tokenizer(known, pieces=kind[0] == "MT5").save_pretrained(folder / name)
        save_teacher(folder / name, *kind, seed)


def texts(count: int, seed: int, words: int = 60) -> list[str]:
    """Return documents of invented words, some far more frequent than others."""
    generator = random.Random(seed)
    lexicon = ["".join(generator.choices(SYLLABLES, k=generator.randint(1, 3))) for _ in range(120)]
    weights = [1 / (rank + 1) for rank in range(len(lexicon))]
    return [" ".join(generator.choices(lexicon, weights, k=words)) + "." for _ in range(count)]


def pairs(documents: list[str]) -> list[dict[str, str]]:
    """Return pairs of a few words each, of very different lengths."""
    generator, found = random.Random(0), []
    for words in map(str.split, documents):
        cut = generator.randint(1, 12)
        end = cut + generator.choice((1, 2, 3, 7))
        found.append({"input": " ".join(words[:cut]), "target": " ".join(words[cut:end])})
    return found


def write_lines(path: Path, rows: list[dict[str, str]]) -> None:
    """Write rows as JSON lines."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def build_tokenizer(documents: list[str], pieces: bool) -> Any:
    """Return a Unigram tokenizer with its sentinels last, as added tokens or, as in mT5, as ordinary `pieces`."""
    from transformers import T5Tokenizer

    sentinels = [f"{'▁' if pieces else ''}<extra_id_{k}>" for k in reversed(range(SENTINELS))]
    characters = ["▁", *string.ascii_letters, *string.digits, *string.punctuation]
    frequent = frequent_pieces(documents, set(characters))[: VOCABULARY - len(CONTROL) - len(characters) - SENTINELS]
    scored = [(piece, -3.0 - 0.01 * rank) for rank, piece in enumerate(frequent)]
    plain = [(name, 0.0) for name in CONTROL] + [(character, -12.0) for character in characters]
    vocabulary = plain + scored + [(name, 0.0) for name in sentinels]
    return T5Tokenizer(vocab=vocabulary, extra_ids=0 if pieces else SENTINELS)


def frequent_pieces(documents: list[str], known: set[str]) -> list[str]:
    """Return beginnings and ends of words by falling frequency."""
    counts: Counter[str] = Counter()
    for word, count in Counter(word for text in documents for word in text.split()).items():
        for cut in range(1, len(word) + 1):
            counts.update(dict.fromkeys({"▁" + word[:cut], word[-cut:]} - known, count))
    return sorted(counts, key=lambda piece: (-counts[piece], piece))


def save_teacher(folder: Path, family: str, feed_forward: str, tied: bool, seed: int) -> None:
    """Write a random checkpoint; its config.json says correctly whether its head is tied."""
    import torch
    import transformers

    config = {**WIDTHS, **SPECIAL, "feed_forward_proj": feed_forward, "tie_word_embeddings": tied}
    torch.manual_seed(seed)
    model_class = getattr(transformers, f"{family}ForConditionalGeneration")
    model = model_class(model_class.config_class(vocab_size=VOCABULARY + SPARE_ROWS, dropout_rate=0.1, **config))
    if not tied:
        model.lm_head.weight = torch.nn.Parameter(torch.randn_like(model.shared.weight) * WIDTHS["d_model"] ** -0.5)
        model.config.tie_word_embeddings = False
    enlarge(model)
    transformers.utils.logging.disable_progress_bar()
    model.save_pretrained(folder)
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"tie_word_embeddings": tied}, indent=2))


def enlarge(model: Any) -> None:
    """Multiply the weights of `LARGER`."""
    for name, parameter in model.named_parameters():
        for end, factor in LARGER.items():
            parameter.data.mul_(factor if name.endswith(end) else 1.0)
