"""Make example i of a dump, which is a pure function of the published segments, the seed and i."""

import numpy as np

from ...storage.documents.plan import Plan
from ...storage.stores.place import Where
from .segments import SegmentStore
from .span_corruption import corrupt, example_rng, lengths_of_segment, noise_mask

STREAMS = {"train": 0, "validation": 1}
DRAW_STREAMS = {"train": 2, "validation": 3}


class ExampleSource:
    """The examples of a planned dump, by index."""

    def __init__(self, root: Where, plan: Plan) -> None:
        self._plan = plan
        self.segments = SegmentStore(root, plan)

    def example(self, split: str, index: int) -> tuple[np.ndarray, ...]:
        """Return input ids [n] and, unless the examples are texts, target ids [m], int32, EOS included.

        Example i is made of segment i modulo the number of segments; each pass (`--corpus-epochs`) draws a fresh corruption.
        """
        count = self.segments.count(split)
        segment = self.segments.segment(split, index % count)
        if self._plan.task.corruption is None:
            return segment
        corruption, tokenizer = self._plan.task.corrupted, self._plan.tokenizer
        rng = example_rng(self._plan.seed, STREAMS[split], index)
        taken = lengths_of_segment(len(segment[0]), corruption.noise_density, corruption.mean_span)
        mask = noise_mask(taken.segment, taken.noise, taken.spans, rng)
        return corrupt(segment[0], mask, tokenizer.sentinel_ids, tokenizer.eos_id)

    def uniforms(self, split: str, index: int, positions: int) -> np.ndarray:
        """Return the numbers in [0, 1) that decide what we draw at each target position, float64 [positions]."""
        return example_rng(self._plan.seed, DRAW_STREAMS[split], index).random(positions)
