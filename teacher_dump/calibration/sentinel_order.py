"""The order in which a teacher's training used its sentinels: as their names count, or the other way round.

T5 starts with <extra_id_0>. transformers' flax recipe (run_t5_mlm_flax.py) starts with the last id of the tokenizer instead. If
that tokenizer names its sentinels in ascending order, the first one used is <extra_id_99>. A teacher predicts its sentinels
almost surely, but only in its own order, so a few examples in both orders tell.
"""

from collections.abc import Iterable
from dataclasses import replace
from itertools import islice, repeat

import numpy as np

from ...data.long_text import Text
from ...errors import ConfigurationError
from ...storage.documents.plan import PlannedTokenizer, SpanCorruption
from ..config import NAMED_ORDER, REVERSED_ORDER
from ..corpus.plain_text import EncodeBatch
from ..examples.packing import pack_segments
from ..examples.span_corruption import corrupt, example_rng, noise_mask
from ..shards.batches import run_teacher
from ..teacher import Teacher
from .calibrate import cross_entropy_sum

EXAMPLES = 8
"""The number of examples that are tried in both orders."""
KNOWN, MARGIN = 2.0, 2.0
"""A teacher knows an order whose sentinels cost it less than so many nats each, and the other order so many nats more."""
_STREAM = 4


def in_order(tokenizer: PlannedTokenizer, order: str) -> PlannedTokenizer:
    """Return the tokenizer, as `TextTokenizer.describe` names it, with its sentinels in this order."""
    return replace(tokenizer, sentinel_ids=tokenizer.sentinel_ids[::-1]) if order == REVERSED_ORDER else tokenizer


def order_in(planned: PlannedTokenizer, described: PlannedTokenizer) -> str:
    """Return the order of the sentinels in a plan whose tokenizer is described anew."""
    return REVERSED_ORDER if planned == in_order(described, REVERSED_ORDER) else NAMED_ORDER


def require_known_order(
    teacher: Teacher,
    tokenizer: PlannedTokenizer,
    corruption: SpanCorruption,
    texts: Iterable[Text],
    encode: EncodeBatch,
) -> None:
    """Raise ConfigurationError if the teacher knows its sentinels in the order that is not the tokenizer's.

    The examples are the first ones of `texts`; a corpus that is too short for one is not tried.
    """
    packed = pack_segments(enumerate(texts), encode, repeat(corruption.segment_length))
    segments = [ids for ids, _ in islice(packed, EXAMPLES)]
    if not segments:
        return
    orders = (tokenizer.sentinel_ids, tokenizer.sentinel_ids[::-1])
    given, other = (_sentinel_loss(teacher, segments, order, tokenizer.eos_id, corruption) for order in orders)
    if other < KNOWN and given > other + MARGIN:
        raise ConfigurationError(
            f"the teacher was trained with its sentinels in reverse: each one in a target costs it {given:.2f} nats in the order "
            f"of their names, and {other:.2f} in reverse; use --sentinel-order {REVERSED_ORDER} (or {NAMED_ORDER}, to keep the "
            "order of the names)"
        )


def _sentinel_loss(
    teacher: Teacher, segments: list[np.ndarray], sentinels: tuple[int, ...], eos_id: int, corruption: SpanCorruption
) -> float:
    """Return the mean cross-entropy, in nats, of the sentinels in the targets of these segments."""
    total, count = 0.0, 0
    for index, segment in enumerate(segments):
        rng = example_rng(0, _STREAM, index)
        mask = noise_mask(corruption.segment_length, corruption.noise, corruption.spans, rng)
        batch = run_teacher(teacher, [corrupt(segment, mask, sentinels, eos_id)], ())
        logits, labels = batch.valid_logits()
        is_sentinel = np.isin(labels.cpu().numpy(), sentinels)
        part, positions = cross_entropy_sum(logits[is_sentinel], labels[is_sentinel])
        total, count = total + part, count + positions
    return total / count
