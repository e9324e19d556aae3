"""mT5: a T5 v1.1 whose head scale is always 1."""

from collections.abc import Mapping
from typing import Any

from .family import FAMILIES
from .t5 import T5


class MT5(T5):
    """mT5."""

    name = "mt5"
    architecture = "MT5ForConditionalGeneration"

    def head_scale(self, model: Any) -> float:
        return 1.0

    def meant_head_scale(self, raw_config: Mapping[str, Any], d_model: int) -> float:
        return 1.0

    def fresh_settings(self, tied: bool) -> dict[str, Any]:
        return {}

    def student_settings(self, source: Any) -> dict[str, Any]:
        return {}

    def saved_settings(self, model: Any) -> dict[str, Any]:
        return {"tie_word_embeddings": self.tied(model)}


FAMILIES.add(MT5.name, MT5())
