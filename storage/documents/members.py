"""The members that SPEC.md gives each kind of document, checked for their form as soon as a cache is opened.

A seal proves that nobody changed a document since it was written, not that its writer was right. What passes here can be
used without a KeyError, a TypeError or a number that no cache can have. Members that are not named here are passed over.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ...errors import CacheDamagedError

LARGEST_NUMBER = 2**63
LARGEST_VOCABULARY = 2**24


@dataclass(frozen=True, slots=True)
class Value:
    """A value that is no object and no list."""

    test: Callable[[Any], bool]
    expected: str


@dataclass(frozen=True, slots=True)
class Each:
    """An object of any names whose values all have one form."""

    form: Any


@dataclass(frozen=True, slots=True)
class Maybe:
    """null, or a value of this form."""

    form: Any


def _integer(low: int, high: int = LARGEST_NUMBER) -> Value:
    return Value(lambda v: type(v) is int and low <= v < high, f"an integer from {low:,} to below {high:,}")


def _one_of(*names: str) -> Value:
    return Value(lambda v: type(v) is str and v in names, f"one of {', '.join(names)}")


TEXT = Value(lambda v: type(v) is str, "a text")
OBJECT = Value(lambda v: type(v) is dict, "an object")
BOOLEAN = Value(lambda v: type(v) is bool, "true or false")
NUMBER = Value(lambda v: type(v) in (int, float) and abs(v) < 1e300, "a number")
ABOVE_ZERO = Value(lambda v: type(v) in (int, float) and 0 < v < 1e300, "a positive number")
DIGEST = Value(lambda v: type(v) is str and bool(re.fullmatch("[0-9a-f]{64}", v)), "a SHA-256 in hexadecimal")
NATURAL, POSITIVE = _integer(0), _integer(1)
ID = _integer(0, LARGEST_VOCABULARY)
MEAN = {"total": NUMBER, "count": NATURAL}
FIDELITY = Each(Each(MEAN))
RANGE = [NATURAL]
LOGITS = {
    "kind": _one_of("top-k", "sampled", "hybrid"),
    **dict.fromkeys(("k", "draws"), NATURAL),
    **dict.fromkeys(("top_p", "step", "entropy_step"), NUMBER),
    "temperatures": [ABOVE_ZERO],
}
FACTS = {
    "model_type": TEXT,
    **dict.fromkeys(("encoder_layers", "decoder_layers", "d_model", "heads", "d_kv"), _integer(1, 2**20)),
    "vocab_rows": _integer(1, LARGEST_VOCABULARY),
    "tied": BOOLEAN,
    "head_scale": NUMBER,
}
CODE = {"axis": _one_of("input", "target"), "blocks": [TEXT], "column": TEXT, "rank": NATURAL, "step": NUMBER}
MARKER = {
    "parent": TEXT,
    "split": _one_of("validation", "train"),
    **dict.fromkeys(("number", "start", "stop"), NATURAL),
}

FORMS: dict[str, Mapping[str, Any]] = {
    "plan": {
        "teacher": {
            "name": TEXT,
            "revision": Maybe(TEXT),
            "tensor_digest": DIGEST,
            "config": OBJECT,
            "facts": FACTS,
            "start_id": ID,
            "pad_id": ID,
            "dtype": TEXT,
        },
        "tokenizer": {"size": _integer(1, LARGEST_VOCABULARY), "eos_id": ID, "pad_id": ID, "sentinel_ids": [ID]},
        "corpus": {"fields": [TEXT], "shuffle_buffer": NATURAL, "parts": [{"kind": TEXT, "weight": NUMBER}]},
        "objective": {"kind": TEXT, "input_length": POSITIVE, "target_length": POSITIVE},
        "seed": Value(lambda v: type(v) is int and v >= 0, "an integer from 0"),
        "validation_examples": NATURAL,
        "batch_size": POSITIVE,
        "shard_examples": POSITIVE,
        "codec": _one_of("pcodec", "zstd"),
        "signals": {
            "relations": [TEXT],
            "relation_kl": NUMBER,
            "relation_step": Maybe(NUMBER),
            "relation_rank": Maybe(POSITIVE),
            "relation_temperature": TEXT,
            "hidden": [TEXT],
            "hidden_error": NUMBER,
            "calibration_examples": POSITIVE,
            "logits": Maybe(LOGITS),
        },
        "environment": {"threads": POSITIVE},
        "derived": {"validation_share": NUMBER},
    },
    "extent": {"parent": TEXT, "examples": NATURAL, "shard_examples": POSITIVE},
    "calibration": {
        "parent": TEXT,
        "examples": {"basis": RANGE, "step": RANGE, "report": RANGE},
        "teacher": {
            "cross_entropy": MEAN,
            "end_cross_entropy": Maybe(MEAN),
            "unigram_entropy": NUMBER,
            "unigram_tokens": NATURAL,
        },
        "fidelity": FIDELITY,
        "sites": [
            {
                "site": TEXT,
                "inner": _integer(1, 2**20),
                "heads": _integer(1, 2**20),
                **dict.fromkeys(("alpha", "relative_entropy", "published_entropy"), Each(NUMBER)),
                "codes": Each(CODE),
            }
        ],
        "hidden": [{"site": TEXT, "codes": Each(CODE)}],
    },
    "segments": {**MARKER, "next": {"document": NATURAL, "offset": NATURAL}, "exhausted": BOOLEAN},
    "shard": {
        **MARKER,
        "tokens": {"input": NATURAL, "target": NATURAL},
        "fidelity": FIDELITY,
        "teacher_cross_entropy": MEAN,
    },
}
"""By kind, markers by what they mark."""


def check_form(document: Mapping[str, Any], name: str, where: str) -> None:
    """Raise CacheDamagedError unless the document has every member of `FORMS[name]` in its form; `where` is named."""
    try:
        _require(document, FORMS[name])
    except _MisfitError as misfit:
        problem = f"its member {'.'.join(misfit.path)} should be {misfit.expected}, found {_short(misfit.found)}"
        raise CacheDamagedError(f"{where} is damaged: {problem}. Restore the folder, or dump it again") from None


class _MisfitError(Exception):
    """A value that has not its form; the path to it is put together on the way out, as most documents need none."""

    def __init__(self, expected: str, found: Any) -> None:
        super().__init__(expected)
        self.path: list[str] = []
        self.expected, self.found = expected, found


def _require(value: Any, form: Any) -> None:
    """Raise _MisfitError for the first member that has another form."""
    if isinstance(form, Value):
        if not form.test(value):
            raise _MisfitError(form.expected, value)
    elif not isinstance(form, Maybe):
        _require_parts(value, form)
    elif value is not None:
        _require(value, form.form)


def _require_parts(value: Any, form: Any) -> None:
    """The same for the form of an object or a list, part by part."""
    if not isinstance(value, list if isinstance(form, list) else dict):
        raise _MisfitError("a list" if isinstance(form, list) else "an object", value)
    for key, part, inner in _parts(value, form):
        try:
            _require(part, inner)
        except _MisfitError as misfit:
            misfit.path.insert(0, str(key))
            raise


def _parts(value: Any, form: Any) -> Iterable[tuple[Any, Any, Any]]:
    """Name or place, value and form of each part."""
    if isinstance(form, list):
        return [(place, part, form[0]) for place, part in enumerate(value)]
    if isinstance(form, Each):
        return [(key, part, form.form) for key, part in value.items()]
    return [(key, value.get(key), inner) for key, inner in form.items()]


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
