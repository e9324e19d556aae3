"""The README.md of a sorted teacher: what it is, how it was sorted, and how a student starts from it."""

import math
from shlex import quote

import yaml

from ...errors import one_line
from ...runtime.markdown import code, table
from .record import PruningRecord
from .sorted_teacher import HEADER, cells

_CITATION = """## Citation

- Zhang et al.: *Minimal Distillation Schedule for Extreme Language Model Compression* (MiniDisc),
  [arXiv 2205.14570](https://arxiv.org/abs/2205.14570).
"""
_LICENSE = """The license of the teacher decides what you may do with this model. MiniEnD does not know it: before you publish the
model, put the license into the first lines of this file.
"""


def pruning_card(record: PruningRecord, on_hub: bool) -> str:
    """Return the Markdown text, with YAML front matter. `on_hub` says that the teacher's name is its name on the hub."""
    members: dict[str, object] = {"library_name": "transformers", "license": "unknown"}
    members |= {"base_model": one_line(record.teacher)} if on_hub else {}
    members |= {"tags": ["miniend", "pruning", "encoder-decoder", "t5"], "teacher": one_line(record.teacher)}
    front = yaml.safe_dump(members, sort_keys=False, allow_unicode=True, width=math.inf)
    facts = [
        ("teacher's tensors (SHA-256)", code(record.teacher_digest)),
        ("cache (SHA-256)", code(record.cache_digest)),
        ("importance", code(record.importance)),
        ("examples that it was measured on", f"{len(record.examples):,}"),
        ("validation examples of the losses below", f"{record.validation_examples:,}"),
    ]
    return "\n".join(
        (
            f"---\n{front}---\n",
            f"# {code(record.teacher)}, sorted for pruning\n",
            "The same model with its attention heads and feed-forward neurons in another order, the most important first. It\n"
            "computes what the teacher computes. The first heads and neurons of all its matrices are a smaller model.\n",
            f"```\nminiend train-student --cache CACHE --init pruned:{quote('FOLDER')} --keep 0.5 --output student\n```\n",
            _LICENSE,
            "## How it was sorted\n",
            table(("what", "value"), facts),
            "## What a fraction leaves\n\nThe cut models have these losses before any training.\n",
            table(HEADER, [cells(row) for row in record.table]),
            _CITATION,
        )
    )
