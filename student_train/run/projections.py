"""`projections.safetensors`: the terms' own parameters beside an exported student, for those who go on with both."""

from pathlib import Path

from safetensors.torch import save

from ...models.projected_encoder import PROJECTIONS
from ...runtime.durable import write_durably
from ..distillation import Distillation


def save_projections(distillation: Distillation, folder: Path) -> None:
    """Write the parameters by name of the term and of the parameter, `encoder_hidden.maps.2-4.weight`; nothing without any."""
    tensors = {name: one.detach().cpu().contiguous() for name, one in distillation.terms.named_parameters()}
    if tensors:
        folder.mkdir(parents=True, exist_ok=True)
        write_durably(folder / PROJECTIONS, save(tensors))
