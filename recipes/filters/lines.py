"""What the filters of a cache are worth: the teacher's loss with each, before and after training."""

from collections.abc import Iterator

from ...signals.fidelity import MeanOf
from ...storage.documents.filters import Filters
from ...storage.documents.measured import Mean


def filter_lines(document: Filters, unigram: float) -> Iterator[str]:
    """Yield a line for each filter, beside the losses of the whole teacher and of word frequencies, in nats."""
    if not document.teacher.count:
        yield "the cache does not have validation examples, so filters are not measured"
        return
    whole = _mean(document.teacher)
    yield f"cross-entropy with filtered states (teacher {whole:.3f} nats, word frequencies {unigram:.3f}):"
    for one in document.filters:
        before, after = _mean(one.before), _mean(one.after)
        worse = (
            ""
            if after < before or not document.steps
            else "; not better than before training, so give more --filter-steps"
        )
        yield f"  {one.site}: {after:.3f} with {one.width} numbers ({before:.3f} before training){worse}"


def _mean(measured: Mean) -> float:
    return MeanOf(measured.total, measured.count).mean
