"""A fine-tuned text-to-text model in a folder, as a teacher or a start of students: what `--keep-model` leaves."""

from pathlib import Path
from typing import Any

from ..models.families import family_of
from ..models.save import save_student
from ..models.tokenizer_files import tokenizer_files
from ..runtime.durable import is_there
from .checkpoint import Checkpoint

WEIGHTS = "model.safetensors"
"""The file that is written last."""


def keep_model(model: Any, folder: Path, checkpoint: Checkpoint) -> None:
    """Write a fine-tuned model with the tokenizer of the checkpoint from which it was tuned.

    The model may be used further: it computes the same afterwards.
    """
    family_of(model).make_plain(model)
    save_student(model, folder, tokenizer_files(checkpoint.name), CARD)


def is_kept(folder: Path) -> bool:
    """Return whether a folder holds a model that was written to its end."""
    return is_there(folder / WEIGHTS)


CARD = """# A fine-tuned model

`miniend evaluate --keep-model` fine-tuned it, text to text. The file `seed-N.json` beside this folder has its scores, and
`settings.json` what it was trained on. The license of the checkpoint and of the data decide what you may do with it.
"""
"""Its README.md."""
