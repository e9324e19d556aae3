"""The README.md of a cache on the hub, a data set card: what it is, from which teacher and corpus, how large and how faithful."""

import math
from pathlib import Path

import yaml

from ...cache import open_cache
from ...errors import one_line
from ...runtime.markdown import code, table
from ...runtime.progress import size_text
from ...student_train.run.card_facts import corpus_line
from ..inspect.inspection import describe, inspect_cache

_READ = """## How to read it

With [MiniEnD](https://pypi.org/project/miniend/), from the hub:

```
miniend train-student --cache hf://datasets/{name} --output student --steps 10000
miniend inspect hf://datasets/{name}
```

A training fetches only the columns that its objective needs. From Python, `miniend.open_cache("hf://datasets/{name}")` gives the
examples. The format is described in `storage/SPEC.md` of MiniEnD: Zarr arrays, each listed with its SHA-256.
"""
_LICENSE = """## License

A cache holds the token ids of its corpus, and the answers of its teacher. Their licenses decide what may be done with it. MiniEnD
does not know them: put a license into the first lines of this file. They stay when the cache is uploaded again.
"""


def cache_card(name: str, cache: Path) -> str:
    """Return the Markdown text of README.md, with YAML front matter."""
    opened, facts = open_cache(cache, allow_unfinished=True), inspect_cache(cache)
    plan = opened.plan
    members = {
        "license": "unknown",
        "pretty_name": one_line(f"Answers of {plan.teacher.name}"),
        "tags": ["miniend", "distillation", "encoder-decoder", "t5"],
        "viewer": False,
    }
    front = yaml.safe_dump(members, sort_keys=False, allow_unicode=True, width=math.inf)
    rows = [
        ("teacher", code(plan.teacher.name)),
        ("SHA-256 of its tensors", code(plan.teacher.tensor_digest)),
        ("corpus and task", code(corpus_line(plan))),
        ("examples", f"{facts.examples:,} for training, {facts.validation_examples:,} for validation"),
        ("size", f"{size_text(facts.bytes.total)} in {len(opened.shards):,} shards"),
        ("signals", code(", ".join([*opened.codecs, "logits" if opened.plan.signals.logits else "no logits"]))),
        ("state", "finished" if facts.complete else "unfinished"),
        ("digest", code(facts.digest)),
    ]
    inspected = "".join(f"    {one_line(line)}\n" for line in describe(facts))
    return "\n".join(
        (
            f"---\n{front}---\n",
            "# A teacher's answers, cached for distillation\n",
            f"MiniEnD ran {code(plan.teacher.name)} once over a corpus and kept its answers. Students learn from them, and the "
            "teacher is not\nneeded any more.\n",
            table(("", ""), rows),
            _READ.format(name=name),
            _LICENSE,
            f"## Settings, sizes and fidelity\n\nThis is what `miniend inspect` prints.\n\n{inspected}",
        )
    )
