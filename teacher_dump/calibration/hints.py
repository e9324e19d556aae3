"""What a dump says of its teacher: how good it is, how much its relations tell, how much lies outside the top k."""

import math
from collections.abc import Iterator

from ...signals.fidelity import SpreadOf
from ...signals.relations.relations import carries_no_information, ordered
from ...storage.documents.calibration import Calibration, SiteEntry
from ...storage.documents.measured import Mean
from ...storage.documents.plan import Plan

CLEARLY_BETTER = 0.5
"""Nats by which a teacher should beat the unigram entropy; less suggests a wrong tokenizer, head scale or checkpoint."""

LARGE_TAIL = 0.1
"""Mean mass outside the top k above which the dump says so."""


def tail_lines(fidelity: dict[str, dict[str, SpreadOf]], plan: Plan) -> Iterator[str]:
    """A tail is one outcome, within which a student is taught nothing: say so when much of the teacher lies there."""
    described = plan.signals.logits
    if not described or described.kind != "top-k":
        return
    mass = fidelity["logits"]["tail_mass"].mean
    if mass > LARGE_TAIL:
        yield (
            f"hint: {mass:.0%} of the teacher's probability lies outside the top {described.k}, where a student learns "
            "the total alone; --logits hybrid, in a new cache, teaches it all"
        )


def calibration_lines(calibration: Calibration, plan: Plan) -> Iterator[str]:
    """The teacher's own loss beside the unigram entropy, and the entropies of its relations, with warnings."""
    loss, entropy = calibration.teacher.cross_entropy, calibration.teacher.unigram_entropy
    cross_entropy = loss.total / loss.count
    yield f"teacher: hard-label cross-entropy {cross_entropy:.3f} nats per target token; unigram entropy {entropy:.3f}"
    if cross_entropy > entropy - CLEARLY_BETTER:
        yield (
            "warning: the teacher is not clearly better than the unigram frequencies: check that checkpoint, tokenizer and "
            "corpus belong together before you distil from it"
        )
    if plan.signals.logits:
        yield from _end_lines(loss, calibration.teacher.end_cross_entropy, plan.task.pairs)
    for site in calibration.sites:
        yield _entropy_line(site)
    entropies = [e for site in calibration.sites for e in site.others["relative_entropy"].values()]
    if any(map(carries_no_information, entropies)) and plan.signals.relation_temperature == "published":
        yield "relations that carry no information teach nothing; --relation-temperature calibrated would sharpen them"


def _end_lines(loss: Mean, ends: Mean | None, pairs: bool) -> Iterator[str]:
    """A teacher of span corruption knows where targets end from their length in its own training, where all had the same."""
    if not ends or not ends.count:
        return
    found, by_frequency = ends.total / ends.count, math.log(loss.count / ends.count)
    if found > by_frequency:
        cause = (
            "are many cut at --target-length?"
            if pairs
            else "was it trained with another --input-length, --noise-density or --mean-noise-span-length?"
        )
        yield (
            f"warning: the teacher does not expect the targets to end where they do (EOS: {found:.2f} nats; its frequency alone "
            f"gives {by_frequency:.2f}), and students of its logits will learn that: {cause}"
        )


def _entropy_line(site: SiteEntry) -> str:
    parts, members = [], site.others
    for kind in ordered(members["alpha"]):
        published, used, inverse_temperature = (
            members["published_entropy"][kind],
            members["relative_entropy"][kind],
            members["alpha"][kind],
        )
        part = f"{kind} {published:.3f}"
        part += f" sharpened by {inverse_temperature:.3g} to {used:.3f}" if inverse_temperature != 1.0 else ""
        parts.append(part + (" (carries no information)" if carries_no_information(used) else ""))
    return f"{site.site}: relative entropy of the teacher's relations (1 is uniform): {', '.join(parts)}"
