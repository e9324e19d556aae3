"""A small tokenizer of T5's kind, built without training, so that it is the same on every machine."""

import math
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

CONTROL = ("<pad>", "</s>", "<unk>")
LONGEST_PIECE = 12


def build_tiny_tokenizer(
    texts: Iterable[str], size: int, sentinels: int = 32, ascending: bool = False, folder: Path | None = None
) -> Any:
    """A Unigram tokenizer of `size` entries: pad 0, eos 1, unk 2, pieces of `texts`, sentinels last.

    `<extra_id_0>` is the last entry, as in T5, or with `ascending` the first of the sentinels. It is what
    `AutoTokenizer.from_pretrained` makes of the saved files, which stay in `folder` where one is given.
    """
    return _save_and_load(_vocabulary(texts, size, _sentinel_names(sentinels, ascending)), sentinels, folder)


def build_tiny_mt5_tokenizer(texts: Iterable[str], size: int, sentinels: int = 32, folder: Path | None = None) -> Any:
    """The same as mT5 has it: the sentinels are ordinary pieces `▁<extra_id_k>`, not added tokens."""
    names = ["▁" + name for name in _sentinel_names(sentinels, ascending=False)]
    return _save_and_load(_vocabulary(texts, size, names), 0, folder)


def _sentinel_names(count: int, ascending: bool) -> list[str]:
    names = [f"<extra_id_{k}>" for k in range(count)]
    return names if ascending else names[::-1]


def _vocabulary(texts: Iterable[str], size: int, sentinels: list[str]) -> list[tuple[str, float]]:
    """(piece, log-probability): every character, then the most frequent word beginnings and ends, then fillers."""
    room = size - len(CONTROL) - len(sentinels)
    words = Counter(word for text in texts for word in text.split())
    characters = ["▁", *sorted({character for word in words for character in word} - {"▁"})]
    longer: Counter[str] = Counter()
    for word, count in words.items():
        for cut in range(1, min(len(word), LONGEST_PIECE) + 1):
            longer.update(dict.fromkeys({"▁" + word[:cut], word[-cut:]} - set(characters), count))
    ranked = [piece for piece, _ in sorted(longer.items(), key=lambda item: (-item[1], item[0]))]
    if room < len(characters):
        raise ValueError(
            f"size {size} is too small: {len(characters)} characters, {len(sentinels)} sentinels and 3 more"
        )
    pieces = (ranked[: room - len(characters)] + [f"▁filler{k}" for k in range(room)])[: room - len(characters)]
    total = sum(longer.values()) + 1
    scored = [(piece, math.log((longer[piece] or 0.1) / total)) for piece in pieces]
    single = [(character, math.log(0.05 / total)) for character in characters]
    return [*((name, 0.0) for name in CONTROL), *single, *scored, *((name, 0.0) for name in sentinels)]


def _save_and_load(vocabulary: list[tuple[str, float]], extra_ids: int, folder: Path | None) -> Any:
    from transformers import AutoTokenizer, T5Tokenizer

    tokenizer = T5Tokenizer(vocab=vocabulary, extra_ids=extra_ids)
    if folder is not None:
        tokenizer.save_pretrained(folder)
        return AutoTokenizer.from_pretrained(folder)
    with TemporaryDirectory() as temporary:
        tokenizer.save_pretrained(temporary)
        return AutoTokenizer.from_pretrained(temporary)
