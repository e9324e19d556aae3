"""The encoders of T5, mT5 and umT5 without a decoder, as text encoders of pipelines and embedders use them.

A model is transformers' T5EncoderModel and its like. It does not predict tokens: its answer is the encoder's output after the
final norm.
"""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from ...errors import ConfigurationError
from .family import FAMILIES, IGNORED, ModelFacts, SpecialIds, Stack
from .model_type import ENCODER
from .t5 import T5

_MODEL_PARTS = ("embedding", "encoder")
_ELSEWHERE = ("decoder.", "lm_head.")
"""The first words of the parameters of a full model that its encoder does not have."""


class T5Encoder(T5):
    """The encoder of T5, T5 v1.1 or Flan-T5."""

    name = "t5-encoder"
    architecture = "T5EncoderModel"
    stacks = (Stack("encoder", "input", causal=False),)
    embedding_parameters = ("shared.weight", "encoder.embed_tokens.weight")
    label_axis = "input"
    parts = _MODEL_PARTS
    predicts = False

    @property
    def model_type(self) -> str:
        return self.name.removesuffix(ENCODER)

    def holds(self, parameter: str) -> bool:
        return not parameter.startswith(_ELSEWHERE)

    def blocks(self, model: Any) -> list[nn.Module]:
        return [*model.encoder.block]

    def given(self, ids: Mapping[str, Tensor], special: SpecialIds) -> dict[str, Tensor]:
        return {"input": ids["input"].masked_fill(ids["input"] == IGNORED, special.pad)}

    def run(self, model: Any, given: Mapping[str, Tensor], valid: Mapping[str, Tensor]) -> Tensor:
        encoded: Tensor = model.encoder(
            input_ids=given["input"], attention_mask=valid["input"].long()
        ).last_hidden_state
        return encoded

    def finish(
        self, model: Any, stack: str, states: Tensor, given: Mapping[str, Tensor], valid: Mapping[str, Tensor]
    ) -> Tensor:
        normed: Tensor = self.final_norm(model, stack)(states)
        return normed

    def logits(self, model: Any, given: Mapping[str, Tensor], valid: Mapping[str, Tensor]) -> Tensor:
        raise _without_head()

    def head(self, model: Any) -> tuple[Tensor, float]:
        raise _without_head()

    def head_norm(self, model: Any) -> tuple[Tensor, float]:
        raise _without_head()

    def body(self, model: nn.Module) -> dict[str, Tensor]:
        return dict(model.state_dict())

    def tied(self, model: Any) -> bool:
        """Return true, because a head that differs from the embedding is not there."""
        return True

    def embeddings(self, model: Any) -> list[nn.Parameter]:
        return [model.shared.weight]

    def head_scale(self, model: Any) -> float:
        return 1.0

    def meant_head_scale(self, raw_config: Mapping[str, Any], d_model: int) -> float:
        return 1.0

    def restore_head_scale(self, model: Any, raw_config: Mapping[str, Any]) -> None:
        """Do nothing, because a model does not have a head."""

    def make_plain(self, model: Any) -> None:
        """Do nothing, because a model does not have a head."""

    def absorb_head_scale(self, model: Any, factor: float) -> None:
        """Do nothing, because a model does not have a head."""

    def untie(self, model: Any) -> None:
        raise _without_head()

    def shrink_tied_embedding(self, model: Any) -> None:
        """Do nothing: only the logits of a tied head ask for a small embedding."""

    def fresh_settings(self, tied: bool) -> dict[str, Any]:
        return {}

    def student_settings(self, source: Any) -> dict[str, Any]:
        return {}

    def saved_settings(self, model: Any) -> dict[str, Any]:
        return {}

    def facts(self, model: Any) -> ModelFacts:
        config = model.config
        return ModelFacts(
            model_type=self.name,
            encoder_layers=config.num_layers,
            decoder_layers=0,
            d_model=config.d_model,
            heads=config.num_heads,
            d_kv=config.d_kv,
            vocab_rows=model.shared.weight.shape[0],
            tied=True,
            head_scale=1.0,
        )

    def part_of(self, parameter: str) -> str:
        """Return the part of a parameter: `embedding` or `encoder`."""
        if parameter == "shared.weight":
            return "embedding"
        if parameter.startswith("encoder."):
            return "encoder"
        raise ValueError(f"parameter {parameter!r} is not one of a {self.architecture}")


class MT5Encoder(T5Encoder):
    """The encoder of mT5."""

    name = "mt5-encoder"
    architecture = "MT5EncoderModel"


class UMT5Encoder(T5Encoder):
    """The encoder of umT5, with a position bias in every block."""

    name = "umt5-encoder"
    architecture = "UMT5EncoderModel"
    bias_in_every_block = True


def _without_head() -> ConfigurationError:
    return ConfigurationError(
        "an encoder without decoder does not predict tokens: choose an objective of its states or relations, or use the full "
        "checkpoint"
    )


for _family in (T5Encoder(), MT5Encoder(), UMT5Encoder()):
    FAMILIES.add(_family.name, _family)
