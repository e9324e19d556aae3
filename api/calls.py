"""The commands as functions. Each imports what it needs when it is called."""

from typing import TYPE_CHECKING, Any

from ..evaluation.config import EvaluateConfig
from ..recipes.compare.config import CompareConfig
from ..recipes.estimate.config import EstimateConfig
from ..recipes.filters.config import FiltersConfig
from ..recipes.inspect.config import InspectConfig
from ..recipes.judge_encoder.config import JudgeEncoderConfig
from ..recipes.prune.config import PruneConfig
from ..recipes.repair.config import VerifyConfig
from ..recipes.schedule.config import ScheduleConfig
from ..recipes.share.config import PushCacheConfig
from ..runtime.given import Settled
from ..student_train.config import TrainConfig, TrainRequest, each_student
from ..teacher_dump.config import DumpConfig
from .function import LOG, TOKENIZER, Given, of_options
from .recorded import (
    of_a_comparison,
    of_a_dump,
    of_a_pruning,
    of_a_repair,
    of_a_schedule,
    of_a_training,
    of_an_evaluation,
)
from .training import train_each

if TYPE_CHECKING:
    from ..cache import Cache
    from ..evaluation.records import EvaluationResults
    from ..recipes.compare.compared import Comparison
    from ..recipes.estimate.estimate import Estimate
    from ..recipes.inspect.facts import CacheFacts
    from ..recipes.judge_encoder.judge import EncoderFacts
    from ..recipes.prune.sorted_teacher import SortedTeacher
    from ..recipes.repair.verify import VerifyReport
    from ..recipes.schedule.scheduled import Schedule
    from ..student_train.dry_run.dry_run import DryRun
    from ..student_train.student import Student, Students


@of_options(
    DumpConfig,
    models=("teacher",),
    paths=("corpus",),
    more=(TOKENIZER, LOG),
    ranks=True,
    recorded=of_a_dump,
    found_by="cache",
)
def dump_teacher(given: Given[DumpConfig]) -> "Cache":
    """Run a teacher over a corpus once, cache its signals, and return the opened cache. Call it again to resume or to grow.

        cache = miniend.dump_teacher(
            teacher="google-t5/t5-small", corpus="python-docs", cache="docs-t5-small", examples=2000
        )
        cache.size, len(cache), cache[0].input_ids

    `teacher` can be a model in memory, with its `tokenizer`. It is neither changed nor written to the disk, and a dump from a
    folder and a dump from the model of that folder continue each other.
    """
    from ..cache import open_cache
    from ..teacher_dump.dump import dump_teacher

    with given.models_lent("teacher", "tokenizer"):
        report = dump_teacher(given.config(), given.log)
    return open_cache(report.cache, allow_unfinished=True)


@of_options(EstimateConfig, without=("mixed_environment",), models=("teacher",), paths=("corpus",), more=(TOKENIZER,))
def estimate(given: Given[EstimateConfig]) -> "Estimate":
    """Estimate by a short trial how many GB and hours a dump takes here, and from how many students on it pays.

        plan = miniend.estimate(teacher="google-t5/t5-small", corpus="python-docs", examples=2000)
        plan.bytes["total"], plan.seconds["total"], plan.students_to_pay.students

    It takes the keywords of `dump_teacher`, also a model in memory.
    """
    from ..recipes.estimate.estimate import estimate

    with given.models_lent("teacher", "tokenizer"):
        return estimate(given.config())


@of_options(
    TrainRequest,
    without=("dry_run",),
    models=("init",),
    paths=("cache", "size"),
    ranks=True,
    recorded=of_a_training,
    found_by="output",
)
def train_student(given: Given[TrainRequest]) -> "Student":
    """Train a student from a cache, without the teacher. Call it again to resume.

        student = miniend.train_student(cache="docs-t5-small", output="student", size="2L128H", steps=300)
        student.losses, student.curve("validation.loss"), student.model(), student.tokenizer()

    `init` can be a model in memory, which stays as it is; the student starts as a copy of it.
    """
    from ..student_train.student import Student

    with given.models_lent("init"):
        request = given.config()
        (config,) = train_each(request, (request.size,), (request.objective,), given.log)
    return Student(config.output)


@of_options(
    TrainRequest,
    without=("dry_run",),
    models=("init",),
    paths=("cache", "size"),
    several=("size", "objective"),
    ranks=True,
    recorded=of_a_training,
    found_by="output",
)
def train_students(given: Given[TrainRequest]) -> "Students":
    """Train students of several sizes and objectives in one pass over a cache, each into OUTPUT/SIZE-OBJECTIVE.

        students = miniend.train_students(
            cache="docs-t5-small", output="students", size=["2L128H", "2L64H"], objective=["miniend-e", "minilm"], steps=300
        )
        students[0].path, students[0].losses

    It takes the keywords of `train_student`, with several values of `size` and `objective`. Call it again to resume.
    """
    from ..student_train.student import Student, Students

    with given.models_lent("init"):
        settled = given.settled()
        configs = train_each(settled.config, *_sizes_and_objectives(settled), given.log)
    return Students(Student(config.output) for config in configs)


@of_options(TrainConfig, models=("init",), paths=("cache", "size"), several=("size", "objective"))
def dry_run(given: Given[TrainConfig]) -> "list[DryRun]":
    """Say what `train_students` with the same keywords would need in memory, FLOPs, disk and hours, after a few steps of each.

        (run,) = miniend.dry_run(cache="docs-t5-small", output="student", size="2L128H", steps=300)

    Nothing is written.
    """
    from ..student_train.train import dry_run_students

    with given.models_lent("init"):
        settled = given.settled()
        return dry_run_students(each_student(settled.config, *_sizes_and_objectives(settled)), given.log)


@of_options(PruneConfig, models=("teacher",), paths=("cache",), recorded=of_a_pruning, found_by="output")
def prune_teacher(given: Given[PruneConfig]) -> "SortedTeacher":
    """Sort a teacher's heads and neurons by importance, so that students start as its most important part.

        sorted_teacher = miniend.prune_teacher(teacher="google-t5/t5-small", cache="docs-t5-small", output="sorted")
        sorted_teacher.pruning.table[0].cross_entropy

    A student with `init="pruned:sorted", keep=0.5` starts as half of it. `teacher` can be a model in memory, which stays as it
    is.
    """
    from ..recipes.prune.prune import prune_teacher

    with given.models_lent("teacher"):
        return prune_teacher(given.config(), given.log)


@of_options(FiltersConfig, models=("teacher",), paths=("cache",))
def filters(given: Given[FiltersConfig]) -> "Cache":
    """Add task-aware filters to a cache of hidden states, and return the cache. Its shards stay as they are.

        cache = miniend.filters(cache="states", teacher="google-t5/t5-small", filter_steps=200)
        cache.filters["decoder.hidden@5"].width

    `miniend.train_student(objective="ted", ...)` learns from filtered states. `teacher` can be a model in memory.
    """
    from ..recipes.filters.filters import make_filters

    with given.models_lent("teacher"):
        return make_filters(given.config(), given.log)


@of_options(ScheduleConfig, paths=("cache",), ranks=True, recorded=of_a_schedule, found_by="output")
def schedule(given: Given[ScheduleConfig]) -> "Schedule | None":
    """Find the best size of an assistant in one trial: all candidates of a sorted teacher learn together from a cache.

        scheduled = miniend.schedule(
            cache="docs-t5-small", init="pruned:sorted", output="scheduled", keep="0.5,0.3,0.1", target=0.1, steps=300
        )
        scheduled.assistant, scheduled.target, scheduled.record.candidates

    Call it again to resume. Of several processes, the first returns the schedule and the others None.
    """
    from ..recipes.schedule.schedule import schedule

    return schedule(given.config(), given.log)


def _sizes_and_objectives(settled: Settled[Any]) -> tuple[tuple[str | None, ...], tuple[str, ...]]:
    sizes, objectives = settled.several["size"], settled.several["objective"]
    return sizes or (None,), objectives or (settled.config.objective,)


@of_options(EvaluateConfig, models=("model",), recorded=of_an_evaluation, found_by="output")
def evaluate(given: Given[EvaluateConfig]) -> "EvaluationResults":
    """Fine-tune a model on GLUE or summarization and score it over several seeds. Call it again to resume.

        scores = miniend.evaluate(model="student", tasks="glue/sst2", output="scores")
        scores.results["sst2"]["accuracy"].mean

    `model` can be a student that `train_student` returned, or a model in memory. Only copies of it are trained.
    """
    from ..evaluation.evaluate import evaluate

    with given.models_lent("model"):
        return evaluate(given.config(), given.log)


@of_options(JudgeEncoderConfig, paths=("model", "cache"), more=())
def judge_encoder(given: Given[JudgeEncoderConfig]) -> "EncoderFacts":
    """Compare an encoder's final states with its teacher's, on a cache's texts that nobody trained on.

    found = miniend.judge_encoder(model="student", cache="prompts")
    found.explained, found.cosine, found.same_nearest
    """
    from ..recipes.judge_encoder.judge import judge_encoder

    return judge_encoder(given.config())


@of_options(CompareConfig, recorded=of_a_comparison, found_by="output")
def compare(given: Given[CompareConfig]) -> "Comparison":
    """Compare objectives and sizes as a YAML file says: train every row with equal steps and seeds, and evaluate it.

        comparison = miniend.compare("comparison.yaml", output="compared")
        comparison.report, comparison.results.students

    Call it again to resume. With `plan=True` it only says how long it would take.
    """
    from ..recipes.compare.compare import compare

    config = given.config()
    return compare(config.file, config.output, config.plan, given.log)


@of_options(InspectConfig, paths=("cache",), more=(), works=False)
def inspect(given: Given[InspectConfig]) -> "CacheFacts":
    """Return what is in a cache, how large it is and how faithful.

    facts = miniend.inspect("docs-t5-small", plot="docs-t5-small.png")
    facts.bytes.total, facts.fidelity.logits.gradient_angle
    """
    from ..recipes.inspect.inspection import inspect_cache

    config = given.config()
    if config.plot is not None:
        from ..recipes.inspect.plot import plot_cache

        plot_cache(config.cache, config.plot)
    return inspect_cache(config.cache)


@of_options(VerifyConfig, paths=("cache", "teacher", "corpus"), recorded=of_a_repair)
def verify(given: Given[VerifyConfig]) -> "VerifyReport":
    """Check every byte of a cache, and repair it if asked.

    report = miniend.verify("docs-t5-small")
    report.sound, report.damaged
    """
    from ..recipes.repair.verify import verify_cache

    config = given.config()
    if config.repair:
        from ..recipes.repair.repair import repair_cache

        repair_cache(config, given.log)
    return verify_cache(config.cache)


@of_options(PushCacheConfig)
def push_cache(given: Given[PushCacheConfig]) -> "str":
    """Upload a cache to the Hugging Face hub, and return the URL that `train_student` and `open_cache` take.

        url = miniend.push_cache("me/c4-t5-base", cache="c4-t5-base")

    Call it again to resume.
    """
    from ..recipes.share.push_cache import push_cache

    return push_cache(given.config(), given.log)
