"""Saving a student as a folder that transformers loads.

A student computes, to the bit, the same as `from_pretrained` on its saved folder. So it keeps the head scale that plain
transformers applies on reload: T5's is in config.json, mT5 does not have one, and umT5 always scales by d_model^-1/2.
"""

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from ..errors import ConfigurationError, TrainingError
from ..runtime.durable import flush, share
from ..runtime.progress import quiet_transformers
from .families import family_of
from .generation import allow_generation
from .tokenizer_files import strangers


def save_student(model: Any, folder: Path, tokenizer_files: Mapping[str, bytes], readme: str) -> None:
    """Write a folder that `AutoModelForSeq2SeqLM` and `AutoTokenizer` load: weights, configs, tokenizer files, README.md.

    Every file is written aside, flushed and renamed, so after a kill each file is either old or new. config.json says truthfully
    whether the head is tied and scaled, which transformers 5 itself does not. Raises ConfigurationError for a file that
    a tokenizer does not have, and TrainingError if the weights cannot be written.
    """
    if others := strangers(tokenizer_files):
        raise ConfigurationError(f"expected the files of a tokenizer, found {others[0]!r}; a student gets nothing else")
    allow_generation(model)
    aside = folder / ".partial"
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    try:
        with quiet_transformers():
            model.save_pretrained(aside, max_shard_size="1000GB")
    except SafetensorError as error:
        raise TrainingError(
            f"{folder} could not be written ({error}); make room and run the same command again"
        ) from error
    _correct_config(aside / "config.json", model)
    (aside / "README.md").write_text(readme, encoding="utf-8")
    for name, content in tokenizer_files.items():
        (aside / name).write_bytes(content)
    # the weights come last, because a folder with weights counts as finished
    for path in sorted(aside.iterdir(), key=lambda path: (path.suffix == ".safetensors", path.name)):
        share(path)
        flush(path)
        os.replace(path, folder / path.name)
    aside.rmdir()
    flush(folder)


def right_in_transformers_4(model: Any) -> bool:
    """Return whether transformers 4 computes the same with the saved folder as version 5.

    Version 4 scales the decoder's output if, and only if, config.json ties the embeddings. Version 5 always scales that of umT5,
    never that of mT5.
    """
    family = family_of(model)
    if not family.predicts:
        return True
    return family.tied(model) == (family.head_scale(model) != 1.0)


def _correct_config(path: Path, model: Any) -> None:
    family = family_of(model)
    stated = json.loads(path.read_text(encoding="utf-8")) | family.saved_settings(model)
    stated |= {"architectures": [family.architecture], "model_type": family.model_type}
    path.write_text(json.dumps(stated, indent=2, sort_keys=True) + "\n", encoding="utf-8")
