"""Compare an encoder's final states with those that a cache holds of its teacher, on the cache's validation texts."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...cache import Cache, Example, Split, open_cache
from ...errors import CacheMismatchError, CheckpointError
from ...runtime.devices import choose_device
from ...runtime.progress import percent, progress_bar, waiting
from ...runtime.showing import Shown, facts, heading
from ...signals.hidden_states import RAW
from ...signals.kinds.final import FinalStates
from ...student_train.terms.matched import cache_error
from .config import JudgeEncoderConfig
from .encoder import Encoder
from .states import Nearness, fitted

FITTED_ON = 2048
"""The training texts on which a map is fitted, or all of fewer."""
OWN, FITTED = "its own", "fitted here"
"""Where the map to the teacher's width comes from."""


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class EncoderFacts(Shown):
    """How near an encoder is to its teacher."""

    model: str
    parameters: int
    """The parameters of the encoder and its map."""
    texts: int
    """The validation texts."""
    tokens: int
    map: str | None
    """Where the map to the teacher's width comes from; None for an encoder of that width."""
    explained: float
    """The share of the variance of the teacher's states that is explained: 1 at best, 0 for the best constant."""
    cosine: float
    """The mean cosine of tokens."""
    cosine_of_texts: float
    """The mean cosine of the means of texts."""
    same_nearest: float
    """The share of texts whose nearest other text is the teacher's choice."""
    lost_by_the_cache: float | None
    """The share of the variance that the cache itself loses; None if it was not measured."""

    def as_json(self) -> dict[str, Any]:
        """Return the JSON object."""
        return asdict(self)

    def lines(self) -> Iterator[str]:
        """Yield the lines that `miniend judge-encoder` prints."""
        yield f"{self.model}: {self.parameters:,} parameters"
        rows = self._rows()
        width = max(len(name) for name, _ in rows)
        for name, value in rows:
            yield f"  {name:<{width}}  {value}"

    def html(self) -> Iterator[str]:
        """Yield the table for a notebook."""
        yield heading(f"{self.model}: {self.parameters:,} parameters")
        yield facts(self._rows()).html()

    def _rows(self) -> list[tuple[str, str]]:
        lost = (
            "" if self.lost_by_the_cache is None else f" (the cache itself loses {percent(self.lost_by_the_cache, 1)})"
        )
        return [
            ("texts", f"{self.texts:,} of {self.tokens:,} tokens"),
            *([] if self.map is None else [("map to the teacher's width", self.map)]),
            ("variance explained", f"{percent(self.explained, 1)}{lost}"),
            ("cosine of tokens", f"{self.cosine:.3f}"),
            ("cosine of texts", f"{self.cosine_of_texts:.3f}"),
            ("same nearest text", f"{percent(self.same_nearest, 1)} (by chance {percent(1 / (self.texts - 1), 1)})"),
        ]


def judge_encoder(config: JudgeEncoderConfig) -> EncoderFacts:
    """Return how near the encoder is.

    Raises CacheMismatchError for a cache without final states or validation texts, and CheckpointError for a model that does not
    know the cache's ids, or whose map has another width.
    """
    cache = open_cache(config.cache)
    site = _site(cache)
    texts = min(config.examples or len(cache.validation), len(cache.validation))
    if texts < 2:
        raise CacheMismatchError(
            f"{cache.path} holds {texts} validation texts, expected at least 2; dump with a larger --validation-examples"
        )
    encoder = Encoder.loaded(config.model, choose_device(config.device))
    largest = cache.plan.tokenizer.size
    if encoder.rows < largest:
        raise CheckpointError(
            f"{config.model} has {encoder.rows:,} embeddings, but the tokenizer of {cache.path} has {largest:,} ids; give a "
            "model of the same tokenizer"
        )
    with waiting("a map to the teacher's width"):
        encoder, mapped = _to_width(encoder, cache, site, config.batch_size, config.model)
    nearness = Nearness(cache.codecs[site].width)
    with progress_bar("texts", texts, "text") as bar:
        for ours, theirs in _pairs(encoder, cache.validation, texts, site, config.batch_size):
            nearness.add(ours, theirs)
            bar.update()
    return EncoderFacts(
        model=config.model,
        parameters=encoder.parameters,
        texts=nearness.texts,
        tokens=nearness.tokens,
        map=mapped,
        explained=nearness.explained,
        cosine=nearness.cosine,
        cosine_of_texts=nearness.cosine_of_texts,
        same_nearest=nearness.same_nearest,
        lost_by_the_cache=cache_error(cache, site, *RAW),
    )


def _site(cache: Cache) -> str:
    found = [str(codec.site) for codec in cache.codecs.values() if codec.site.kind == FinalStates.name]
    if not found:
        held = ", ".join(cache.codecs) or "no sites"
        raise CacheMismatchError(
            f"judging an encoder needs encoder.final, but {cache.path} holds {held}; dump with --encoder-only, or with --signal "
            "encoder.final"
        )
    return found[0]


def _to_width(encoder: Encoder, cache: Cache, site: str, size: int, name: str) -> tuple[Encoder, str | None]:
    """Return the encoder with states of the teacher's width, and where its map comes from."""
    width = cache.codecs[site].width
    example = cache.validation[0]
    [states] = encoder.states([_ids(example)])
    if states.shape[1] == width:
        return encoder, OWN if encoder.map is not None else None
    if encoder.map is not None:
        raise CheckpointError(
            f"the map of {name} leads to {states.shape[1]} numbers, but the teacher of {cache.path} has {width}; give the cache "
            "that the student learned from"
        )
    count = min(FITTED_ON, len(cache.training))
    return encoder.with_map(
        *fitted(_pairs(encoder, cache.training, count, site, size))
    ), f"{FITTED} on {count:,} training texts"


def _pairs(encoder: Encoder, split: Split, count: int, site: str, size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the states of the encoder and of the cache, text by text."""
    for first in range(0, count, size):
        some = split[first : min(first + size, count)]
        for ours, example in zip(encoder.states([_ids(one) for one in some]), some, strict=True):
            yield ours, torch.from_numpy(np.asarray(example.hidden[site]))


def _ids(example: Example) -> Tensor:
    return torch.from_numpy(np.asarray(example.input_ids, dtype=np.int64))
