"""The README.md of a student: what it is, what it was taught, by whom, how faithfully, and what it cannot do.

It is made from plain facts, so that a card can be tested without a model or a cache. The front matter follows huggingface_hub's
`ModelCardData` (https://huggingface.co/docs/hub/model-cards).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_PAPERS = """## Citation

- C. Zhang, Y. Yang, Q. Li, J. Wang, D. Song: *Task-agnostic Distillation of Encoder-Decoder Language Models* (MiniEnD),
  LREC-COLING 2024, [arXiv 2305.12330](https://arxiv.org/abs/2305.12330).
- W. Wang, H. Bao, S. Huang, L. Dong, F. Wei: *MiniLMv2: Multi-Head Self-Attention Relation Distillation for Compressing
  Pretrained Transformers*, [arXiv 2012.15828](https://arxiv.org/abs/2012.15828).
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Term:
    """One term of the objective, as the card shows it."""

    name: str
    formula: str
    """How the term is computed, e.g. `KL of softmax(Q Kᵀ/√d_r)`."""
    weight: float


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelCardFacts:
    """Everything that a model card states."""

    size: str
    """One line about the size, e.g. from `describe_size`."""
    parameters: int
    parameters_without_embeddings: int
    """The number of parameters without the input embedding and an untied output head."""
    teacher: str
    teacher_digest: str
    """The SHA-256 of the teacher's tensors."""
    cache_digest: str
    corpus: str
    objective: str
    terms: Sequence[Term]
    generates: bool
    """Whether the head was trained: the objective has a logit term or hard labels."""
    relation_heads: int | None
    """The number of relation heads; None for objectives without relations."""
    relation_temperatures: Mapping[str, Mapping[str, float]]
    """Site -> relation kind -> inverse temperature; 1 is the published form."""
    fidelity: Mapping[str, Mapping[str, str]]
    """Relation -> column -> a measurement on the cache's shards."""
    logit_fidelity: str
    """One sentence about the cached next-token distributions; empty if the cache does not hold any."""
    steps: int
    batch_size: int
    tokens_seen: int
    optimizer: str
    learning_rate: float
    schedule: str
    initial_loss: float
    final_loss: float
    validation: Mapping[str, float]
    unreached: Sequence[str]
    """The lines of `summarise_unreached`."""
    software: Mapping[str, str]


def model_card(facts: ModelCardFacts) -> str:
    """Return the Markdown text of README.md, with YAML front matter."""
    sections = (
        _front_matter(facts),
        _introduction(facts),
        _usage(facts),
        _objective(facts),
        _training(facts),
        _fidelity(facts),
        _PAPERS,
    )
    return "\n".join(section for section in sections if section)


def _front_matter(facts: ModelCardFacts) -> str:
    quoted = facts.teacher.replace("\\", "\\\\").replace('"', '\\"')
    return f"""---
library_name: transformers
pipeline_tag: text2text-generation
tags:
- miniend
- distillation
- encoder-decoder
- t5
teacher: "{quoted}"
---
"""


def _introduction(facts: ModelCardFacts) -> str:
    text = f"""# A student of {facts.teacher}

{facts.size}: {facts.parameters:,} parameters, {facts.parameters_without_embeddings:,} without embeddings. Distilled
task-agnostically by MiniEnD from a cache of the teacher's answers on {facts.corpus}.
"""
    if facts.generates:
        return text
    return (
        text
        + """
> **This model must be fine-tuned before it generates.** Its objective has neither a logit term nor hard labels, so its
> output head was never trained: text that it generates now, and its perplexity, mean nothing.
"""
    )


def _usage(facts: ModelCardFacts) -> str:
    purpose = "load" if facts.generates else "load, to fine-tune"
    return f"""## Use

```python
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

folder = "."  # {purpose}: the folder of this file
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForSeq2SeqLM.from_pretrained(folder)
```
"""


def _objective(facts: ModelCardFacts) -> str:
    rows = [(term.name, term.formula, f"{term.weight:g}") for term in facts.terms]
    text = f"## Objective\n\n`{facts.objective}`, a weighted sum of terms:\n\n"
    text += _table(("term", "formula", "weight"), rows)
    if facts.relation_heads is not None:
        text += f"\nRelation heads: {facts.relation_heads}.\n"
    if facts.relation_temperatures:
        kinds = _columns(facts.relation_temperatures)
        text += "\nFactors that sharpen each relation, in teacher and student alike (1 is the published form):\n\n"
        text += _table(("site", *kinds), _rows(facts.relation_temperatures, kinds))
    if facts.unreached:
        text += "\nParameters that this objective cannot reach; they are as they were at the start of training:\n\n"
        text += "".join(f"- {line}\n" for line in facts.unreached)
    return text


def _training(facts: ModelCardFacts) -> str:
    rows = [
        ("teacher's tensors (SHA-256)", f"`{facts.teacher_digest}`"),
        ("cache (SHA-256)", f"`{facts.cache_digest}`"),
        ("corpus", facts.corpus),
        ("steps", f"{facts.steps:,}"),
        ("batch size", f"{facts.batch_size:,}"),
        ("tokens seen", f"{facts.tokens_seen:,}"),
        ("optimizer", facts.optimizer),
        ("learning rate", f"{facts.learning_rate:g}, {facts.schedule}"),
        ("dropout in distillation", "0"),
        ("training loss at the start", f"{facts.initial_loss:.4f}"),
        ("training loss at the end", f"{facts.final_loss:.4f}"),
        *((f"validation {name}", f"{value:.4f}") for name, value in facts.validation.items()),
        *facts.software.items(),
    ]
    return "## Training\n\n" + _table(("what", "value"), rows)


def _fidelity(facts: ModelCardFacts) -> str:
    if not facts.fidelity and not facts.logit_fidelity:
        return ""
    text = "## Fidelity of the cache\n"
    if facts.fidelity:
        columns = _columns(facts.fidelity)
        rows = [(name, *(row.get(column, "") for column in columns)) for name, row in facts.fidelity.items()]
        text += "\nKL divergence, in nats, from the teacher's relations to the cached ones, over rows and heads:\n\n"
        text += _table(("relation", *columns), rows)
    return text + (f"\n{facts.logit_fidelity}\n" if facts.logit_fidelity else "")


def _columns(table: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return all column names, in order of first appearance."""
    return list(dict.fromkeys(column for row in table.values() for column in row))


def _rows(table: Mapping[str, Mapping[str, float]], columns: Sequence[str]) -> list[tuple[str, ...]]:
    return [(name, *(f"{row[key]:.3g}" if key in row else "" for key in columns)) for name, row in table.items()]


def _table(heads: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |\n" for line in lines)
