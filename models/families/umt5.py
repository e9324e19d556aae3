"""umT5: a position bias in every block, and a head scale that transformers always applies.

transformers' forward scales if `config.tie_word_embeddings` is true, and its configuration class sets that to true on every
load. The released umT5 checkpoints are untied and were trained without the scale.
"""

from collections.abc import Mapping
from typing import Any

from .family import FAMILIES
from .t5 import T5


class UMT5(T5):
    """umT5."""

    name = "umt5"
    architecture = "UMT5ForConditionalGeneration"
    bias_in_every_block = True

    def head_scale(self, model: Any) -> float:
        return float(model.config.d_model**-0.5) if model.config.tie_word_embeddings else 1.0

    def restore_head_scale(self, model: Any, raw_config: Mapping[str, Any]) -> None:
        model.config.tie_word_embeddings = self.meant_head_scale(raw_config, model.config.d_model) != 1.0

    def make_plain(self, model: Any) -> None:
        """Put the factor that transformers applies on every load into the last norm, divided out."""
        own = self.head_scale(model)
        model.config.tie_word_embeddings = True
        self.absorb_head_scale(model, own / self.head_scale(model))

    def fresh_settings(self, tied: bool) -> dict[str, Any]:
        return {}

    def student_settings(self, source: Any) -> dict[str, Any]:
        return {}


FAMILIES.add(UMT5.name, UMT5())
