"""The verdict that ends a training: how far the student has come from word frequencies towards its teacher, in one line."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from ...cache import Cache
from ...models.families import parameter_counts
from ...models.stated_sizes import stated_parameters
from ...runtime.progress import percent
from ...storage.documents.plan import Plan, TeacherConfig
from ..distillation import Part
from ..terms.final import COSINE, ERROR

GOOD = 0.5
"""The share of the way from word frequencies to the teacher from which we call a student good."""
MORE_STEPS = "not yet: give it more --steps, or a higher --learning-rate"


@dataclass(frozen=True, kw_only=True, slots=True)
class Judged:
    """The numbers that a verdict is made of; losses are hard-label cross-entropies in nats per target token."""

    student: float
    """The student's loss on the validation examples."""
    teacher: float | None
    """The teacher's loss on the same examples; None if the cache did not measure it, or holds nothing of its teacher."""
    unigram: float
    """The entropy of the word frequencies of the targets: the loss of a student that knows only them."""
    parameters: int
    teacher_parameters: int | None
    """None if the cache holds nothing of its teacher: the student does not learn from it."""

    @property
    def share(self) -> float | None:
        """The share of the way from word frequencies to the teacher; None for a teacher that does not beat them."""
        way = self.unigram - (self.unigram if self.teacher is None else self.teacher)
        return (self.unigram - self.student) / way if way > 0 else None


def verdict(judged: Judged) -> str:
    """Return one line for people, such as

    validation 5.41 nats (teacher 4.86, word frequencies 6.27): good, 61 % of the way to the teacher
    """
    teacher = "" if judged.teacher is None else f"teacher {judged.teacher:.2f}, "
    start = f"validation {judged.student:.2f} nats ({teacher}word frequencies {judged.unigram:.2f}): "
    return start + _judgement(judged)


def verdict_on_states(means: Mapping[str, float]) -> str | None:
    """Return one line on the final states of an encoder, such as

    validation: 58 % of the variance of the teacher's final states explained, mean cosine 0.836

    None if the objective does not compare them. `means` are the validation means.
    """
    error, distance = (means.get(Part("final", part).name) for part in (ERROR, COSINE))
    if error is None or distance is None:
        return None
    explained = percent(max(0.0, 1 - error))
    return f"validation: {explained} of the variance of the teacher's final states explained, mean cosine {1 - distance:.3f}"


def _judgement(judged: Judged) -> str:
    if larger := larger_than_its_teacher(judged.parameters, judged.teacher_parameters):
        return larger
    if judged.student >= judged.unigram:
        return MORE_STEPS
    if judged.share is None:
        return "better than word frequencies"
    if judged.share >= 1:
        return "good, as close to the text as its teacher"
    way = f"{percent(judged.share)} of the way to the teacher"
    return f"good, {way}" if judged.share >= GOOD else f"{way}; more --steps bring it closer"


def larger_than_its_teacher(parameters: int, teacher: int | None) -> str | None:
    """Return the words for a student that has at least its teacher's parameters, or None."""
    if teacher is None or parameters < teacher:
        return None
    return f"larger than its teacher ({in_words(parameters)} parameters against {in_words(teacher)})"


def in_words(count: int) -> str:
    """Return a number of parameters for people, in millions if there is one."""
    if count < 1e6:
        return f"{count:,}"
    return f"{count / 1e6:,.3g} million" if count < 1e9 else f"{count / 1e6:,.0f} million"


def judged(student: Any, cache: Cache, loss: float) -> Judged:
    """Return the numbers of a student's verdict, from its validation loss and its cache."""
    return Judged(
        student=loss,
        teacher=cache.teacher_cross_entropy("validation") if cache.plan.signals.of_the_teacher else None,
        unigram=cache.predicting_teacher("a verdict").unigram_entropy,
        parameters=parameter_counts(student)[0],
        teacher_parameters=parameters_of_the_teacher(cache.plan),
    )


def parameters_of_the_teacher(plan: Plan) -> int | None:
    """Return the number of parameters of a cache's teacher, from its config.json; None if the cache holds nothing of it."""
    if not plan.signals.of_the_teacher:
        return None
    teacher = plan.teacher
    known = {one.name for one in fields(TeacherConfig)}  # other members may be anything
    config = {name: value for name, value in teacher.config.items() if name in known}
    return stated_parameters({**config, "vocab_size": teacher.facts.vocab_rows}, teacher.facts.tied)
