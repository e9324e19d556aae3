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

from ..errors import CheckpointError, in_one_line, shortened
from .checkpoint_files import checkpoint_file, unread
from .families import FAMILIES, family_of

PROJECTIONS = "projections.safetensors"
"""The file beside an exported student with the terms' own parameters."""
MAP = "final"
"""The key of the map of final states among a term's maps."""
_OF_MAP = f".maps.{MAP}."
"""What the names of its tensors there have between the term's name and `weight` or `bias`."""


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
        encoder_class = _class_named(config.encoder_class)
        self.student = encoder_class(encoder_class.config_class(**_of_encoder(config)))
        self.projection = nn.Linear(config.d_model, config.projection_dim)
        self.post_init()

    @classmethod
    def from_student(cls, folder: str | Path, **loading: Any) -> "ProjectedT5Encoder":
        """Return the model of a student of `train-student --objective encoder`: of its folder, or of its name on the hub.

        `loading` is for `from_pretrained`. Raises CheckpointError for a student without the map: one of its teacher's width does
        not need it, and plain transformers loads it.
        """
        found = map_of_states(folder, loading.get("revision"))
        if found is None:
            raise CheckpointError(
                f"{folder} does not hold a map of final states: a student of its teacher's width is a plain encoder; load it "
                "with transformers' AutoModelForTextEncoding"
            )
        weight, bias = found
        student = transformers.AutoModelForTextEncoding.from_pretrained(folder, **loading)
        require_map(folder, weight, bias, student.config.d_model)
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


def require_map(folder: str | Path, weight: Tensor, bias: Tensor, width: int) -> None:
    """Raise CheckpointError unless W is [D, width] and b is [D]."""
    if weight.ndim != 2 or bias.shape != weight.shape[:1] or weight.shape[1] != width:
        raise CheckpointError(
            f"{folder}: {PROJECTIONS} should map the {width} numbers of a state, found weights {list(weight.shape)} and biases "
            f"{list(bias.shape)}; take both files from the same training"
        )


def map_of_states(folder: str | Path, revision: str | None = None) -> tuple[Tensor, Tensor] | None:
    """Return W and b of a student's map of final states, of a folder or a hub name; None for a model without one.

    Raises CheckpointError for a model that is not there, or whose file cannot be read.
    """
    from safetensors.torch import load_file

    try:
        path = checkpoint_file(folder, PROJECTIONS, revision)
        there = path is not None or checkpoint_file(folder, "config.json", revision) is not None
        tensors = {} if path is None else load_file(path)
    except Exception as error:  # of the hub or of safetensors, for whatever a file holds
        raise CheckpointError(unread(folder, revision, PROJECTIONS, in_one_line(error))) from error
    if not there:
        raise CheckpointError(unread(folder, revision, "config.json", "it is missing"))
    found = {name.rpartition(_OF_MAP)[2]: one for name, one in tensors.items() if _OF_MAP in name}
    return (found["weight"], found["bias"]) if set(found) == {"weight", "bias"} else None


def _class_named(name: Any) -> Any:
    """Return a class of transformers by its name, which a stranger's config.json may give."""
    known = [family.architecture for family in FAMILIES.values() if not family.predicts]
    if name not in known:
        raise CheckpointError(
            f"its config.json gives the encoder_class {shortened(repr(name))}; expected one of {', '.join(known)}"
        )
    return getattr(transformers, name)


def _of_encoder(config: ProjectedT5EncoderConfig) -> dict[str, Any]:
    """Return the members of the encoder's own configuration."""
    others = ("model_type", "projection_dim", "encoder_class", "architectures", "dtype", "transformers_version")
    return {key: value for key, value in config.to_dict().items() if key not in others}


AutoConfig.register(ProjectedT5EncoderConfig.model_type, ProjectedT5EncoderConfig)
AutoModel.register(ProjectedT5EncoderConfig, ProjectedT5Encoder)
