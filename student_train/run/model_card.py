"""The README.md of a student: what it is, what it was taught, by whom, how faithfully, and what it cannot do.

It is made from plain facts, so that a card can be tested without a model or a cache. The front matter follows huggingface_hub's
`ModelCardData` (https://huggingface.co/docs/hub/model-cards).
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from ...errors import one_line
from ...runtime.markdown import code, plain, table

_PAPERS = """## Citation

- C. Zhang, Y. Yang, Q. Li, J. Wang, D. Song: *Task-agnostic Distillation of Encoder-Decoder Language Models* (MiniEnD),
  LREC-COLING 2024, [arXiv 2305.12330](https://arxiv.org/abs/2305.12330).
- W. Wang, H. Bao, S. Huang, L. Dong, F. Wei: *MiniLMv2: Multi-Head Self-Attention Relation Distillation for Compressing
  Pretrained Transformers*, [arXiv 2012.15828](https://arxiv.org/abs/2012.15828).
"""

_LICENSE = """The licenses of the teacher and of the corpus decide what you may do with this model. MiniEnD does not know them:
before you publish it, put the license into the first lines of this file.
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
    encoder: bool
    """Whether it is an encoder without decoder."""
    mapped: str | None
    """The file with learned maps of its states to the teacher's width; None without maps."""
    example: str
    """A text to try it on."""
    padded_to: int | None
    """The length to which a pipeline pads a text, which the encoder then reads without a mask; None where it does not."""
    right_in_transformers_4: bool
    """Whether transformers 4 computes the same with it as version 5."""
    tokenizer_of_version_5: bool
    """Whether transformers 5 saved its tokenizer, in a form that version 4 cannot read."""
    generates_without_cache: bool
    """Whether its decoder has more layers than transformers' cache of keys and values."""
    teacher: str
    teacher_on_hub: bool
    """Whether the teacher's name is its name on the hub."""
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
    compared: Mapping[str, Mapping[str, str]]
    """Part of a term on states -> column -> a layer, a validation mean, or the error of the cache."""
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
        _versions(facts),
        _objective(facts),
        _training(facts),
        _fidelity(facts),
        _PAPERS,
    )
    return "\n".join(section for section in sections if section)


def _front_matter(facts: ModelCardFacts) -> str:
    """Return the YAML block. The hub knows a base model by its name there, and `unknown` as a license."""
    pipeline = "feature-extraction" if facts.encoder else "text-generation"
    members: dict[str, Any] = {"library_name": "transformers", "pipeline_tag": pipeline, "license": "unknown"}
    if facts.teacher_on_hub:
        members["base_model"] = one_line(facts.teacher)
    kind = "encoder" if facts.encoder else "encoder-decoder"
    members |= {"tags": ["miniend", "distillation", kind, "t5"], "teacher": one_line(facts.teacher)}
    text = yaml.safe_dump(members, sort_keys=False, allow_unicode=True, width=math.inf)
    return f"---\n{text}---\n"


def _introduction(facts: ModelCardFacts) -> str:
    text = f"""# A student of {code(facts.teacher)}

{plain(facts.size)}: {facts.parameters:,} parameters, {facts.parameters_without_embeddings:,} without embeddings. Distilled
task-agnostically by MiniEnD from a cache of the teacher's answers on {code(facts.corpus)}.
"""
    if facts.generates or facts.encoder:
        return text
    return (
        text
        + """
> **This model must be fine-tuned before it generates.** Its objective has neither a logit term nor hard labels, so its
> output head was never trained: text that it generates now, and its perplexity, mean nothing.
"""
    )


def _reading(facts: ModelCardFacts) -> Iterator[str]:
    if facts.padded_to is None:
        yield f'states = model(**tokenizer({facts.example!a}, return_tensors="pt")).last_hidden_state'
        return
    yield f'padded = {{"padding": "max_length", "max_length": {facts.padded_to}, "truncation": True}}'
    yield f'ids = tokenizer({facts.example!a}, return_tensors="pt", **padded).input_ids'
    yield "states = model(input_ids=ids).last_hidden_state  # without a mask: the padding is read like text"


def _usage_of_encoder(facts: ModelCardFacts) -> str:
    name = "ProjectedT5Encoder" if facts.mapped else "AutoModelForTextEncoding"
    made = f"{name}.from_student" if facts.mapped else f"{name}.from_pretrained"
    lines = [
        *([f"from miniend import {name}"] if facts.mapped else []),
        f"from transformers import {'' if facts.mapped else f'{name}, '}AutoTokenizer",
        "",
        'folder = "."  # where this file is, or the name that you gave the model on the hub',
        "tokenizer = AutoTokenizer.from_pretrained(folder)",
        f"model = {made}(folder)",
        *_reading(facts),
    ]
    text = f"The states have the teacher's width, by the map in {code(facts.mapped)}.\n\n" if facts.mapped else ""
    return "## Use\n\n" + text + "\n".join(("```python", *lines, "```")) + f"\n\n{_LICENSE}"


def _usage(facts: ModelCardFacts) -> str:
    if facts.encoder:
        return _usage_of_encoder(facts)
    lines = [
        "from transformers import AutoModelForSeq2SeqLM, AutoTokenizer",
        "",
        'folder = "."  # where this file is, or the name that you gave the model on the hub',
        "tokenizer = AutoTokenizer.from_pretrained(folder)",
        "model = AutoModelForSeq2SeqLM.from_pretrained(folder)",
    ]
    if facts.generates:
        lines += [
            f'inputs = tokenizer({facts.example!a}, return_tensors="pt")',
            "print(tokenizer.decode(model.generate(**inputs, max_new_tokens=20)[0]))",
        ]
    block = "\n".join(("```python", *lines, "```"))
    return f"## Use\n\n{block}\n\n{_LICENSE}"


def _versions(facts: ModelCardFacts) -> str:
    """Return what the major versions of transformers make of this student."""
    if facts.right_in_transformers_4:
        lines = ["Versions 4 and 5 of transformers open this model and compute the same with it."]
    else:
        lines = [
            "**Use version 5 of transformers.** Version 4 loads this model without a warning and computes other logits: it "
            "scales the decoder's output if, and only if, the embeddings are tied."
        ]
    if facts.tokenizer_of_version_5:
        lines.append(
            "Version 5 saved the teacher's tokenizer; for version 4 add `extra_special_tokens={}` to the arguments of "
            "`AutoTokenizer.from_pretrained`."
        )
    if facts.generates_without_cache:
        lines.append(
            "The decoder has more layers than the encoder, and no version has a cache of keys and values for that. So "
            "`generation_config.json` says `use_cache: false`; `generate` fails with `use_cache=True`."
        )
    return "## Versions of transformers\n\n" + "".join(f"- {line}\n" for line in lines)


def _objective(facts: ModelCardFacts) -> str:
    rows = [(code(term.name), code(term.formula), f"{term.weight:g}") for term in facts.terms]
    text = f"## Objective\n\n{code(facts.objective)}, a weighted sum of terms:\n\n"
    text += table(("term", "formula", "weight"), rows)
    if facts.relation_heads is not None:
        text += f"\nRelation heads: {facts.relation_heads}.\n"
    if facts.relation_temperatures:
        kinds = _columns(facts.relation_temperatures)
        text += "\nFactors that sharpen each relation, in teacher and student alike (1 is the published form):\n\n"
        text += table(("site", *kinds), _rows(facts.relation_temperatures, kinds))
    if facts.compared:
        columns = _columns(facts.compared)
        text += "\nThe states that are compared; layers are counted from 0 here, and from 1 in the names of parts:\n\n"
        text += table(("part", *columns), [(code(name), *_cells(row, columns)) for name, row in facts.compared.items()])
    if facts.unreached:
        text += "\nParameters that this objective cannot reach; they are as they were at the start of training:\n\n"
        text += "".join(f"- {code(line)}\n" for line in facts.unreached)
    return text


def _training(facts: ModelCardFacts) -> str:
    rows = [
        ("teacher's tensors (SHA-256)", f"`{facts.teacher_digest}`"),
        ("cache (SHA-256)", f"`{facts.cache_digest}`"),
        ("corpus", code(facts.corpus)),
        ("steps", f"{facts.steps:,}"),
        ("batch size", f"{facts.batch_size:,}"),
        ("tokens seen", f"{facts.tokens_seen:,}"),
        ("optimizer", code(facts.optimizer)),
        ("learning rate", f"{facts.learning_rate:g}, {plain(facts.schedule)}"),
        ("dropout in distillation", "0"),
        ("training loss at the start", f"{facts.initial_loss:.4f}"),
        ("training loss at the end", f"{facts.final_loss:.4f}"),
        *((f"validation {code(name)}", f"{value:.4f}") for name, value in facts.validation.items()),
        *facts.software.items(),
    ]
    return "## Training\n\n" + table(("what", "value"), rows)


def _fidelity(facts: ModelCardFacts) -> str:
    if not facts.fidelity and not facts.logit_fidelity:
        return ""
    text = "## Fidelity of the cache\n"
    if facts.fidelity:
        columns = _columns(facts.fidelity)
        rows = [(code(name), *_cells(row, columns)) for name, row in facts.fidelity.items()]
        text += "\nKL divergence, in nats, from the teacher's relations to the cached ones, over rows and heads:\n\n"
        text += table(("relation", *columns), rows)
    return text + (f"\n{facts.logit_fidelity}\n" if facts.logit_fidelity else "")


def _columns(table: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return all column names, in order of first appearance."""
    return list(dict.fromkeys(column for row in table.values() for column in row))


def _cells(row: Mapping[str, str], columns: Sequence[str]) -> list[str]:
    return [row.get(column, "") for column in columns]


def _rows(table: Mapping[str, Mapping[str, float]], columns: Sequence[str]) -> list[tuple[str, ...]]:
    return [(code(name), *(f"{row[key]:.3g}" if key in row else "" for key in columns)) for name, row in table.items()]
