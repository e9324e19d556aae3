"""The commands: which options each has, and the one function that it calls. Heavy imports are inside the functions."""

import os
import sys
import traceback
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, NoReturn

import click

from . import __version__
from .api.recorded import (
    of_a_comparison,
    of_a_dump,
    of_a_pruning,
    of_a_repair,
    of_a_schedule,
    of_a_training,
    of_an_evaluation,
)
from .api.training import train_each
from .errors import MiniEndError
from .evaluation.config import EvaluateConfig
from .recipes.compare.config import CompareConfig
from .recipes.demo.config import DemoConfig
from .recipes.estimate.config import EstimateConfig
from .recipes.filters.config import FiltersConfig
from .recipes.inspect.config import InspectConfig
from .recipes.judge_encoder.config import JudgeEncoderConfig
from .recipes.prune.config import PruneConfig
from .recipes.repair.config import VerifyConfig
from .recipes.schedule.config import ScheduleConfig
from .recipes.share.config import PushCacheConfig
from .runtime.commands import ConfiguredCommand, program, usage_in_one_line
from .runtime.completion import CompletionConfig, answer_a_shell, completion_script
from .runtime.options import completed
from .runtime.plugins import fault_of_a_plugin
from .runtime.printing import Level, allow_any_encoding, level, say, say_json, set_level, tell
from .runtime.stopping import status_of
from .runtime.there import require_there
from .student_train.config import TrainConfig, TrainRequest, each_student
from .teacher_dump.config import DumpConfig


def _dump_teacher(config: DumpConfig) -> None:
    from .teacher_dump.dump import dump_teacher

    dump_teacher(config, log=tell)


def _estimate(config: EstimateConfig) -> None:
    from .recipes.estimate.estimate import describe, estimate

    facts = estimate(config)
    _print(facts.as_json() if config.as_json else describe(facts))


def _train_student(config: TrainRequest, size: tuple[str, ...], objective: tuple[str, ...]) -> None:
    sizes, objectives = size or (None,), objective or (config.objective,)
    if config.dry_run:
        configs = each_student(completed(TrainConfig, config), sizes, objectives)
        require_there(config.cache)
        from .student_train.train import dry_run_students

        dry_run_students(configs, log=tell)
    else:
        train_each(config, sizes, objectives, log=tell)


def _prune_teacher(config: PruneConfig) -> None:
    require_there(config.cache)
    from .recipes.prune.prune import prune_teacher

    prune_teacher(config, log=tell)


def _filters(config: FiltersConfig) -> None:
    require_there(config.cache)
    from .recipes.filters.filters import make_filters

    make_filters(config, log=tell)


def _schedule(config: ScheduleConfig) -> None:
    require_there(config.cache)
    from .recipes.schedule.schedule import schedule

    schedule(config, log=tell)


def _inspect(config: InspectConfig) -> None:
    require_there(config.cache)
    from .recipes.inspect.inspection import describe, inspect_cache

    if config.plot is not None:
        from .recipes.inspect.plot import plot_cache

        plot_cache(config.cache, config.plot)
    facts = inspect_cache(config.cache)
    _print(facts.as_json() if config.as_json else describe(facts))


def _verify(config: VerifyConfig) -> int:
    require_there(config.cache)
    from .recipes.repair.verify import describe, verify_cache

    if config.repair:
        from .recipes.repair.repair import repair_cache

        repair_cache(config, log=partial(tell, err=config.as_json))
    report = verify_cache(config.cache)
    _print(report.as_json() if config.as_json else describe(report))
    return 0 if report.sound else 1


def _push_cache(config: PushCacheConfig) -> None:
    from .recipes.share.push_cache import push_cache

    push_cache(config, log=say)


def _evaluate(config: EvaluateConfig) -> None:
    from .evaluation.evaluate import evaluate
    from .evaluation.report import describe

    _print(describe(evaluate(config, log=tell)))


def _judge_encoder(config: JudgeEncoderConfig) -> None:
    require_there(config.cache)
    from .recipes.judge_encoder.judge import judge_encoder

    found = judge_encoder(config)
    _print(found.as_json() if config.as_json else found.lines())


def _compare(config: CompareConfig) -> None:
    from .recipes.compare.compare import compare

    compare(config.file, config.output, config.plan, log=tell)


def _demo(config: DemoConfig) -> int:
    from .recipes.demo.demo import run_demo

    return 0 if run_demo(config.output, log=tell) else 1


def _completion(config: CompletionConfig) -> None:
    click.echo(completion_script(app, config.shell), nl=False)


def _print(result: dict[str, Any] | Iterable[str]) -> None:
    """Print what a command has found, as JSON or as lines."""
    if isinstance(result, dict):
        say_json(result)
    else:
        for line in result:
            say(line)


COMMANDS = (
    ConfiguredCommand(
        "dump-teacher",
        DumpConfig,
        _dump_teacher,
        summary="Stage one: run the teacher over a corpus once and cache its signals. Run it again to resume or to grow.",
        more="Several processes can write one cache at once: run the same command several times, under torchrun, or with "
        "different --shards.",
        examples=(
            "  miniend dump-teacher --teacher google-t5/t5-small --corpus python-docs \\\n"
            "      --cache docs-t5-small --examples 2000",
            "  miniend dump-teacher --teacher google-t5/t5-base --corpus hf:allenai/c4:en \\\n"
            "      --cache c4-t5-base --examples 200000 --batch-size 64 --dtype bfloat16",
        ),
        ranks=True,
        recorded=of_a_dump,
    ),
    ConfiguredCommand(
        "estimate",
        EstimateConfig,
        _estimate,
        summary="Before a dump: estimate by a short trial how many GB and hours it takes here, and from how many students on it "
        "pays.",
        examples=(
            "  miniend estimate --teacher google-t5/t5-small --corpus python-docs \\\n      --examples 2000",
            "  miniend estimate --teacher google-t5/t5-base --corpus hf:allenai/c4:en \\\n"
            "      --examples 200000 --batch-size 64 --dtype bfloat16 --epochs 3 --json",
        ),
        without=("mixed_environment",),
    ),
    ConfiguredCommand(
        "train-student",
        TrainRequest,
        _train_student,
        summary="Stage two: train students from a cache, without the teacher. Run it again to resume.",
        more="On several GPUs, or machines with a common file system, start it with torchrun or accelerate launch.",
        examples=(
            "  miniend train-student --cache c4-t5-base --output student --steps 50000 --bf16",
            "  miniend train-student --cache c4-t5-base --output students --size 6L384H \\\n"
            "      --size 4L256H --objective miniend-e --objective minilm",
        ),
        ranks=True,
        recorded=of_a_training,
    ),
    ConfiguredCommand(
        "prune-teacher",
        PruneConfig,
        _prune_teacher,
        summary="Sort a teacher's heads and neurons by importance, so that students start as its most important part.",
        more="The teacher is needed for minutes, with its cache. Then train-student --init pruned:SORTED --keep 0.5 keeps the "
        "first half of all heads and neurons.",
        examples=(
            "  miniend prune-teacher --teacher google-t5/t5-base --cache c4-t5-base \\\n      --output sorted",
            "  miniend prune-teacher --teacher google-t5/t5-base --cache c4-t5-base \\\n"
            "      --output sorted --examples 256 --device cuda",
        ),
        recorded=of_a_pruning,
    ),
    ConfiguredCommand(
        "filters",
        FiltersConfig,
        _filters,
        summary="Add task-aware filters to a cache of hidden states, for students of the objective ted.",
        more="The teacher is needed for minutes. A filter keeps the part of a layer's states that the teacher's own "
        "predictions use. The shards of the cache stay as they are.",
        examples=(
            "  miniend filters --cache states --teacher google-t5/t5-base",
            "  miniend filters --cache states --teacher google-t5/t5-base \\\n"
            "      --filter decoder.hidden@uniform:4 --filter-width 128 --filter-steps 1000",
        ),
    ),
    ConfiguredCommand(
        "schedule",
        ScheduleConfig,
        _schedule,
        summary="Find the best size of an assistant in one trial: all candidates of a sorted teacher learn together. Run it "
        "again to resume.",
        more="The candidates are cut from one set of weights. Then dump-teacher runs the assistant over the corpus, and "
        "train-student starts at OUTPUT/target from that cache.",
        examples=(
            "  miniend schedule --cache c4-t5-base --init pruned:sorted --output scheduled \\\n"
            "      --keep 0.5,0.4,0.3,0.2,0.15,0.1 --target 0.1 --steps 50000",
            "  miniend schedule --cache c4-t5-base --init pruned:sorted --output control \\\n"
            "      --keep 0.5,0.4,0.3,0.2,0.15,0.1 --target 0.1 --independent",
        ),
        ranks=True,
        recorded=of_a_schedule,
    ),
    ConfiguredCommand(
        "inspect",
        InspectConfig,
        _inspect,
        summary="Show what is in a cache, how large it is and how faithful.",
        examples=("  miniend inspect c4-t5-base", "  miniend inspect c4-t5-base --plot c4-t5-base.png"),
        computes=False,
    ),
    ConfiguredCommand(
        "verify",
        VerifyConfig,
        _verify,
        summary="Check every byte of a cache, and repair it if asked.",
        more="Exit status 0: everything dumped so far is sound; 1: damaged; 2: an error, such as no cache.",
        examples=(
            "  miniend verify c4-t5-base",
            "  miniend verify c4-t5-base --repair --teacher google-t5/t5-base \\\n      --corpus hf:allenai/c4:en",
        ),
        computes=False,
        recorded=of_a_repair,
    ),
    ConfiguredCommand(
        "push-cache",
        PushCacheConfig,
        _push_cache,
        summary="Upload a cache to the Hugging Face hub, so that others train from it with --cache hf://datasets/USER/NAME. Run "
        "it again to resume.",
        examples=(
            "  miniend push-cache --cache c4-t5-base me/c4-t5-base",
            "  miniend push-cache --cache c4-t5-base my-team/c4-t5-base --hub-private-repo",
        ),
        computes=False,
    ),
    ConfiguredCommand(
        "evaluate",
        EvaluateConfig,
        _evaluate,
        summary="Evaluate a model: fine-tune it on GLUE or summarization and score it over several seeds. Run it again to "
        "resume.",
        examples=(
            "  miniend evaluate --model student --task glue/sst2 --output scores",
            "  miniend evaluate --model student --task summarize/pairs \\\n"
            "      --data articles.jsonl --output scores --optimizer adafactor --seeds 5",
        ),
        recorded=of_an_evaluation,
    ),
    ConfiguredCommand(
        "judge-encoder",
        JudgeEncoderConfig,
        _judge_encoder,
        summary="Compare an encoder's final states with its teacher's, on a cache's texts that nobody trained on.",
        more="The teacher is not needed. A model of another width without a map gets one by least squares.",
        examples=(
            "  miniend judge-encoder --model student --cache prompts",
            "  miniend judge-encoder --model student --cache prompts --examples 1000 --json",
        ),
    ),
    ConfiguredCommand(
        "compare",
        CompareConfig,
        _compare,
        summary="Compare objectives and sizes: train every row from one cache with equal steps and seeds, and evaluate it. Run "
        "it again to resume.",
        examples=(
            "  miniend compare comparison.yaml --output compared --plan",
            "  miniend compare comparison.yaml --output compared",
        ),
        recorded=of_a_comparison,
    ),
    ConfiguredCommand(
        "demo",
        DemoConfig,
        _demo,
        summary="Run both stages on Python's own documentation, on a CPU, in minutes: teacher, cache, students, table and "
        "picture.",
        examples=("  miniend demo", "  miniend demo --output my-demo"),
    ),
    ConfiguredCommand(
        "completion",
        CompletionConfig,
        _completion,
        summary="Print the script with which your shell completes commands, options, choices and files.",
        more='For bash, put eval "$(miniend completion bash)" into ~/.bashrc; for zsh, the same with zsh into ~/.zshrc. For '
        "fish, write it to ~/.config/fish/completions/miniend.fish.",
        examples=("  miniend completion bash", "  miniend completion fish"),
        computes=False,
    ),
)
STEPS = (
    "miniend demo",
    "miniend estimate --teacher google-t5/t5-small --corpus python-docs \\\n         --examples 2000",
    "miniend dump-teacher --teacher google-t5/t5-small --corpus python-docs \\\n         --cache docs --examples 2000",
    "miniend inspect docs",
    "miniend verify docs",
    "miniend train-student --cache docs --output student --size 4L256H",
    "miniend evaluate --model student --task glue/sst2 --output scores",
    "miniend compare comparison.yaml --output compared",
)
"""What to type first, second, third."""

app = program(
    "miniend",
    "Offline distillation of T5-family encoder-decoders: run the teacher once, train many students from its cache.",
    __version__,
    COMMANDS,
    STEPS,
)


def exit_status(run: Callable[[], int | None]) -> int:
    """Run a command and return its exit status: 2 for an error of ours, 130 for an interrupt, 143 for SIGTERM (128 + number).

    These print one line and not a traceback.
    """
    return status_of(partial(_reported, run))


def _reported(run: Callable[[], int | None]) -> int:
    try:
        return run() or 0
    except BrokenPipeError:  # the reader has stopped reading, for example `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        message = _expected(error) or fault_of_a_plugin(error)
        if message is None:
            raise
        if level() is Level.VERBOSE:
            traceback.print_exception(error)
        say(f"miniend: {message}", err=True)
        return 2


def _expected(error: Exception) -> str | None:
    """Return one line on an error that a user can fix, or None for any other."""
    if isinstance(error, click.ClickException):
        return usage_in_one_line(error)
    if isinstance(error, MiniEndError):
        return str(error)
    if isinstance(error, OSError) and error.errno is not None:  # a disk, a path or a limit of the machine
        return f"{error.strerror}: {error.filename or 'while writing'}; fix it and run the same command again"
    if type(error).__name__ == "OutOfMemoryError":  # torch's; torch is not imported here
        return "the GPU is out of memory: lower --batch-size, or raise --gradient-accumulation-steps of train-student"
    return None


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit status."""
    set_level(Level.NORMAL)
    return exit_status(partial(app.called_with, arguments))


def main() -> NoReturn:
    """Run the command line of this process and exit with its status."""
    allow_any_encoding()
    answer_a_shell(app)
    sys.exit(run(sys.argv[1:]))
