"""What models write for the first validation examples of a cache, beside the input and the target, for reports.

Each text is greedy. The examples are the cache's own, so a model of span corruption fills the gaps that it was trained to fill.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..cache import Cache
from ..evaluation.checkpoint import load_checkpoint
from ..evaluation.records import read_as, write_record
from ..models.families.family import SpecialIds
from ..models.generation import outgrows_the_cache
from ..runtime.devices import choose_device

SHOWN = 3
"""The number of validation examples."""
RECORD = "samples.json"
Shown = tuple[str, str]
"""The texts of an example's input and target."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Written:
    """What that file holds."""

    cache: str
    """The digest of the plan whose validation examples were read."""
    texts: tuple[str, ...]


def shown_examples(cache: Cache) -> list[Shown]:
    """Return the texts of the examples' inputs and targets."""
    return [
        (_text(cache.tokenizer, example.input_ids), _text(cache.tokenizer, example.labels))
        for example in cache.validation[:SHOWN]
    ]


def write_samples(model: str, cache: Cache, folder: Path, device: str) -> None:
    """Write what a model, a folder or hub name, writes into a folder; a record of the same examples is kept."""
    record = read_as(folder / RECORD, Written)
    if record is None or record.cache != cache.plan.digest:
        texts = generated(model, cache, choose_device(device))
        write_record(folder / RECORD, {"cache": cache.plan.digest, "texts": texts})


def written_samples(folder: Path) -> tuple[str, ...]:
    """Return what a model wrote; nothing before it is there."""
    record = read_as(folder / RECORD, Written)
    return record.texts if record else ()


@torch.no_grad()
def generated(model: str, cache: Cache, device: torch.device) -> list[str]:
    """Return a model's greedy texts for the shown examples, as long as the longest target at most."""
    checkpoint = load_checkpoint(model)
    network, special = checkpoint.model.to(device).eval(), cache.special_ids
    network.generation_config = _greedy(network, checkpoint.tokenizer.eos_token_id, special)
    texts = []
    for example in cache.validation[:SHOWN]:
        ids = torch.tensor(example.input_ids, dtype=torch.int64, device=device)[None]
        written = network.generate(
            input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=len(example.labels)
        )
        texts.append(_text(cache.tokenizer, written[0, 1:].tolist()))
    return texts


def _greedy(model: Any, eos: int, special: SpecialIds) -> Any:
    from transformers import GenerationConfig

    return GenerationConfig(
        decoder_start_token_id=special.start,
        eos_token_id=eos,
        pad_token_id=special.pad,
        use_cache=not outgrows_the_cache(model),
    )


def _text(tokenizer: Any, ids: Iterable[Any]) -> str:
    """Return the text of ids with sentinels, without padding and end."""
    left = [int(one) for one in ids if int(one) not in (tokenizer.pad_token_id, tokenizer.eos_token_id)]
    return str(tokenizer.decode(left))
