"""The lines of a dump about its teacher: how good it is, and how informative its relations are."""

import math
from collections.abc import Iterator

from ...cache.codecs import members_of
from ...signals.fidelity import MeanOf
from ...signals.hidden_states import CONTINUED
from ...signals.relations.codec import AttentionEntry
from ...signals.relations.relations import carries_no_information, ordered
from ...storage.documents.calibration import Calibration, MeasuredTeacher
from ...storage.documents.measured import Mean
from ...storage.documents.plan import Plan

CLEARLY_BETTER = 0.5
"""The nats by which a teacher should beat the unigram entropy; less suggests a wrong tokenizer, head scale or checkpoint."""


def calibration_lines(calibration: Calibration, plan: Plan) -> Iterator[str]:
    """Yield the teacher's own loss with the unigram entropy, and the entropies of its relations, with warnings."""
    if calibration.teacher is not None:
        yield from _teacher_lines(calibration.teacher, plan)
    for entry in calibration.hidden:
        if (kl := calibration.fidelity.get(entry.site, {}).get(CONTINUED)) and kl.count:
            yield _continued_line(entry.site, kl, plan.signals.hidden_error)
    told = {site.site: members_of(site, "the calibration") for site in calibration.sites}
    for name, members in told.items():
        yield _entropy_line(name, members)
    entropies = [entropy for members in told.values() for entropy in members.relative_entropy.values()]
    if any(map(carries_no_information, entropies)) and plan.signals.relation_temperature == "published":
        yield (
            "hint: students learn nothing from relations that carry no information; --relation-temperature calibrated, in a "
            "new cache, sharpens them"
        )


def _teacher_lines(teacher: MeasuredTeacher, plan: Plan) -> Iterator[str]:
    loss, entropy = teacher.cross_entropy, teacher.unigram_entropy
    cross_entropy = MeanOf(loss.total, loss.count).mean
    yield f"teacher: hard-label cross-entropy {cross_entropy:.3f} nats per target token; unigram entropy {entropy:.3f}"
    if plan.signals.of_the_teacher and cross_entropy > entropy - CLEARLY_BETTER:
        yield (
            "warning: the teacher is not clearly better than the unigram frequencies; check that checkpoint, tokenizer and "
            "corpus belong together before you distill it"
        )
    if plan.signals.logits:
        yield from _end_lines(loss, teacher.end_cross_entropy, plan.task.pairs)


def _continued_line(site: str, kl: Mean, error: float) -> str:
    """Return what the error of hidden states means in nats, which is a unit that people know."""
    return (
        f"{site}: at --hidden-error {error:g} the teacher, going on from the decoded states, is off by "
        f"{kl.total / kl.count:.1e} nats of KL per target token"
    )


def _end_lines(loss: Mean, ends: Mean | None, pairs: bool) -> Iterator[str]:
    """Yield a warning if the teacher predicts EOS worse than its frequency would.

    A teacher of span corruption that saw only one target length predicts EOS by position.
    """
    if not ends or not ends.count or not loss.count:
        return
    by_teacher, by_frequency = ends.total / ends.count, math.log(loss.count / ends.count)
    if by_teacher > by_frequency:
        cause = (
            "Are many targets cut at --target-length?"
            if pairs
            else "Was it trained with another --input-length, --noise-density or --mean-noise-span-length?"
        )
        yield (
            f"warning: the teacher predicts EOS worse than its frequency would ({by_teacher:.2f} nats against "
            f"{by_frequency:.2f}). {cause} Students will copy this."
        )


def _entropy_line(site: str, members: AttentionEntry) -> str:
    parts = []
    for kind in ordered(members.alpha):
        published, used, inverse_temperature = (
            members.published_entropy[kind],
            members.relative_entropy[kind],
            members.alpha[kind],
        )
        part = f"{kind} {published:.3f}"
        part += f" sharpened by {inverse_temperature:.3g} to {used:.3f}" if inverse_temperature != 1.0 else ""
        parts.append(part + (" (carries no information)" if carries_no_information(used) else ""))
    return f"{site}: relative entropy of the teacher's relations (1 is uniform): {', '.join(parts)}"
