"""The encoder to judge: a student with its map, a saved `ProjectedT5Encoder`, or the encoder of any T5-family checkpoint."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import torch
from torch import Tensor

from ...errors import CheckpointError
from ...models.checkpoint_files import checkpoint_file
from ...models.pretrained import load_pretrained
from ...models.projected_encoder import ProjectedT5Encoder, ProjectedT5EncoderConfig, map_of_states, require_map
from ...runtime.json_file import read_json
from ...runtime.progress import quiet_transformers


@dataclass(frozen=True, slots=True)
class Encoder:
    """A model whose `last_hidden_state` is judged, and a map of it."""

    model: Any
    map: tuple[Tensor, Tensor] | None
    """W [out, width] and b [out]; None for the identity."""

    @classmethod
    def loaded(cls, name: str, device: torch.device) -> Self:
        """Return the encoder of a folder or hub name, in float32. Raises CheckpointError if it cannot be read."""
        if _is_projected(name):
            with quiet_transformers():
                return cls(ProjectedT5Encoder.from_pretrained(name).float().eval().to(device), None)
        model, _ = load_pretrained(name, torch.float32, encoder_only=True)
        if (found := map_of_states(name)) is None:
            return cls(model.eval().to(device), None)
        require_map(name, *found, model.config.d_model)
        return cls(model.eval().to(device), None).with_map(*found)

    def with_map(self, weight: Tensor, bias: Tensor) -> Self:
        """Return the same encoder with another map."""
        device = next(self.model.parameters()).device
        return replace(self, map=(weight.to(device), bias.to(device)))

    @property
    def rows(self) -> int:
        """The number of its embeddings."""
        return int(self.model.get_input_embeddings().num_embeddings)

    @property
    def parameters(self) -> int:
        """The number of parameters of the model and of its map."""
        return sum(int(one.numel()) for one in (*self.model.parameters(), *(self.map or ())))

    @torch.inference_mode()
    def states(self, texts: Sequence[Tensor]) -> list[Tensor]:
        """Return the states [length, out] of each text, from one padded batch of ids, int64 [length]."""
        device = next(self.model.parameters()).device
        ids = torch.nn.utils.rnn.pad_sequence(list(texts), batch_first=True).to(device)
        mask = torch.nn.utils.rnn.pad_sequence([torch.ones_like(one) for one in texts], batch_first=True).to(device)
        states = self.model(input_ids=ids, attention_mask=mask).last_hidden_state.float()
        if self.map is not None:
            states = torch.nn.functional.linear(states, *self.map)
        return [states[row, : len(one)] for row, one in enumerate(texts)]


def _is_projected(name: str) -> bool:
    try:
        path = checkpoint_file(name, "config.json")
        raw = {} if path is None else read_json(path)
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{name}: config.json cannot be read ({error}); restore the file") from error
    return isinstance(raw, dict) and raw.get("model_type") == ProjectedT5EncoderConfig.model_type
