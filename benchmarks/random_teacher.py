"""A teacher of a well-known shape with random weights, for measuring time, which does not ask what they mean."""

import shutil
from pathlib import Path

import torch
from transformers import T5Config, T5ForConditionalGeneration

SHAPES = {
    "base": {"d_model": 768, "d_kv": 64, "d_ff": 3072, "num_layers": 12, "num_heads": 12},
    "small": {"d_model": 512, "d_kv": 64, "d_ff": 2048, "num_layers": 6, "num_heads": 8},
}


def random_teacher(work: Path, shape: str, tokenizer: Path) -> Path:
    """The folder `work/teacher-SHAPE`, written once, with the tokenizer beside the weights."""
    folder = work / f"teacher-{shape}"
    if not (folder / "config.json").exists():
        torch.manual_seed(0)
        config = T5Config(vocab_size=32128, decoder_start_token_id=0, pad_token_id=0, eos_token_id=1, **SHAPES[shape])
        shutil.copytree(tokenizer, folder)
        T5ForConditionalGeneration(config).save_pretrained(folder)
    return folder
