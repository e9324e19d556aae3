"""Small students of every family, and what they compute."""

import torch

from miniend.models.size import student_config
from miniend.models.start.fresh import build_student

FAMILY_NAMES = ("t5", "mt5", "umt5")


def teacher_of(kind, rows=200):
    return {
        "model_type": kind,
        "vocab_size": rows,
        "feed_forward_proj": "relu" if kind == "t5" else "gated-gelu",
        "dropout_rate": 0.1,
        "pad_token_id": 0,
        "eos_token_id": 1,
        "decoder_start_token_id": 0,
    }


def fresh(kind, tied, size="2L64H", rows=200, seed=0):
    return build_student(student_config(size, teacher_of(kind, rows)), tied, seed)


def tokens(rows, shape, seed=1):
    return torch.randint(2, rows, shape, generator=torch.Generator().manual_seed(seed))


def logits(model):
    rows = model.lm_head.weight.shape[0]
    with torch.no_grad():
        return model.eval()(input_ids=tokens(rows, (2, 11)), labels=tokens(rows, (2, 7), 2)).logits


def perturb(model, seed=5):
    """Move every weight, so that nothing keeps a value that loading might fall back to."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * parameter.std() * torch.randn(parameter.shape, generator=generator) + 1e-3)
    return model
