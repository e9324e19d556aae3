"""The forms of a document's values, as annotations: a Python type, and a constraint that a value must satisfy."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any

LARGEST_NUMBER = 2**63
LARGEST_VOCABULARY = 2**24
LARGEST_WIDTH = 2**20
LARGEST_FLOAT = 1e300
LARGEST_LENGTH = 2**20
"""The number of tokens that every example has less of, and of entries that every position's list has less of."""
FIRST_BIN, LAST_BIN = -128, 4000
"""The bins of 2^-32 and of 2^1000; no measurement is larger."""

_AXIS = re.compile("[a-z][a-z0-9_]{0,63}")
_RESERVED = ("row",)
"""Names that a column's own dimensions have."""


@dataclass(frozen=True, slots=True)
class Constraint:
    """A constraint that a value must satisfy in addition to its type."""

    test: Callable[[Any], bool]
    """A function that returns whether a value satisfies it."""
    expected: str
    """The words for it in a message, such as "a positive number"."""


@lru_cache(256)  # folders of one cache have the same axes
def is_axis(name: str) -> bool:
    """Return whether a column can run along an axis of this name: a plain lower-case word, with digits and underscores."""
    return bool(_AXIS.fullmatch(name)) and name not in _RESERVED


def _integer(low: int, high: int = LARGEST_NUMBER) -> Constraint:
    return Constraint(lambda value: low <= value < high, f"an integer from {low:,} to below {high:,}")


def _one_of(*names: str) -> Constraint:
    return Constraint(lambda value: value in names, f"one of {', '.join(names)}")


def _matches(pattern: str, expected: str) -> Constraint:
    compiled = re.compile(pattern)
    return Constraint(lambda value: bool(compiled.fullmatch(value)), expected)


Natural = Annotated[int, _integer(0)]
Positive = Annotated[int, _integer(1)]
Seed = Annotated[int, Constraint(lambda value: value >= 0, "an integer from 0")]
TokenId = Annotated[int, _integer(0, LARGEST_VOCABULARY)]
Rows = Annotated[int, _integer(1, LARGEST_VOCABULARY)]
Width = Annotated[int, _integer(1, LARGEST_WIDTH)]
Number = Annotated[float, Constraint(lambda value: abs(value) < LARGEST_FLOAT, "a number")]
AtLeastOne = Annotated[float, Constraint(lambda value: 1 <= value < LARGEST_FLOAT, "a number of at least 1")]
PositiveNumber = Annotated[float, Constraint(lambda value: 0 < value < LARGEST_FLOAT, "a positive number")]
Digest = Annotated[str, _matches("[0-9a-f]{64}", "a SHA-256 in hexadecimal")]
Length = Annotated[int, _integer(1, LARGEST_LENGTH)]
Entries = Annotated[int, _integer(0, LARGEST_LENGTH)]
Bin = Annotated[
    int, Constraint(lambda value: FIRST_BIN <= value <= LAST_BIN, f"a bin's number, from {FIRST_BIN} to {LAST_BIN:,}")
]
Counts = Annotated[
    str,
    _matches(
        f"(?:[0-9]{{1,18}}+(?: [0-9]{{1,18}}+){{0,{LAST_BIN - FIRST_BIN}}}+)?",
        f"at most {LAST_BIN - FIRST_BIN + 1:,} decimal counts, divided by blanks",
    ),
]
Axis = Annotated[str, Constraint(is_axis, "the name of an axis")]
Split = Annotated[str, _one_of("validation", "train")]
CodecName = Annotated[str, _one_of("pcodec", "zstd")]
TaskKind = Annotated[str, _one_of("span-corruption", "pairs", "text")]
READS_PADDING = ("flux", "sd3", "cogvideox", "ltx")
"""The pipelines of diffusers whose text encoder reads padding like text: they give it no attention mask (seen in diffusers
0.42.1). In the others, the states of a prompt do not depend on its padding."""
PIPELINES = (*READS_PADDING, "pixart", "wan", "mochi", "chroma", "hidream")
Pipeline = Annotated[str, _one_of(*PIPELINES)]
Residues = Annotated[str, _one_of("spaced")]
LogitKind = Annotated[str, _one_of("top-k", "sampled", "hybrid", "from-hidden")]
Buckets = Annotated[int, _integer(2, 2**16)]
MOST_THREADS = 2**16
Threads = Annotated[int, _integer(1, MOST_THREADS)]
ProperShare = Annotated[float, Constraint(lambda value: 0 < value < 1, "a number between 0 and 1")]
Share = Annotated[float, Constraint(lambda value: 0 <= value <= 1, "a number from 0 to 1")]
FeedForward = Annotated[
    str,
    _matches(
        "(?:gated-)?(?:relu|gelu|gelu_new|gelu_fast|silu|swish|tanh)", "the kind of a feed-forward, such as gated-gelu"
    ),
]
Score = Annotated[float, Constraint(lambda value: -100 <= value <= 100, "a score from -100 to 100")]
Positions = Annotated[
    str, _matches("[0-9]{1,7}+:[0-9]{1,7}+(?:,[0-9]{1,7}+:[0-9]{1,7}+)*+", "ranges of shards, such as 0:4")
]
TeacherDtype = Annotated[str, _one_of("float32", "bfloat16")]
HiddenCode = Annotated[str, _one_of("predicted", "separate")]
Temperature = Annotated[str, _one_of("published", "calibrated")]
Range = tuple[Natural, Natural]
"""The number of the first example, and one past the number of the last."""
