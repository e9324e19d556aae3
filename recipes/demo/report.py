"""The lines that the demo prints: sizes, times and losses, and what they show."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ...teacher_dump.dump import DumpReport
from ..inspect.facts import CacheFacts
from ..inspect.raw_sizes import raw_bytes


@dataclass(frozen=True, slots=True)
class StudentResult:
    """One trained student."""

    size: str
    objective: str
    cross_entropy: float
    """The validation cross-entropy in nats per target token."""
    seconds: float
    output: Path

    @property
    def name(self) -> str:
        """Size and objective."""
        return f"{self.size} {self.objective}"


@dataclass(frozen=True, kw_only=True, slots=True)
class DemoResult:
    """The measurements of the demo."""

    facts: CacheFacts
    """The facts about the cache."""
    teacher_seconds: float
    dump: DumpReport
    students: list[StudentResult]
    seconds: float
    output: Path

    @property
    def unigram(self) -> float:
        """The entropy of the targets' token frequencies, in nats."""
        entropy = self.facts.teacher.unigram_entropy
        assert entropy is not None
        return entropy

    @property
    def teacher_loss(self) -> float:
        """The teacher's validation cross-entropy, in nats."""
        loss = self.facts.teacher.validation_cross_entropy
        assert loss is not None
        return loss

    def sizes(self) -> dict[str, tuple[int, int]]:
        """Return (raw bytes, cached bytes) by signal. Raw means Q, K, V and full logits in bfloat16."""
        stored = self.facts.bytes
        cached = {**stored.relations, "logits": stored.logits}
        return {name: (raw, cached[name]) for name, raw in raw_bytes(self.facts).items()}


ONE_SEED = (
    "With one seed, a tiny teacher and minutes of training, this shows that the two stages work, not how good they are."
)


def report_lines(result: DemoResult) -> Iterator[str]:
    """Yield the lines of the demo's table."""
    yield ""
    yield from _size_lines(result)
    yield ""
    yield from _time_lines(result)
    yield ""
    yield from _loss_lines(result)
    yield ""
    yield from _next_lines(result)


def _size_lines(result: DemoResult) -> Iterator[str]:
    kls, logits = result.facts.fidelity.relation_kl, result.facts.fidelity.logits
    yield f"{'signal':<18}{'raw bytes':>14}{'cached bytes':>14}{'smaller':>9}   fidelity (mean KL, nats)"
    for name, (raw, cached) in result.sizes().items():
        if name == "logits" and logits:
            measured = f"{logits.kl:.1e}"
        else:
            measured = "  ".join(f"{kind} {kl:.1e}" for kind, kl in kls[name].items())
        yield f"{name:<18}{raw:>14,}{cached:>14,}{raw / cached:>8.1f}x   {measured}"
    yield "raw: Q, K, V and the full next-token distribution in bfloat16; @N is a layer of the teacher, counted from 0"
    yield "fidelity: how far the cached answers are from the teacher's; 0 is the teacher itself"


def _time_lines(result: DemoResult) -> Iterator[str]:
    timings = result.dump.timings
    yield f"{'making the teacher':<44}{result.teacher_seconds:>7.1f} s   (you already have one)"
    yield f"{'teacher forward inside the dump':<44}{timings.forward:>7.1f} s"
    yield f"{'dump: forward, encoding, writing':<44}{result.dump.seconds:>7.1f} s   once, for all students"
    for student in result.students:
        yield f"{'training ' + student.name:<44}{student.seconds:>7.1f} s"
    yield f"{'everything':<44}{result.seconds:>7.1f} s"


def _loss_lines(result: DemoResult) -> Iterator[str]:
    yield "validation loss, hard labels, nats per target token (lower is better)"
    yield f"  {'unigram frequencies':<28}{result.unigram:>7.3f}   what guessing by frequency reaches"
    yield f"  {'teacher':<28}{result.teacher_loss:>7.3f}"
    for student in result.students:
        without = "   without the teacher" if student.objective == "scratch" else ""
        yield f"  {student.name:<28}{student.cross_entropy:>7.3f}{without}"
    yield f"{sentence(result)} {ONE_SEED}"


def sentence(result: DemoResult) -> str:
    """Return what the losses of this one seed are, good or bad."""
    distilled, smaller, scratch = result.students
    gap = scratch.cross_entropy - distilled.cross_entropy
    if gap > 0:
        first = f"At equal steps the distilled {distilled.size} ends {gap:.3f} nats below the same student trained from scratch"
    else:
        first = f"At equal steps the distilled {distilled.size} ends {-gap:.3f} nats ABOVE the same student trained from scratch"
    return f"{first}; the smaller {smaller.size} from the same cache reaches {smaller.cross_entropy:.3f}."


def _next_lines(result: DemoResult) -> Iterator[str]:
    out = result.output
    yield f"everything is in {out}: teacher/, cache/, student-*/ (Hugging Face directories with model cards)"
    yield "try next:"
    yield f"  miniend inspect {out}/cache"
    yield f"  miniend train-student --cache {out}/cache --output {out}/my-student --size 4L96H --objective miniend-d --steps 200"
    yield "and with a model of your own:"
    yield "  miniend dump-teacher --teacher google-t5/t5-base --corpus 'my-texts/*.jsonl.gz' --cache my-cache --examples 20000"
    yield "  miniend train-student --cache my-cache --output my-student --size 6L384H --bf16"
