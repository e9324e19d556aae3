"""Loading the tokenizer of a checkpoint."""

from pathlib import Path
from typing import Any

from ..errors import CheckpointError, TeacherError, in_one_line
from ..runtime.progress import quiet_transformers


def load_tokenizer(name: str | Path, revision: str | None = None) -> Any:
    """Return the tokenizer of a folder, or of a hub name at a revision. Raises CheckpointError where there is not one."""
    from transformers import AutoTokenizer

    try:
        with quiet_transformers():
            tokenizer = AutoTokenizer.from_pretrained(str(name), revision=revision or "main")
    except Exception as error:  # transformers raises what its many layers raise
        raise CheckpointError(
            f"no tokenizer can be loaded from {name}: {in_one_line(error)}; give a folder with tokenizer.json"
        ) from error
    if len(set(tokenizer.get_vocab()) - set(tokenizer.all_special_tokens)) < 2:
        raise CheckpointError(
            f"no tokenizer can be loaded from {name}: transformers found no vocabulary there and made an empty one; "
            "give a folder with tokenizer.json"
        )
    return tokenizer


def load_fast_tokenizer(name: str | Path, revision: str | None = None) -> Any:
    """Return the same, as tokenizers' own: what a dump needs. Raises TeacherError for another."""
    tokenizer = load_tokenizer(name, revision)
    if not getattr(tokenizer, "is_fast", False):
        raise TeacherError(
            f"expected a fast tokenizer (tokenizer.json) in {name}, found {type(tokenizer).__name__}; convert it first"
        )
    return tokenizer
