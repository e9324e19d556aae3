"""`miniend demo`: both stages on a small real corpus, on a CPU, in minutes.

It makes a tokenizer and a teacher from Python's own documentation, dumps one cache, distills two students from that cache and
trains one without it. Then it prints a table of sizes, times and losses, and writes a report with pictures. It downloads nothing.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

from ...cache import open_cache
from ...errors import ConfigurationError
from ...runtime.claims import holds_files, sole_writer
from ...runtime.printing import Result, Verdict, reworded
from ...runtime.progress import Log
from ...runtime.report.writing import write_report
from ...student_train.config import TrainConfig
from ...student_train.train import train_student
from ...teacher_dump.config import DumpConfig
from ...teacher_dump.dump import DumpReport, dump_teacher
from ...teacher_dump.plan import validation_share
from ..inspect.inspection import inspect_cache
from ..samples import shown_examples, write_samples, written_samples
from .page import page
from .report import DemoResult, StudentResult, report_lines
from .teacher import CORPUS, VOCABULARY, TeacherRecipe, corpus_texts, make_tokenizer, pretrain

INPUT_LENGTH = 128
EXAMPLES, VALIDATION_EXAMPLES, PASSES = 1024, 64, 2
TEACHER_STEPS, TEACHER_BATCH = 1_100, 8
STUDENT_STEPS, STUDENT_BATCH = 240, 8
TEACHER_CONFIG: dict[str, Any] = {
    "model_type": "t5",
    "vocab_size": VOCABULARY,
    "d_model": 128,
    "d_kv": 32,
    "num_heads": 4,
    "d_ff": 512,
    "num_layers": 3,
    "num_decoder_layers": 3,
    "pad_token_id": 0,
    "eos_token_id": 1,
    "decoder_start_token_id": 0,
    "dropout_rate": 0.0,
    "feed_forward_proj": "relu",
}
STUDENTS = (("2L96H", "miniend-e"), ("2L64H", "miniend-e"), ("2L96H", "scratch"))
"""(size, objective): two sizes from one cache, and the larger size without the teacher."""
SUCCESS = 1.0
"""The nats by which the teacher must beat the unigram entropy of the targets."""


@dataclass(frozen=True, slots=True)
class _Paths:
    """The paths that the demo writes to."""

    root: Path

    @property
    def teacher(self) -> Path:
        return self.root / "teacher"

    @property
    def cache(self) -> Path:
        return self.root / "cache"

    def student(self, size: str, objective: str) -> Path:
        return self.root / f"student-{size}-{objective}"


def run_demo(output: Path, log: Log) -> bool:
    """Run everything in `output` and print the table; return whether the teacher learned enough to teach.

    The files of an earlier demo are replaced. Raises ConfigurationError for a directory that holds something else, and
    OutputBusyError while another demo writes there.
    """
    with sole_writer(output):
        return _run_demo(output, log)


def _run_demo(output: Path, log: Log) -> bool:
    paths = _fresh(output)
    begun = perf_counter()
    log(f"1/4  teacher: a tokenizer and a small T5 from {CORPUS} ({TEACHER_STEPS} steps)")
    teacher_seconds = _make_teacher(paths)
    log(f"     {teacher_seconds:.0f} s")
    log("2/4  miniend dump-teacher: the teacher runs once, and its answers go into a cache")
    dump = dump_teacher(_dump_config(paths), lambda line: log(reworded(line, f"     {line}")))
    log(
        "3/4  miniend train-student: two students of the cache and one from scratch; the teacher is not needed any more"
    )
    students = [_train(paths, size, objective, log) for size, objective in STUDENTS]
    log("4/4  results")
    result = _result(paths, teacher_seconds, dump, students, perf_counter() - begun)
    for line in report_lines(result):
        log(Result(line))
    _write_page(result, paths, log)
    return _teaches(result, log)


def _fresh(output: Path) -> _Paths:
    stamp = output / ".miniend-demo"
    if output.exists() and (not output.is_dir() or (holds_files(output) and not stamp.exists())):
        raise ConfigurationError(
            f"{output} is not a directory of an earlier demo; give an empty or new one with --output"
        )
    output.mkdir(parents=True, exist_ok=True)
    stamp.touch()
    paths = _Paths(output)
    for own in (paths.teacher, paths.cache, *(paths.student(size, objective) for size, objective in STUDENTS)):
        shutil.rmtree(own, ignore_errors=True)
    return paths


def _make_teacher(paths: _Paths) -> float:
    begun = perf_counter()
    tokenizer = make_tokenizer(paths.teacher, corpus_texts())
    recipe = TeacherRecipe(
        config=TEACHER_CONFIG,
        input_length=INPUT_LENGTH,
        steps=TEACHER_STEPS,
        batch_size=TEACHER_BATCH,
        seed=0,
        validation_share=validation_share(VALIDATION_EXAMPLES, EXAMPLES, PASSES),
    )
    pretrain(recipe, tokenizer, paths.teacher)
    return perf_counter() - begun


def _dump_config(paths: _Paths) -> DumpConfig:
    return DumpConfig(
        teacher=str(paths.teacher),
        corpus=CORPUS,
        cache=paths.cache,
        examples=EXAMPLES,
        validation_examples=VALIDATION_EXAMPLES,
        corpus_epochs=PASSES,
        input_length=INPUT_LENGTH,
        relation_temperature="calibrated",
        calibration_examples=80,
        device="cpu",
    )


def _train(paths: _Paths, size: str, objective: str, log: Log) -> StudentResult:
    config = TrainConfig(
        cache=paths.cache,
        output=paths.student(size, objective),
        size=size,
        objective=objective,
        steps=STUDENT_STEPS,
        batch_size=STUDENT_BATCH,
        optimizer="adafactor",
        learning_rate=2e-2,
        warmup_steps=STUDENT_STEPS // 20,
        schedule="cosine",
        log_every=10,
        eval_every=STUDENT_STEPS // 8,
        save_every=STUDENT_STEPS,
        device="cpu",
    )
    begun = perf_counter()
    validation = train_student(config, lambda _line: None)
    seconds = perf_counter() - begun
    log(f"     {size} {objective}: validation cross-entropy {validation['cross_entropy']:.3f}, {seconds:.0f} s")
    return StudentResult(size, objective, validation["cross_entropy"], seconds, config.output)


def _result(
    paths: _Paths, teacher_seconds: float, dump: DumpReport, students: list[StudentResult], seconds: float
) -> DemoResult:
    facts = inspect_cache(paths.cache)
    return DemoResult(
        facts=facts, teacher_seconds=teacher_seconds, dump=dump, students=students, seconds=seconds, output=paths.root
    )


def _write_page(result: DemoResult, paths: _Paths, log: Log) -> None:
    cache = open_cache(paths.cache)
    models = {"teacher": paths.teacher, **{student.name: student.output for student in result.students}}
    for model in models.values():
        write_samples(str(model), cache, model, "cpu")
    written = {name: written_samples(model) for name, model in models.items()}
    path = write_report(paths.root, page(result, _pictures(result, paths, log), shown_examples(cache), written))
    log(f"report: {path}")


def _pictures(result: DemoResult, paths: _Paths, log: Log) -> dict[str, Path]:
    """Draw the pictures; without matplotlib say so and return none."""
    try:
        from .picture import draw
    except ConfigurationError as error:
        log(f"no pictures: {error}")
        return {}
    return draw(result, paths.root)


def _teaches(result: DemoResult, log: Log) -> bool:
    """Return whether the teacher learned enough to teach; if not, say so."""
    gain = result.unigram - result.teacher_loss
    if gain >= SUCCESS:
        return True
    log(
        Verdict(
            f"the demo FAILED: its teacher should end at least {SUCCESS:g} nats below the unigram entropy, but ended {gain:.2f} "
            "nats below it"
        )
    )
    return False
