"""The README.md of an assistant, of a target and of every other candidate."""

import math

import yaml

from ...errors import one_line
from ...runtime.markdown import code, table
from .record import CandidateRecord, ScheduleRecord
from .scheduled import HEADER, cells

_CITATION = """## Citation

- Zhang et al.: *Minimal Distillation Schedule for Extreme Language Model Compression* (MiniDisc),
  [arXiv 2205.14570](https://arxiv.org/abs/2205.14570).
"""
_LICENSE = """The licenses of the teacher and of the corpus decide what you may do with this model. MiniEnD does not know them:
before you publish it, put the license into the first lines of this file.
"""


def candidate_card(record: ScheduleRecord, one: CandidateRecord, objective: str, on_hub: bool) -> str:
    """Return the Markdown text, with YAML front matter. `on_hub` says that the teacher's name is its name on the hub."""
    members: dict[str, object] = {"library_name": "transformers", "license": "unknown"}
    members |= {"base_model": one_line(record.teacher)} if on_hub else {}
    members |= {"tags": ["miniend", "distillation", "pruning", "t5"], "teacher": one_line(record.teacher)}
    front = yaml.safe_dump(members, sort_keys=False, allow_unicode=True, width=math.inf)
    facts = [
        ("objective", code(objective)),
        ("steps", f"{record.steps:,}"),
        ("weights during training", "its own" if record.independent else "shared with the other candidates"),
        ("teacher's tensors (SHA-256)", code(record.teacher_digest)),
        ("cache (SHA-256)", code(record.cache_digest)),
    ]
    return "\n".join(
        (
            f"---\n{front}---\n",
            f"# {one.keep:g} of {code(record.teacher)}\n",
            f"The most important {one.heads} heads of every attention and {one.d_ff:,} neurons of every feed-forward of the\n"
            "teacher, trained to do what the teacher does.\n",
            _LICENSE,
            "## How it was made\n",
            table(("what", "value"), facts),
            table(HEADER, [cells(one)]),
            _CITATION,
        )
    )
