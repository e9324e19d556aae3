"""mT5: a T5 v1.1. Its released checkpoints are untied and their head is not scaled.

transformers 4 scaled the head of an mT5 whose config.json ties it. Version 5 never scales, and writes into every config.json
that the head is tied. So the version that wrote config.json decides what its author meant.
"""

from collections.abc import Mapping
from typing import Any

from .family import FAMILIES, written_before_5
from .t5 import T5


class MT5(T5):
    """mT5."""

    name = "mt5"
    architecture = "MT5ForConditionalGeneration"

    def head_scale(self, model: Any) -> float:
        return 1.0

    def meant_head_scale(self, raw_config: Mapping[str, Any], d_model: int) -> float:
        scaled = raw_config.get("tie_word_embeddings") is True and written_before_5(raw_config)
        return float(d_model**-0.5) if scaled else 1.0

    def restore_head_scale(self, model: Any, raw_config: Mapping[str, Any]) -> None:
        """Put the factor into the last norm, because transformers 5 does not have a setting for it."""
        self.absorb_head_scale(model, self.meant_head_scale(raw_config, model.config.d_model))

    def fresh_settings(self, tied: bool) -> dict[str, Any]:
        return {}

    def student_settings(self, source: Any) -> dict[str, Any]:
        return {}

    def saved_settings(self, model: Any) -> dict[str, Any]:
        return {"tie_word_embeddings": self.tied(model)}


FAMILIES.add(MT5.name, MT5())
