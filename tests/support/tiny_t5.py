"""Tiny T5-family teachers with random weights, and text for them, written as a user's files would be.

Two things that a fresh random model of transformers gets wrong for tests are mended here. Its head is always tied, whatever
the config says, so an untied one is made by hand and looked for after a reload. And its relations are almost uniform, which
any quantizer passes, so `sharpen` scales the q, k and v weights until they are not.
"""

import json
import math
import random
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

CLASSES = {
    "t5": ("T5Config", "T5ForConditionalGeneration"),
    "mt5": ("MT5Config", "MT5ForConditionalGeneration"),
    "umt5": ("UMT5Config", "UMT5ForConditionalGeneration"),
}
SYLLABLES = ("ba", "de", "fi", "go", "lu", "ma", "ne", "pi", "ro", "su", "ta", "ve", "wi", "zo")
RELATION_HEADS = (32, 24, 16, 12, 8)
PROBE_LENGTH = 40
torch.set_num_threads(
    1
)  # for models this small, threads that wait for each other on a busy machine cost more than they give


def tiny_texts(count: int, words: int = 60, seed: int = 0) -> list[str]:
    """`count` documents of about so many invented words, some far more frequent than others; the same on every machine."""
    generator = random.Random(seed)
    lexicon = ["".join(generator.choices(SYLLABLES, k=generator.randint(1, 3))) for _ in range(120)]
    weights = [1 / (rank + 1) for rank in range(len(lexicon))]
    return [" ".join(generator.choices(lexicon, weights, k=words)) + "." for _ in range(count)]


def write_texts(path: Path, texts: list[str]) -> Path:
    """The texts as JSON lines with the field `text`."""
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return path


def build_tiny_t5(
    folder: Path,
    tokenizer: Any,
    model_type: str = "t5",
    tied: bool = True,
    v11: bool = False,
    layers: tuple[int, int] = (2, 2),
    d_model: int = 32,
    heads: int = 4,
    d_kv: int = 8,
    seed: int = 0,
    sharpen: float = 1.0,
    spare_rows: int = 4,
) -> Path:
    """A random checkpoint with its tokenizer in `folder`, which is returned; the head has `spare_rows` unused rows.

    `sharpen` below 1 scales q, k and v of every attention until the mean entropy of each relation is at most `sharpen`
    times that of a uniform one. `v11` has gated feed-forward layers, as T5 v1.1, Flan-T5, mT5 and umT5 have. The same
    arguments give the same files; a process makes them once, because sharpening takes as long as a tiny dump.
    """
    tokenizer.save_pretrained(folder)
    shape = (model_type, tied, v11, layers, d_model, heads, d_kv, seed, sharpen, spare_rows)
    for name, content in _weights(len(tokenizer), *shape).items():
        Path(folder, name).write_bytes(content)
    return folder


@cache
def _weights(
    ids: int,
    model_type: str,
    tied: bool,
    v11: bool,
    layers: tuple[int, int],
    d_model: int,
    heads: int,
    d_kv: int,
    seed: int,
    sharpen: float,
    spare_rows: int,
) -> dict[str, bytes]:
    """The files of a checkpoint, by name, without its tokenizer."""
    import transformers

    config_class, model_class = (getattr(transformers, name) for name in CLASSES[model_type])
    config = config_class(
        vocab_size=ids + spare_rows,
        d_model=d_model,
        d_kv=d_kv,
        d_ff=2 * d_model,
        num_layers=layers[0],
        num_decoder_layers=layers[1],
        num_heads=heads,
        feed_forward_proj="gated-gelu" if v11 or model_type != "t5" else "relu",
        dropout_rate=0.1,
        pad_token_id=0,
        eos_token_id=1,
        decoder_start_token_id=0,
        tie_word_embeddings=tied,
    )
    torch.manual_seed(seed)
    model = model_class(config).eval()
    if not tied:
        model.lm_head.weight = torch.nn.Parameter(torch.randn_like(model.shared.weight) * d_model**-0.5)
        model.config.tie_word_embeddings = False
    if sharpen < 1.0:
        _sharpen(model, ids, sharpen, seed)
    with TemporaryDirectory() as folder:
        _save(model, Path(folder), tied)
        loaded = model_class.from_pretrained(folder)
        assert torch.equal(loaded.lm_head.weight, model.lm_head.weight)
        assert torch.equal(loaded.lm_head.weight, loaded.shared.weight) == tied
        return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


def _save(model: Any, folder: Path, tied: bool) -> None:
    """Save, with the config.json that its author means: transformers may have set the tie to true."""
    from transformers.utils import logging

    logging.disable_progress_bar()
    model.save_pretrained(folder)
    path = Path(folder, "config.json")
    written = json.loads(path.read_text())
    if written.get("tie_word_embeddings") is not tied:
        path.write_text(json.dumps(written | {"tie_word_embeddings": tied}, indent=2))


def _sharpen(model: Any, ids: int, target: float, seed: int) -> None:
    """Attention after attention in the order of the forward, since each changes what the later ones see."""
    generator = torch.Generator().manual_seed(seed)
    inputs, labels = (torch.randint(3, ids, (4, PROBE_LENGTH), generator=generator) for _ in range(2))
    for attention, causal in _attentions(model):
        found = _projections(model, attention, inputs, labels)
        scales = {name: _scale(found[name], found[name], causal, target) for name in "qkv"}
        both = _scale(found["q"] * scales["q"], found["k"] * scales["k"], causal, target)
        scales |= {name: scales[name] * both for name in "qk"}
        with torch.no_grad():
            for name, scale in scales.items():
                getattr(attention, name).weight.mul_(scale)


def _projections(model: Any, attention: Any, inputs: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
    """What the q, k and v of one attention module give in a forward."""
    found: dict[str, torch.Tensor] = {}
    hooks = [
        getattr(attention, name).register_forward_hook(lambda _m, _i, out, name=name: found.__setitem__(name, out))
        for name in "qkv"
    ]
    with torch.no_grad():
        model(input_ids=inputs, decoder_input_ids=labels, use_cache=False)
    for hook in hooks:
        hook.remove()
    return found


def _attentions(model: Any) -> list[tuple[Any, bool]]:
    """Every attention module with whether it is causal."""
    found = [(block.layer[0].SelfAttention, False) for block in model.encoder.block]
    for block in model.decoder.block:
        found += [(block.layer[0].SelfAttention, True), (block.layer[1].EncDecAttention, False)]
    return found


def _scale(left: torch.Tensor, right: torch.Tensor, causal: bool, target: float) -> float:
    """The factor on both sides, at least 1, that brings the relation's mean relative entropy to 0.93 of the target."""
    scale = 1.0
    while _relative_entropy(left * scale, right * scale, causal) > 0.93 * target:
        scale *= 1.1
        assert scale < 1e4, "this relation cannot be sharpened"
    return scale


def _relative_entropy(left: torch.Tensor, right: torch.Tensor, causal: bool) -> float:
    inner = left.shape[-1]
    heads = next(n for n in (*RELATION_HEADS, 4, 2, 1) if inner % n == 0)
    a, c = (side.reshape(*side.shape[:2], heads, -1).transpose(1, 2).double() for side in (left, right))
    scores = a @ c.transpose(-1, -2) / math.sqrt(inner // heads)
    if causal:
        scores = scores.masked_fill(~torch.ones(scores.shape[-2:], dtype=torch.bool).tril(), -math.inf)
    log_p = scores.log_softmax(-1)
    entropy = -(log_p.exp() * log_p.clamp_min(-1e30)).sum(-1)
    keys = torch.isfinite(scores).sum(-1)
    return float((entropy / keys.clamp_min(2).log())[keys > 1].mean())


def ragged_texts(path: Path) -> Path:
    """Texts of 1 to 40 words, as JSON lines."""
    return write_texts(
        path, [" ".join(text.split()[: 1 + number * 7 % 40]) for number, text in enumerate(tiny_texts(150))]
    )
