"""The commands: read options, call one function, print the result. Heavy imports stand inside the commands."""

import errno
import json
from collections.abc import Callable
from enum import StrEnum
from functools import partial, wraps
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from . import __version__
from .cli_options import Opt, dump_config, with_dump_options
from .errors import MiniEndError
from .runtime.stopping import Terminated, stoppable

app = typer.Typer(
    name="miniend",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Offline distillation of T5-family encoder-decoders: run the teacher once, train many students from its cache.",
)

EXPECTED_ERRNOS = (
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.EPERM, errno.EROFS),
    errno.EIO,
    *(errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENOENT, errno.ENAMETOOLONG, errno.ELOOP),
)
"""Of the system's own errors, those that a user can mend: a full or failing disk, a path that cannot be written."""


class ObjectiveName(StrEnum):
    """Rows of the MiniEnD comparison."""

    SCRATCH = "scratch"
    LOGITS = "logits"
    MINILM = "minilm"
    IMPLICIT = "implicit"
    MINIEND_D = "miniend-d"
    MINIEND_E = "miniend-e"


class CrossRelation(StrEnum):
    """Readings of the cross-attention term."""

    QK = "qk"
    QQ_KK_VV = "qq_kk_vv"


class Optimizer(StrEnum):
    """Optimisers."""

    ADAMW = "adamw"
    ADAFACTOR = "adafactor"


class Schedule(StrEnum):
    """Learning-rate schedules after warm-up."""

    LINEAR = "linear"
    COSINE = "cosine"
    CONSTANT = "constant"
    INVERSE_SQRT = "inverse-sqrt"


class TaskProtocol(StrEnum):
    """Ways to put a task to a model."""

    HEAD = "head"
    TEXT = "text"


def plainly(command: Callable[..., None]) -> Callable[..., None]:
    """Errors of ours become a line on standard error and exit status 2, an interrupt 130, SIGTERM 143; no traceback."""

    @wraps(command)
    def run(*args: Any, **options: Any) -> None:
        try:
            with stoppable():
                command(*args, **options)
        except MiniEndError as error:
            _stop(str(error), 2)
        except OSError as error:
            if error.errno not in EXPECTED_ERRNOS:
                raise
            _stop(f"{error.strerror}: {error.filename or 'while writing'}; mend it and run the same command again", 2)
        except RuntimeError as error:
            if type(error).__name__ != "OutOfMemoryError":  # torch's; torch is not imported here
                raise
            _stop(
                "the GPU is out of memory: lower --batch-size, or raise --gradient-accumulation-steps of train-student",
                2,
            )
        except KeyboardInterrupt as stopped:
            terminated = isinstance(stopped, Terminated)
            word, status = ("terminated", 143) if terminated else ("interrupted", 130)
            _stop(f"{word}; run the same command again to go on", status)

    return run


def _stop(message: str, status: int) -> NoReturn:
    typer.echo(f"miniend: {message}", err=True)
    raise typer.Exit(status)


@app.callback(invoke_without_command=True)
def _root(version: Annotated[bool, Opt("--version", help="Print the version and exit.")] = False) -> None:
    if version:
        typer.echo(f"miniend {__version__}")
        raise typer.Exit


@app.command("dump-teacher")
@plainly
@with_dump_options
def dump_teacher(
    cache: Annotated[
        str,
        Opt(help="Directory or s3://, gs://, az:// URL of the cache. A dump that is already there is continued."),
    ],
    mixed_environment: Annotated[
        bool, Opt("--mixed-environment", help="Go on with a cache begun on another machine; not byte-identical then.")
    ] = False,
    force: Annotated[
        bool, Opt("--force", help="Begin the shards even where the disk seems too small for them.")
    ] = False,
    **options: Any,
) -> None:
    """Stage one: run the teacher over a corpus once and cache its signals. Run it again to resume or to grow.

    Several processes may write one cache at once: the same command many times over, under torchrun, or each with its --shards.
    """
    from .teacher_dump.dump import dump_teacher as run

    config = dump_config(**options, cache=cache, force=force, mixed_environment=mixed_environment)
    run(config, say=typer.echo)


@app.command("estimate")
@plainly
@with_dump_options
def estimate(
    sample_examples: Annotated[
        int | None,
        Opt(help="Examples that are dumped on trial; one shard by default, never more than the dump has."),
    ] = None,
    epochs: Annotated[
        float, Opt(help="How often a student sees each example, for the number of students to pay.")
    ] = 1.0,
    as_json: Annotated[bool, Opt("--json", help="Print one JSON object.")] = False,
    **options: Any,
) -> None:
    """Before a dump: how many GB and hours it would take here, and from how many students on it pays, by a short trial."""
    from .recipes.estimate.estimate import EstimateConfig, describe
    from .recipes.estimate.estimate import estimate as run

    dump = dump_config(**options, cache="estimate")
    facts = run(EstimateConfig(dump=dump, sample_examples=sample_examples, epochs=epochs))
    for line in [json.dumps(facts.as_json(), indent=2)] if as_json else describe(facts):
        typer.echo(line)


OBJECTIVE_HELP = (
    "scratch: hard labels. logits: KL to the cached distribution. minilm: decoder self-attention relations. "
    "implicit: logits + minilm. miniend-d: implicit + cross-attention relations. miniend-e: implicit + encoder self-attention "
    "relations. Self-attention terms are the mean of the QQ, KK and VV relation KLs of the last layers (MiniLMv2 form), "
    "causal in the decoder; for the cross term see --cross-relation. "
    "Which objectives the paper's table names beside MiniEnD is inferred. Repeatable, like --size."
)


@app.command("train-student")
@plainly
def train_student(
    cache: Annotated[str, Opt(help="Directory or URL of a cache that dump-teacher wrote.")],
    output: Annotated[
        Path, Opt(help="Hugging Face model directory to write. A run that is already there is continued.")
    ],
    size: Annotated[
        list[str] | None,
        Opt(
            help="6L384H (the default), 6E3D384H for unequal depths, or a T5 config.json; repeatable: several students train in "
            "one pass, each in OUTPUT/SIZE-OBJECTIVE.",
            show_default=False,
        ),
    ] = None,
    objective: Annotated[
        list[ObjectiveName] | None,
        Opt(help=OBJECTIVE_HELP, show_default="miniend-e"),
    ] = None,
    logits: Annotated[
        bool, Opt("--logits/--no-logits", help="Keep or drop the logit term of miniend-d and -e.")
    ] = True,
    temperature: Annotated[
        float, Opt(help="Of teacher and student in the logit term: 1, or one of the --temperatures of the dump.")
    ] = 1.0,
    cross_relation: Annotated[
        CrossRelation,
        Opt(help="Our two readings of the paper's cross-attention term: qk, the attention itself re-headed; qq_kk_vv."),
    ] = CrossRelation.QK,
    relation_heads: Annotated[
        int | None, Opt(help="Relation heads; by default the largest of 32, 24, 16, 12, 8 that divides both widths.")
    ] = None,
    weight: Annotated[
        list[str] | None,
        Opt(
            help="Weight of a term, TERM=NUMBER, 1 otherwise; repeatable. labels, logits, decoder_self, cross, encoder_self."
        ),
    ] = None,
    steps: Annotated[int, Opt(help="Optimiser steps.")] = 10_000,
    batch_size: Annotated[int, Opt(help="Examples per optimiser step.")] = 32,
    gradient_accumulation_steps: Annotated[int, Opt(help="Forward passes that a step's batch is split into.")] = 1,
    optimizer: Annotated[
        Optimizer, Opt(help="adamw, or adafactor, its steps relative to each matrix's RMS and at most 1/sqrt(step).")
    ] = Optimizer.ADAMW,
    learning_rate: Annotated[
        float | None, Opt(help="Peak; 3e-4 for adamw and 1e-2 for adafactor unless given.")
    ] = None,
    warmup_steps: Annotated[int | None, Opt(help="Linear warm-up; a hundredth of the steps unless given.")] = None,
    schedule: Annotated[Schedule, Opt(help="Learning rate after warm-up.")] = Schedule.LINEAR,
    weight_decay: Annotated[float, Opt(help="Decoupled weight decay of matrices.")] = 0.01,
    max_grad_norm: Annotated[float, Opt(help="Largest global gradient norm; 0 does not clip.")] = 1.0,
    bf16: Annotated[
        bool,
        Opt(
            "--bf16",
            help="bfloat16 autocast for the student's forward; the losses themselves and evaluation are float32.",
        ),
    ] = False,
    gradient_checkpointing: Annotated[
        bool,
        Opt(
            "--gradient-checkpointing",
            help="Compute each block once more in the backward instead of keeping its activations: less memory, slower steps, "
            "on a CPU the same student.",
        ),
    ] = False,
    device: Annotated[str, Opt(help="auto, cpu, cuda or cuda:N.")] = "auto",
    init: Annotated[str | None, Opt(help="Checkpoint of a student to start from.")] = None,
    init_from_teacher: Annotated[
        str | None,
        Opt(help="Teacher checkpoint whose evenly spaced layers to start from; the size must have its width."),
    ] = None,
    log_every: Annotated[int, Opt(help="Steps between lines of metrics.jsonl and TensorBoard.")] = 10,
    save_every: Annotated[int, Opt(help="Steps between checkpoints.")] = 500,
    eval_every: Annotated[int, Opt(help="Steps between evaluations on the held-out examples.")] = 500,
    seed: Annotated[int, Opt(help="Seed of the student's weights and of the order of examples.")] = 0,
    allow_unfinished: Annotated[
        bool,
        Opt("--allow-unfinished", help="Train on what an unfinished dump has published so far; resumed, on the same."),
    ] = False,
    tracker: Annotated[
        list[str] | None,
        Opt(help="wandb, mlflow, ... : trackers of accelerate's to write to, beside TensorBoard; repeatable."),
    ] = None,
    dry_run: Annotated[
        bool,
        Opt(
            "--dry-run",
            help="Write nothing: do a few steps and say what the run would take in memory, FLOPs, disk, epochs and hours.",
        ),
    ] = False,
) -> None:
    """Stage two: train students from a cache, without the teacher. Run it again to resume.

    On several GPUs, or machines with a common file system, start it with torchrun or accelerate launch.
    """
    from .student_train.config import TrainConfig, each_student
    from .student_train.train import dry_run_students, train_students

    objectives = [one.value for one in objective or [ObjectiveName.MINIEND_E]]
    run = dry_run_students if dry_run else train_students
    run(
        each_student(
            TrainConfig(
                cache=cache,
                output=output,
                logits=logits,
                temperature=temperature,
                cross_relation=cross_relation.value,
                relation_heads=relation_heads,
                weight=tuple(weight or ()),
                steps=steps,
                batch_size=batch_size,
                gradient_accumulation_steps=gradient_accumulation_steps,
                optimizer=optimizer.value,
                learning_rate=learning_rate,
                warmup_steps=warmup_steps,
                schedule=schedule.value,
                weight_decay=weight_decay,
                max_grad_norm=max_grad_norm,
                bf16=bf16,
                gradient_checkpointing=gradient_checkpointing,
                device=device,
                seed=seed,
                init=init,
                init_from_teacher=init_from_teacher,
                log_every=log_every,
                save_every=save_every,
                eval_every=eval_every,
                allow_unfinished=allow_unfinished,
                tracker=tuple(tracker or ()),
            ),
            size or [None],
            objectives,
        ),
        say=typer.echo,
    )


@app.command()
@plainly
def inspect(
    directory: Annotated[str, typer.Argument(help="Directory or URL of a cache, finished or not.")],
    as_json: Annotated[bool, Opt("--json", help="Print one JSON object.")] = False,
    plot: Annotated[
        Path | None, Opt(help="Draw sizes, spectra and fidelity into this .png, .svg or .pdf as well.")
    ] = None,
) -> None:
    """Show what is in a cache, how large it is and how faithful."""
    from .recipes.inspect.inspection import describe, inspect_cache

    if plot is not None:
        from .recipes.inspect.plot import plot_cache

        plot_cache(directory, plot)
    facts = inspect_cache(directory)
    lines = [json.dumps(facts.as_json(), indent=2)] if as_json else describe(facts)
    for line in lines:
        typer.echo(line)


@app.command()
@plainly
def verify(
    directory: Annotated[str, typer.Argument(help="Directory or URL of a cache, finished or not.")],
    as_json: Annotated[bool, Opt("--json", help="Print one JSON object.")] = False,
    repair: Annotated[
        bool,
        Opt(
            "--repair",
            help="First dump again what is damaged or missing, and remove unlisted files inside of published folders.",
        ),
    ] = False,
    teacher: Annotated[str | None, Opt(help="For --repair: the teacher of the dump; the plan must know it.")] = None,
    corpus: Annotated[
        list[str] | None,
        Opt(help="For --repair: the corpus of the dump; several in their order. The plan must know it."),
    ] = None,
    device: Annotated[str, Opt(help="For --repair: auto, cpu, cuda or cuda:N.")] = "auto",
    mixed_environment: Annotated[
        bool, Opt("--mixed-environment", help="For --repair: accept another environment, and the values it gives.")
    ] = False,
) -> None:
    """Check every byte of a cache. Exit status 0: sound, as far as it is dumped; 1: damaged; 2: an error, such as no cache."""
    from .recipes.repair.verify import describe, verify_cache

    if repair:
        from .recipes.repair.repair import RepairConfig, repair_cache

        config = RepairConfig(
            cache=Path(directory),
            teacher=teacher,
            corpus=tuple(corpus or ()),
            device=device,
            mixed_environment=mixed_environment,
        )
        repair_cache(config, say=partial(typer.echo, err=as_json))
    report = verify_cache(directory)
    for line in [json.dumps(report.as_json(), indent=2)] if as_json else describe(report, directory):
        typer.echo(line)
    if not report.sound:
        raise typer.Exit(1)


@app.command()
@plainly
def evaluate(
    model: Annotated[str, Opt(help="Folder or hub name of any T5-family checkpoint, trained here or not.")],
    task: Annotated[
        list[str],
        Opt(
            help="glue/sst2, mrpc, stsb, qqp, mnli (both development sets), qnli, rte, cola or wnli; summarize/cnn_dailymail, "
            "xsum, scitldr, or pairs: any texts with summaries in columns source/target, document/summary, article/highlights "
            "or text/summary. Repeatable."
        ),
    ],
    output: Annotated[Path, Opt(help="Directory for the results. Seeds that are already there are not run again.")],
    data: Annotated[
        Path | None,
        Opt(
            help="Folder with train and dev as .tsv, .csv or .jsonl, itself or in a folder named after the task; or one such "
            "file, of which a tenth becomes the development set. From the hub unless given; summarize/pairs needs it.",
            show_default=False,
        ),
    ] = None,
    protocol: Annotated[
        TaskProtocol,
        Opt(
            help="head: a new head on encoder and decoder, which read the same text. text: T5's prompts and label words. "
            "Summaries are text in either."
        ),
    ] = TaskProtocol.HEAD,
    seeds: Annotated[int, Opt(help="Fine-tunings per task, seeds 0, 1, ...; may be raised later.")] = 3,
    epochs: Annotated[int, Opt(help="Epochs of every fine-tuning.")] = 3,
    optimizer: Annotated[
        Optimizer,
        Opt(help="adafactor, with steps relative to each matrix's RMS, is T5's own, and suits small students."),
    ] = Optimizer.ADAMW,
    learning_rate: Annotated[
        list[float] | None,
        Opt(
            help="Repeatable: the best on a tenth of train is taken; a single one is taken untried. "
            "adamw: 1e-4, 2e-4, 3e-4 for head and 1e-4, 3e-4, 1e-3 for text and summaries unless given; "
            "adafactor: 1e-3, 3e-3, 1e-2.",
            show_default=False,
        ),
    ] = None,
    batch_size: Annotated[int, Opt(help="Examples per step.")] = 32,
    max_length: Annotated[
        int | None,
        Opt(
            help="Tokens of an input; longer ones are shortened. 128 for GLUE and 512 for texts to summarise unless given.",
            show_default=False,
        ),
    ] = None,
    max_summary_length: Annotated[
        int, Opt(help="Tokens of a summary; longer ones to learn from are cut, and none longer is generated.")
    ] = 128,
    train_examples: Annotated[
        int | None, Opt(help="Train on so many examples, drawn once; on all unless given.", show_default=False)
    ] = None,
    eval_examples: Annotated[
        int | None,
        Opt(
            help="Score on so many examples of each development set, drawn once; on all unless given.",
            show_default=False,
        ),
    ] = None,
    bf16: Annotated[bool, Opt("--bf16", help="bfloat16 autocast.")] = False,
    device: Annotated[str, Opt(help="auto, cpu or cuda.")] = "auto",
) -> None:
    """Judge a model: fine-tune it on GLUE or summarisation and score it over several seeds. Run it again to resume."""
    from .evaluation.evaluate import EvaluateConfig
    from .evaluation.evaluate import evaluate as run
    from .evaluation.report import describe

    config = EvaluateConfig(
        model=model,
        tasks=tuple(task),
        output=output,
        data=data,
        protocol=protocol.value,
        seeds=seeds,
        epochs=epochs,
        optimizer=optimizer.value,
        learning_rates=tuple(learning_rate or ()),
        batch_size=batch_size,
        max_length=max_length,
        max_summary_length=max_summary_length,
        train_examples=train_examples,
        eval_examples=eval_examples,
        bf16=bf16,
        device=device,
    )
    for line in describe(run(config, say=typer.echo)):
        typer.echo(line)


@app.command()
@plainly
def compare(
    file: Annotated[Path, typer.Argument(help="YAML file that says what is compared; see README.")],
    output: Annotated[Path, Opt(help="Directory for caches, students, evaluations and report. What is there is kept.")],
    plan: Annotated[
        bool, Opt("--plan", help="Time a little of everything, print the hours that are planned, and stop.")
    ] = False,
) -> None:
    """Which objective, which size: every row from one cache with equal steps and seeds, judged. Run it again to resume."""
    from .recipes.compare.compare import compare as run

    run(file, output, plan, say=typer.echo)


@app.command()
@plainly
def demo(
    output: Annotated[Path, Opt(help="Directory for everything that the demo writes.")] = Path("demo-output"),
) -> None:
    """The whole story on Python's own documentation, on a CPU, in minutes: teacher, cache, students, table and picture."""
    from .recipes.demo.demo import run_demo

    if not run_demo(output, say=typer.echo):
        raise typer.Exit(1)


def main() -> None:
    """Entry point of the console script."""
    app()
