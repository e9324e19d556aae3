"""T5's denoising objective: a segment of raw token ids becomes an input with holes and the targets that fill them.

We follow the code of Raffel et al. 2020 (text-to-text-transfer-transformer, t5/data/preprocessors.py: random_spans_helper,
random_spans_noise_mask, noise_span_to_unique_sentinel). It differs from the paper's figure and from most ports in three ways:

- the number of noise tokens is fixed, and span lengths are a uniformly drawn composition of it, not geometric samples;
- the first tokens of a segment are always kept, and the last are always noise;
- the targets do not end with a sentinel, but with the last span's tokens and EOS.

We leave out T5's special case for a density of exactly 0.5 (one token less, to make both sides equally long).
Everything here is a pure function of its arguments; `example_rng` is the only source of randomness.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count

import numpy as np
import numpy.typing as npt

from ...errors import ConfigurationError

NOISE_DENSITY = 0.15
MEAN_SPAN = 3.0
SHORTEST_INPUT = 3
"""The shortest input length: one kept token, one sentinel, EOS."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SpanLengths:
    """The numbers of tokens that one example takes and gives; they follow from the length of its segment."""

    segment: int
    """The number of raw tokens that an example takes."""
    noise: int
    """The number of raw tokens that move from the input to the targets."""
    spans: int
    """The number of runs of noise, each marked by one sentinel in the input and one in the targets."""
    inputs: int
    """The number of encoder ids: kept tokens, sentinels, EOS."""
    targets: int
    """The number of decoder labels: sentinels, noise, EOS."""


def lengths(
    input_length: int, noise_density: float = NOISE_DENSITY, mean_noise_span_length: float = MEAN_SPAN
) -> SpanLengths:
    """Return the lengths of the longest segment whose input has at most `input_length` ids (random_spans_helper of T5).

    128, 256, 512, 1024 input ids take 141, 284, 568, 1137 raw tokens and give 29, 58, 114, 229 labels. Raises
    ConfigurationError for settings that cannot work.
    """
    _check_settings(input_length, noise_density, mean_noise_span_length)
    segment = input_length - 1
    while lengths_of_segment(segment + 1, noise_density, mean_noise_span_length).inputs <= input_length:
        segment += 1
    longest = lengths_of_segment(segment, noise_density, mean_noise_span_length)
    _require_kept_tokens(longest, noise_density, mean_noise_span_length)
    return longest


def _require_kept_tokens(example: SpanLengths, noise_density: float, mean_noise_span_length: float) -> None:
    if example.spans > example.segment - example.noise:
        raise ConfigurationError(
            f"every span needs a kept token before it, but noise density {noise_density} with mean span "
            f"{mean_noise_span_length} puts {example.spans} spans between {example.segment - example.noise} kept tokens; "
            f"lower the density or lengthen the spans"
        )


def shortest_segment(
    shortest_input_length: int, longest: SpanLengths, noise_density: float, mean_noise_span_length: float
) -> int:
    """Return the raw tokens of the shortest segment, of inputs whose lengths are drawn from this one to the longest.

    Raises ConfigurationError for settings that cannot work at one of the lengths between them.
    """
    shortest = lengths(shortest_input_length, noise_density, mean_noise_span_length)
    for segment in range(shortest.segment, longest.segment + 1):
        example = lengths_of_segment(segment, noise_density, mean_noise_span_length)
        _require_kept_tokens(example, noise_density, mean_noise_span_length)
    return shortest.segment


def drawn_lengths(seed: int, stream: int, start: int, shortest: int, longest: int) -> Iterator[int]:
    """Yield without end the raw tokens of segments `start`, `start` + 1, ..., all from shortest to longest equally likely.

    The length of a segment depends on seed, stream and index only.
    """
    for index in count(start):
        yield int(example_rng(seed, stream, index).integers(shortest, longest + 1))


def _check_settings(input_length: int, noise_density: float, mean_noise_span_length: float) -> None:
    if input_length < SHORTEST_INPUT:
        raise ConfigurationError(f"expected an input length of at least {SHORTEST_INPUT}, found {input_length}")
    if not 0 < noise_density < 1:
        raise ConfigurationError(f"expected a noise density between 0 and 1 (T5: 0.15), found {noise_density}")
    if not 1 <= mean_noise_span_length < float("inf"):
        raise ConfigurationError(f"expected a mean span of at least 1 token (T5: 3), found {mean_noise_span_length}")


def lengths_of_segment(segment: int, noise_density: float, mean_noise_span_length: float) -> SpanLengths:
    """Return the lengths for a segment of that many raw tokens, with noise and spans clamped as in random_spans_noise_mask."""
    noise = min(max(round(segment * noise_density), 1), segment - 1)
    spans = max(round(noise / mean_noise_span_length), 1)
    return SpanLengths(
        segment=segment, noise=noise, spans=spans, inputs=segment - noise + spans + 1, targets=noise + spans + 1
    )


def longest_input(
    sentinels: int, noise_density: float = NOISE_DENSITY, mean_noise_span_length: float = MEAN_SPAN
) -> int:
    """Return the longest input length that needs at most as many spans as there are sentinels.

    We can search by halves, because the number of spans only grows with the length.
    """
    if sentinels < 1:
        raise ConfigurationError(f"span corruption needs at least one sentinel, found {sentinels}")

    def works(input_length: int) -> bool:
        return lengths(input_length, noise_density, mean_noise_span_length).spans <= sentinels

    low, high = SHORTEST_INPUT, 2 * SHORTEST_INPUT
    while works(high):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if works(middle) else (low, middle)
    return low


def require_sentinels(
    needed: SpanLengths, sentinels: int, noise_density: float = NOISE_DENSITY, mean_noise_span_length: float = MEAN_SPAN
) -> None:
    """Raise ConfigurationError if an input length needs more spans than the tokenizer has sentinels.

    T5's own code does not check this.
    """
    if needed.spans > sentinels:
        raise ConfigurationError(
            f"an input length of {needed.inputs} needs {needed.spans} sentinels, but the tokenizer has {sentinels}; "
            f"the longest input length that works is {longest_input(sentinels, noise_density, mean_noise_span_length)}"
        )


def example_rng(seed: int, stream: int, index: int, pass_number: int = 0) -> np.random.Generator:
    """Return the generator of one example, which depends only on these four numbers and not on worker, batch, order or time.

    `stream` separates training and validation examples, `pass_number` the passes over one corpus. The key of the
    counter-based Philox is a hash, so that neighbouring numbers give unrelated generators.
    """
    key = hashlib.sha256(f"miniend span corruption {seed} {stream} {index} {pass_number}".encode()).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(key[:16], "little")))


def noise_mask(length: int, noise: int, spans: int, rng: np.random.Generator) -> npt.NDArray[np.bool_]:
    """Return a mask [length], True for noise: runs of kept tokens and noise alternate, the first kept and the last noise.

    As in random_spans_noise_mask of Raffel et al. 2020, both partitions are uniform over all compositions into `spans` parts.
    """
    if not 1 <= spans <= min(noise, length - noise):
        raise ConfigurationError(f"{length} tokens cannot hold {spans} spans of {noise} noise tokens; see `lengths`")
    noise_runs = _composition(noise, spans, rng)
    kept_runs = _composition(length - noise, spans, rng)
    runs = np.stack([kept_runs, noise_runs], axis=1).reshape(-1)
    return np.repeat(np.arange(2 * spans) % 2 == 1, runs)


def _composition(items: int, parts: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Return `items` as an ordered sum of `parts` positive numbers; all such sums are equally likely."""
    starts = (np.arange(items - 1) < parts - 1).astype(np.int64)
    rng.shuffle(starts)
    part_of_item = np.concatenate([[0], np.cumsum(starts)])
    return np.bincount(part_of_item, minlength=parts)


def corrupt(
    segment: npt.NDArray[np.integer], mask: npt.NDArray[np.bool_], sentinel_ids: Sequence[int], eos_id: int
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Return (inputs, targets) of one segment [length] under a noise mask [length]; both end with EOS and are not padded.

    inputs:  kept_1 S0 kept_2 S1 ... EOS;   targets: S0 noise_1 S1 noise_2 ... EOS   (S_k = `sentinel_ids[k]`)
    """
    inputs = _replace_runs(segment, mask, sentinel_ids)
    targets = _replace_runs(segment, ~mask, sentinel_ids)
    return np.append(inputs, np.int32(eos_id)), np.append(targets, np.int32(eos_id))


def _replace_runs(
    segment: npt.NDArray[np.integer], mask: npt.NDArray[np.bool_], sentinel_ids: Sequence[int]
) -> npt.NDArray[np.int32]:
    """Return the segment with sentinel k for the k-th run of masked tokens (noise_span_to_unique_sentinel of T5)."""
    after_masked = np.concatenate([[False], mask[:-1]])
    first = mask & ~after_masked
    runs = int(first.sum())
    if runs > len(sentinel_ids):
        raise ConfigurationError(f"the mask has {runs} spans, but there are only {len(sentinel_ids)} sentinels")
    ids = np.array(segment, dtype=np.int32)
    ids[first] = np.asarray(sentinel_ids[:runs], dtype=np.int32)
    keep = ~(mask & after_masked)
    return np.asarray(ids[keep], dtype=np.int32)
