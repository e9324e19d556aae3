"""`miniend compare`: make the caches, students and evaluations of a file, each once, and write the report after every step.

It goes seed by seed. All students of the first seed are trained and evaluated before the second seed starts, so an early report
is a fair one. Any number of processes can be started on one output directory; they share the work.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from ...cache import open_cache
from ...errors import ConfigurationError
from ...evaluation.records import Document, write_record
from ...evaluation.scores.differences import require_scipy
from ...evaluation.tasks.known import find_task
from ...evaluation.tasks.sources import load_task
from ...runtime.claims import Claims
from ...runtime.devices import choose_device, threads_kept
from ...runtime.launcher import require_one_process
from ...runtime.printing import Result
from ...runtime.progress import Log, silent
from ...runtime.report.facts import run_facts
from ...runtime.report.writing import HTML, write_report
from ...student_train.run.processes import require_trackers
from ...teacher_dump.dump import dump_teacher
from ..filters.filters import add_filters
from ..samples import write_samples
from .compared import Comparison as Compared
from .file.paths import Paths
from .file.reading import read_comparison
from .file.recorded import keep_file
from .file.settings import MAIN, Comparison, Student
from .report.report import report_blocks, summary_lines
from .report.results import VALIDATION, Results, as_document, gather
from .report.samples import gather_samples
from .report.verdict import verdict
from .run.continuation import Continuation
from .run.evaluation import Candidate, Evaluator
from .run.hard_labels import measure_hard_labels
from .run.plan import plan_lines, planned
from .run.settings_guard import keep_settings, require_same_settings
from .run.spent import counted, spent_seconds
from .run.timing import measured_timings
from .run.training import SEARCH_SEED, Training


def compare(file: Path, output: Path, plan_only: bool, log: Log) -> Compared:
    """Do what is missing of a comparison in its output directory, and return the results.

    With `plan_only` we only say how long it would take, and return the results so far.

    Raises ConfigurationError for a bad file, under torchrun, and if a library is missing. Raises RunMismatchError if the
    directory was made with other settings, and whatever the stages raise.
    """
    require_one_process("miniend compare")
    comparison = read_comparison(file)
    _require_everything(comparison)
    with Claims(output) as claims:
        return Compared(output, _Run(file, comparison, Paths(output), claims, log).run(plan_only))


def _require_everything(comparison: Comparison) -> None:
    """Check before the first hour what the last ones need: libraries, trackers, the device and the data of the tasks."""
    require_scipy()
    choose_device(comparison.device)
    steps = [one.settings for one in comparison.everyone]
    require_trackers([name for one in (*steps, comparison.continuation) if one for name in one.tracker])
    for name, settings in comparison.tasks.items():
        task = find_task(name)
        task.require_libraries()
        if settings.data is not None:
            load_task(task, settings.data, silent)


class _Run:
    """One comparison in progress."""

    def __init__(self, file: Path, comparison: Comparison, paths: Paths, claims: Claims, log: Log) -> None:
        self._file, self._comparison, self._paths, self._claims, self._log = file, comparison, paths, claims, log
        self._training = Training(comparison, paths, claims, log)
        self._continuation = Continuation(comparison, paths, self._training, claims, log)
        self._evaluator = Evaluator(comparison, paths, self._training, claims, log)
        self._timings: Document = {}
        self._made: set[str] = set()

    def run(self, plan_only: bool) -> Results:
        """Make the plan, do all of it unless only the plan is wanted, and return the results."""
        with self._stage("plan"), self._alone("the plan"):
            self._plan(keep=not plan_only)
        if plan_only:
            return gather(self._comparison, self._paths, self._training)
        for name in self._comparison.caches:
            self._make_cache(name)
        for assistant in self._comparison.assistants.values():
            self._make_assistant(assistant)
        for seed in range(self._comparison.seeds):
            self._finish_seed(seed)
        results = self._report()
        for line in summary_lines(self._comparison, results):
            self._log(Result(line))
        self._log(Result(f"report: {self._paths.root / HTML}"))
        return results

    def _finish_seed(self, seed: int) -> None:
        """Train and evaluate all students with one seed, and write the report after both."""
        with self._stage("training"):
            self._training.train(self._comparison.students, seed)
        if self._comparison.continuation:
            with self._stage("continuation"):
                self._continuation.train(self._there(seed), seed)
        self._report()
        with self._stage("evaluation"):
            bounds = self._bounds() if seed == SEARCH_SEED else []
            self._evaluator.evaluate([*bounds, *self._candidates(seed)])
        if seed == SEARCH_SEED:
            with self._stage("sample outputs"), self._alone("sample outputs"):
                self._write_samples()
        self._report()

    def _stage(self, name: str) -> AbstractContextManager[None]:
        """Inside, the seconds count for a stage."""
        return counted(name, self._paths, self._claims)

    def _write_samples(self) -> None:
        """Let the teacher, and the first seed's students that can, write what the report shows."""
        cache, device = open_cache(self._paths.cache(MAIN)), self._comparison.device
        write_samples(self._comparison.teacher, cache, self._paths.teacher_evaluation, device)
        for one in gather(self._comparison, self._paths, self._training).students:
            if SEARCH_SEED in one.column(VALIDATION):
                model = one.outputs[SEARCH_SEED]
                write_samples(str(model), cache, self._paths.evaluation(model), device)

    @contextmanager
    def _alone(self, what: str) -> Iterator[None]:
        """Inside, no other process does the same."""
        name = what.replace(" ", "-")
        self._claims.wait(name, lambda: self._log(f"waiting for another process, which is working on {what}"))
        try:
            yield
        finally:
            self._claims.release(name)

    def _plan(self, keep: bool) -> None:
        """Say how long everything takes; with `keep` write down the settings."""
        require_same_settings(self._comparison, self._paths)
        self._timings = measured_timings(self._comparison, self._paths, self._log, self._planned_seconds)
        for line in plan_lines(planned(self._comparison, self._paths, self._training, self._timings)):
            self._log(Result(line))
        if keep:
            keep_settings(self._comparison, self._paths)
            keep_file(self._file, self._paths.root)

    def _planned_seconds(self, timings: Document) -> float:
        return sum(one.seconds for one in planned(self._comparison, self._paths, self._training, timings))

    def _make_cache(self, name: str) -> None:
        """Dump a cache and add its filters, once in a run. If an assistant is its teacher, train the assistant first."""
        if name in self._made:
            return
        teacher, assistant = self._comparison.teacher, self._comparison.caches[name].teacher
        if assistant is not None:
            teacher = str(self._make_assistant(self._comparison.assistants[assistant]))
        with self._stage("dump"), threads_kept():
            dump_teacher(self._comparison.dump(name, teacher, self._paths.cache(name)), self._log)
        if filters := self._comparison.filters(name, teacher, self._paths.cache(name)):
            with self._stage("filters"), self._alone(f"the filters of {name}"):
                add_filters(filters, self._log)
        self._made.add(name)

    def _make_assistant(self, assistant: Student) -> Path:
        """Train an assistant, after the cache that it learns from, and return its folder."""
        self._make_cache(assistant.cache)
        with self._stage("training"):
            self._training.train([assistant], SEARCH_SEED)
        return self._training.output(assistant, SEARCH_SEED)

    def _bounds(self) -> list[Candidate]:
        """Return the teacher and random weights, which bound the students' scores, and the assistants."""
        with self._alone("teacher and random weights"):
            ends = [self._evaluator.teacher(), *(self._evaluator.untrained(size) for size in self._comparison.sizes)]
            dumped = self._comparison.dump(MAIN, self._comparison.teacher, self._paths.cache(MAIN))
            cache = open_cache(dumped.cache)
            for one in ends:
                measure_hard_labels(one.model, cache, one.output, dumped.device, dumped.batch_size)
        assistants = [self._evaluator.student(one, SEARCH_SEED) for one in self._comparison.assistants.values()]
        return [*ends, *assistants]

    def _there(self, seed: int) -> list[Student]:
        """Return the students that could be trained with a seed."""
        return [student for student in self._comparison.students if not self._training.is_lost(student, seed)]

    def _candidates(self, seed: int) -> Iterator[Candidate]:
        for student in self._there(seed):
            yield self._evaluator.student(student, seed)

    def _report(self) -> Results:
        """Write comparison.json, report.md, report.html and the pictures from the results so far, and return these."""
        with self._alone("the report"):
            comparison, paths = self._comparison, self._paths
            results = gather(comparison, paths, self._training)
            decision = verdict(comparison, results).as_json()
            write_record(paths.comparison, as_document(results, comparison, self._timings, decision))
            facts = run_facts(spent_seconds(paths), paths.folders)
            pictures, samples = self._pictures(results), gather_samples(comparison, results, paths)
            write_report(paths.root, report_blocks(comparison, results, self._timings, pictures, facts, samples))
        return results

    def _pictures(self, results: Results) -> dict[str, Path]:
        """Draw the pictures; without matplotlib say so and return none."""
        try:
            from .report.figures import draw_all
        except ConfigurationError as error:
            self._log(f"no pictures: {error}")
            return {}
        return draw_all(results, self._paths.root)
