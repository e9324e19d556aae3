"""A teacher of a well-known shape with random weights, for measuring time, which does not depend on the weights."""

import argparse
import shutil
from pathlib import Path

import torch
from transformers import T5Config, T5ForConditionalGeneration

from miniend.runtime.progress import quiet_transformers

SHAPES = {
    "large": {"d_model": 1024, "d_kv": 64, "d_ff": 4096, "num_layers": 24, "num_heads": 16},
    "base": {"d_model": 768, "d_kv": 64, "d_ff": 3072, "num_layers": 12, "num_heads": 12},
    "small": {"d_model": 512, "d_kv": 64, "d_ff": 2048, "num_layers": 6, "num_heads": 8},
    "tiny": {"d_model": 64, "d_kv": 16, "d_ff": 128, "num_layers": 3, "num_heads": 4},
}


def parser_for(description: str) -> argparse.ArgumentParser:
    """Return the common options of scripts that dump such a teacher; each script adds its own."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokenizer", type=Path, required=True, help="folder of a T5 tokenizer")
    parser.add_argument("--corpus", required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--shape", choices=SHAPES, default="base")
    parser.add_argument("--input-length", type=int, default=512)
    parser.add_argument("--batch-size", type=int, default=8)
    return parser


def random_teacher(work: Path, shape: str, tokenizer: Path) -> Path:
    """Return the folder `work/teacher-SHAPE`, which is written once, with the tokenizer beside the weights."""
    folder = work / f"teacher-{shape}"
    if not (folder / "config.json").exists():
        torch.manual_seed(0)
        config = T5Config(vocab_size=32128, decoder_start_token_id=0, pad_token_id=0, eos_token_id=1, **SHAPES[shape])
        shutil.copytree(tokenizer, folder)
        with quiet_transformers():
            T5ForConditionalGeneration(config).save_pretrained(folder)
    return folder
