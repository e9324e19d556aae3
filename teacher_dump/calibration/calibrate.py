"""Calibration: once per cache, fit every site's codec on the first training examples and measure the teacher itself.

We publish it as the folder `calibration`, which all shards name as their parent.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, replace

import numpy as np
import torch

from ...cache.codecs import HEAD_COLUMN, NORM_COLUMN
from ...errors import ConfigurationError
from ...models.families import family_named
from ...runtime.progress import progress_bar
from ...signals.choices import PREDICTED
from ...signals.codes.site_codec import SiteCodec
from ...signals.fidelity import MeanOf, SiteSample
from ...signals.kinds import SiteSamples, kind_of, parse_sites
from ...signals.logits.code import rank_order
from ...signals.sites import Site
from ...storage.columns.columns import Column
from ...storage.documents.calibration import Calibration, CalibrationRanges, MeasuredTeacher, SiteEntry
from ...storage.documents.measured import Mean, Spread
from ...storage.documents.parse import parse
from ...storage.documents.plan import Plan
from ...storage.folder import publish_or_accept
from ...storage.layout import calibration_path
from ...storage.stores.place import Where
from ..examples.source import ExampleSource
from ..shards.batches import batches_of, run_teacher
from ..teacher import Teacher
from .continuation import Continuation

UNIGRAM_EXAMPLES = 2048


def planned_sites(plan: Plan) -> tuple[Site, ...]:
    """Return the sites that a plan names, attention sites first."""
    facts = plan.teacher.facts
    return parse_sites((*plan.signals.relations, *plan.signals.hidden), family_named(facts.model_type).depths(facts))


def calibrate(root: Where, plan: Plan, teacher: Teacher, source: ExampleSource, examples: int) -> None:
    """Run the teacher over the calibration examples and publish bases, steps, temperatures and the teacher's own loss.

    `examples` is the number of training examples to choose from, at least 3 (basis, step, report).
    """
    parts = _split(min(plan.signals.calibration_examples, examples))
    samples, average = _run(plan, teacher, source, parts)
    continuation = Continuation(teacher, source, plan.batch_size, *parts["report"])
    codecs, fidelity = _fitted(planned_sites(plan), samples, plan, continuation)
    calibration = Calibration(
        parent=plan.digest,
        examples=CalibrationRanges(**parts),
        sites=_entries(codecs, "relations"),
        hidden=_entries(codecs, "hidden"),
        fidelity=fidelity,
        teacher=_measured(average, source, examples) if teacher.family.predicts else None,
    )
    columns = {
        name: Column(values=tensor.cpu().numpy(), axis="basis")
        for codec in codecs
        for name, tensor in codec.arrays().items()
    }
    if plan.signals.logits:
        columns |= _probability_columns(average.probability(), plan.tokenizer.size)
        columns |= _head_columns(teacher) if plan.signals.logits.from_states else {}
    publish_or_accept(calibration_path(root), "calibration", calibration.body(), columns, codec="zstd")


def _measured(average: "_Average", source: ExampleSource, examples: int) -> MeasuredTeacher:
    """Return how good the teacher is on the calibration's examples."""
    entropy, tokens = unigram(source, examples)
    return MeasuredTeacher(
        cross_entropy=Mean(**asdict(average.loss)),
        end_cross_entropy=Mean(**asdict(average.ends)),
        unigram_entropy=entropy,
        unigram_tokens=tokens,
    )


def _entry(codec: SiteCodec) -> SiteEntry:
    return parse(SiteEntry, codec.description(), f"the code of {codec.site}")


class _Average:
    """The teacher's loss on all targets and on the targets that are EOS, and its mean next-token distribution over batches."""

    def __init__(self, vocab_rows: int, eos_id: int) -> None:
        self.loss, self.ends, self._eos_id = MeanOf(), MeanOf(), eos_id
        self._total = torch.zeros(vocab_rows, dtype=torch.float64)

    def add(self, logits: torch.Tensor, labels: torch.Tensor) -> None:
        """Add logits [positions, vocab_rows] and labels [positions]."""
        self.loss.add(*cross_entropy_sum(logits, labels))
        self.ends.add(*cross_entropy_sum(logits[labels == self._eos_id], labels[labels == self._eos_id]))
        self._total += logits.float().softmax(-1).sum(0, dtype=torch.float64).cpu()

    def probability(self) -> torch.Tensor:
        """Return the mean next-token distribution, float32 [vocab_rows]."""
        return (self._total / self.loss.count).float()


def _probability_columns(mean: torch.Tensor, allowed: int) -> dict[str, Column]:
    order = rank_order(mean, allowed)
    return {
        "logits.mean_probability": Column(values=mean.numpy(), axis="basis"),
        "logits.order": Column(values=order.numpy(), axis="basis"),
    }


def _head_columns(teacher: Teacher) -> dict[str, Column]:
    """Return the teacher's head and the weight of the norm before it; tied or not, for readers do not have the embedding."""
    family = teacher.family
    tensors = {HEAD_COLUMN: family.head(teacher.model)[0], NORM_COLUMN: family.head_norm(teacher.model)[0]}
    return {name: Column(values=tensor.float().cpu().numpy(), axis="basis") for name, tensor in tensors.items()}


def _split(count: int) -> dict[str, tuple[int, int]]:
    """Return the ranges of examples for basis, step and report, disjoint and in order; step and report get a fifth each."""
    each = max(1, count // 5)
    return {"basis": (0, count - 2 * each), "step": (count - 2 * each, count - each), "report": (count - each, count)}


def _run(
    plan: Plan, teacher: Teacher, source: ExampleSource, parts: dict[str, tuple[int, int]]
) -> tuple[dict[str, dict[str, list[SiteSample]]], _Average]:
    sites = planned_sites(plan)
    samples: dict[str, dict[str, list[SiteSample]]] = {str(site): {part: [] for part in parts} for site in sites}
    average = _Average(plan.teacher.facts.vocab_rows, plan.tokenizer.eos_id)
    with progress_bar("calibration", parts["report"][1], "example") as bar:
        for part, (start, stop) in parts.items():
            for examples in batches_of(source, "train", start, stop, plan.batch_size):
                batch = run_teacher(teacher, examples, sites)
                if batch.logits is not None:
                    average.add(*batch.valid_logits())
                for site in sites:
                    sample = batch.sample(site)
                    _require_width(site, sample, plan)
                    samples[str(site)][part].append(sample)
                bar.update(len(examples))
    return samples, average


def _require_width(site: Site, sample: SiteSample, plan: Plan) -> None:
    """Raise ConfigurationError unless the tensors of a site are there and as wide as their kind says."""
    kind = kind_of(site)
    expected = kind.width(plan.teacher.facts)
    for name in kind.tensors:
        found = sample.tensors[name].shape[-1] if name in sample.tensors else "none, because its module did not run"
        if found != expected:
            raise ConfigurationError(
                f"kind of signal {kind.name}: {name} of {site} should be {expected} wide, found {found}; correct the kind"
            )


def _fitted(
    sites: Sequence[Site], samples: dict[str, dict[str, list[SiteSample]]], plan: Plan, continuation: Continuation
) -> tuple[list[SiteCodec], dict[str, dict[str, Spread]]]:
    """Return the codecs of all sites, and what they lose on the report examples. Uses up the samples, which are large."""
    codecs: list[SiteCodec] = []
    fidelity: dict[str, dict[str, Spread]] = {}
    with progress_bar("calibration, codes", len(sites), "site") as bar, torch.inference_mode():
        for place, site in enumerate(sites):
            bar.update(0, facts=f"now {site}")
            own, below = samples.pop(str(site)), _predicting(site, codecs, plan)
            codec = kind_of(site).fit(site, SiteSamples(**own, below=below), plan.signals)
            measures = kind_of(site).measured(codec, own["report"])
            follows = [one for one in sites[place + 1 :] if one.name == site.name]
            if follows and _predicting(follows[0], [*codecs, codec], plan):
                samples[str(follows[0])] = _on_top_of(codec, own, samples[str(follows[0])])
            if not follows and kind_of(site).measures_once(site):
                measures |= continuation.measured(codec, own["report"])
            codecs.append(codec)
            fidelity[str(site)] = {name: Spread(total=one.total, count=one.count) for name, one in measures.items()}
            bar.update()
        bar.update(0, facts="")
    return codecs, fidelity


def _predicting(site: Site, codecs: Sequence[SiteCodec], plan: Plan) -> Site | None:
    """Return the site among the fitted ones that predicts this one: the stored layer below it; None for a code by itself."""
    if plan.signals.hidden_code != PREDICTED or not kind_of(site).predictable:
        return None
    return next((codec.site for codec in reversed(codecs) if codec.site.name == site.name), None)


def _on_top_of(
    codec: SiteCodec, below: dict[str, list[SiteSample]], samples: dict[str, list[SiteSample]]
) -> dict[str, list[SiteSample]]:
    """Return the samples of a site with the decoded tensors of the site below, which is this codec's."""
    return {
        part: [
            replace(sample, below=codec.decoded(codec.encode(under), under))
            for sample, under in zip(ones, below[part], strict=True)
        ]
        for part, ones in samples.items()
    }


def _entries(codecs: list[SiteCodec], member: str) -> tuple[SiteEntry, ...]:
    """Return the entries of the sites whose kinds a plan lists under this member."""
    return tuple(_entry(codec) for codec in codecs if kind_of(codec.site).member == member)


def cross_entropy_sum(logits: torch.Tensor, labels: torch.Tensor) -> tuple[float, int]:
    """Return the sum in nats of the hard-label cross-entropy over positions, and their number."""
    loss = torch.nn.functional.cross_entropy(logits.float(), labels, reduction="sum")
    return float(loss), len(labels)


def unigram(source: ExampleSource, examples: int) -> tuple[float, int]:
    """Return the entropy in nats of the targets' token frequencies, and the number of tokens that were counted.

    The entropy is the loss of a model that knows nothing of the context.
    """
    counts: Counter[int] = Counter()
    for index in range(min(examples, UNIGRAM_EXAMPLES)):
        counts.update(source.example("train", index)[1].tolist())
    frequencies = np.array(sorted(counts.values()), dtype=np.float64)
    p = frequencies / frequencies.sum()
    return float(-(p * np.log(p)).sum()), int(frequencies.sum())
