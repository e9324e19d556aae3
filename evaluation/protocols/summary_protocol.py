"""Summarization as the T5 paper does it (Raffel et al., JMLR 2020): a prefix, and a search of four beams.

The prefix is from the T5 code (`preprocessors.summarize`); beams and length penalty are from the paper's section 3.7.
transformers divides by length^0.6, whereas T5's own code divides by ((5 + length) / 6)^0.6.
"""

from collections.abc import Sequence
from typing import Any, ClassVar

from ..checkpoint import Checkpoint
from ..tasks.examples import SummaryExample
from ..tuning.generation import GeneratingProtocol
from .protocol import Feature, Predictions

PREFIX = "summarize: "
SEARCH = {"num_beams": 4, "length_penalty": 0.6, "early_stopping": True}


class SummaryProtocol(GeneratingProtocol[SummaryExample, str]):
    """Text in, summary out."""

    learning_rates: ClassVar[tuple[float, ...]] = (1e-4, 3e-4, 1e-3)

    def __init__(self, checkpoint: Checkpoint, max_length: int, max_summary_length: int) -> None:
        self._checkpoint, self._max_length, self._max_summary_length = checkpoint, max_length, max_summary_length
        self.settings = {"max_length": max_length, "max_summary_length": max_summary_length}

    def features(self, examples: Sequence[SummaryExample], targets: bool) -> list[Feature]:
        """Return `input_ids` of prefix, text and EOS, and `labels` of the first reference and EOS, both cut if too long."""
        texts = self._encode([PREFIX + example.text for example in examples], self._max_length)
        features: list[Feature] = [{"input_ids": ids} for ids in texts]
        if targets:
            summaries = self._encode([example.references[0] for example in examples], self._max_summary_length)
            for feature, ids in zip(features, summaries, strict=True):
                feature["labels"] = ids
        return features

    def predict(self, trainer: Any, examples: Sequence[SummaryExample]) -> Predictions[str]:
        """Return the best of four beams, at most as long as a summary may be."""
        features = self.features(examples, targets=False)
        texts = self.generate(trainer, features, max_new_tokens=self._max_summary_length, **SEARCH)
        return Predictions(texts, sum(not text.strip() for text in texts))

    def _encode(self, texts: list[str], length: int) -> list[list[int]]:
        """Return the ids and EOS. Line breaks become spaces, as in T5's own vocabulary, for every tokenizer."""
        eos = self._checkpoint.tokenizer.eos_token_id
        return [[*ids, eos] for ids in self._checkpoint.encode([" ".join(text.split()) for text in texts], length - 1)]
