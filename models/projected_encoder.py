"""A student encoder with the map to its teacher's width in one model, so that it can take the teacher's place.

`train-student --objective encoder` writes a plain encoder of transformers, and beside it `projections.safetensors` where the
widths differ. `ProjectedT5Encoder` runs both: its `last_hidden_state` is W s + b, [batch, length, teacher's d_model].
"""

from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, PreTrainedModel, T5Config
from transformers.modeling_outputs import BaseModelOutput

from ..errors import CheckpointError, in_one_line
from ..runtime.durable import is_there
from .families import family_of

PROJECTIONS = "projections.safetensors"
"""The file beside an exported student with the terms' own parameters."""
WEIGHT, BIAS = "final.maps.final.weight", "final.maps.final.bias"
"""The names of the map of final states there."""


class ProjectedT5EncoderConfig(T5Config):  # type: ignore[misc]
    """A T5's configuration, with the teacher's width and the class of the encoder."""

    model_type = "projected-t5-encoder"

    def __init__(self, projection_dim: int = 512, encoder_class: str = "T5EncoderModel", **settings: Any) -> None:
        self.projection_dim = projection_dim
        self.encoder_class = encoder_class
        super().__init__(**settings)


class ProjectedT5Encoder(PreTrainedModel):  # type: ignore[misc]
    """An encoder of T5, mT5 or umT5, and a linear map of its states to another width."""

    config_class = ProjectedT5EncoderConfig
    base_model_prefix = "student"
    _no_split_modules = ("T5Block", "MT5Block", "UMT5Block")

    def __init__(self, config: ProjectedT5EncoderConfig) -> None:
        super().__init__(config)
        encoder_class: Any = getattr(transformers, config.encoder_class)
        self.student = encoder_class(encoder_class.config_class(**_of_encoder(config)))
        self.projection = nn.Linear(config.d_model, config.projection_dim)
        self.post_init()

    @classmethod
    def from_student(cls, folder: str | Path, **loading: Any) -> "ProjectedT5Encoder":
        """Return the model of a folder that `train-student --objective encoder` wrote; `loading` is for `from_pretrained`.

        Raises CheckpointError for a folder without the map: a student of its teacher's width does not need one, and plain
        transformers loads it.
        """
        from safetensors.torch import load_file

        path = Path(folder) / PROJECTIONS
        if not is_there(path):
            raise CheckpointError(
                f"{folder} does not hold {PROJECTIONS}: a student of its teacher's width is a plain encoder; load it with "
                "transformers' AutoModelForTextEncoding"
            )
        try:
            tensors = load_file(path)
            weight, bias = tensors[WEIGHT], tensors[BIAS]
        except Exception as error:  # of safetensors, for whatever a file holds
            raise CheckpointError(f"{path} does not hold the map of final states ({in_one_line(error)})") from error
        student = transformers.AutoModelForTextEncoding.from_pretrained(folder, **loading)
        members = {key: value for key, value in student.config.to_dict().items() if key not in ("model_type", "dtype")}
        members |= {"projection_dim": len(weight), "encoder_class": family_of(student).architecture}
        with torch.device("meta"):
            model: ProjectedT5Encoder = cls(ProjectedT5EncoderConfig(**members))
        model.student, model.projection = student, nn.Linear(weight.shape[1], len(weight), device="meta")
        dtype = student.dtype
        model.projection.weight, model.projection.bias = (nn.Parameter(one.to(dtype)) for one in (weight, bias))
        model.eval()
        return model

    def get_input_embeddings(self) -> nn.Module:
        embeddings: nn.Module = self.student.get_input_embeddings()
        return embeddings

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.student.set_input_embeddings(value)

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        return_dict: bool | None = None,
        **_others: Any,
    ) -> Any:
        """Return `last_hidden_state` [batch, length, projection_dim], as the teacher's encoder would."""
        states = self.student(
            input_ids=input_ids, attention_mask=attention_mask, inputs_embeds=inputs_embeds
        ).last_hidden_state
        projected = self.projection(states)
        return (projected,) if return_dict is False else BaseModelOutput(last_hidden_state=projected)


def _of_encoder(config: ProjectedT5EncoderConfig) -> dict[str, Any]:
    """Return the members of the encoder's own configuration."""
    others = ("model_type", "projection_dim", "encoder_class", "architectures", "dtype", "transformers_version")
    return {key: value for key, value in config.to_dict().items() if key not in others}


AutoConfig.register(ProjectedT5EncoderConfig.model_type, ProjectedT5EncoderConfig)
AutoModel.register(ProjectedT5EncoderConfig, ProjectedT5Encoder)
