"""Models whose heads and neurons all matter, for the tests of pruning."""

import torch

from miniend.models.size import student_config
from miniend.models.start.fresh import build_student

from .students import perturb, teacher_of


def prunable(kind, tied, heads=4, d_ff=192, size="2E3D32H", bias=5.0, seed=3, **more):
    """A float64 model whose width of heads times d_kv is not d_model, with a large random position bias.

    With the bias of a fresh model, heads that get other heads' bias would hardly show.
    """
    widths = {"d_kv": 24, "num_heads": heads, "d_ff": d_ff, **more}
    model = perturb(build_student(student_config(size, teacher_of(kind)) | widths, tied, seed)).double().eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "relative_attention_bias" in name:
                parameter.copy_(bias * torch.randn(parameter.shape, generator=generator))
    return model
