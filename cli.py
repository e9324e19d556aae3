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
from .errors import MiniEndError
from .stopping import Terminated, stoppable

app = typer.Typer(
    name="miniend",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Offline distillation of T5-family encoder-decoders: run the teacher once, train many students from its cache.",
)

Opt = typer.Option

EXPECTED_ERRNOS = (
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.EPERM, errno.EROFS),
    errno.EIO,
    *(errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENOENT, errno.ENAMETOOLONG, errno.ELOOP),
)
"""Of the system's own errors, those that a user can mend: a full or failing disk, a path that cannot be written."""


class DataObjective(StrEnum):
    """How examples come about."""

    SPAN_CORRUPTION = "span-corruption"
    PAIRS = "pairs"


class Temperature(StrEnum):
    """Relation temperatures."""

    PUBLISHED = "published"
    CALIBRATED = "calibrated"


class Logits(StrEnum):
    """Kinds of cached next-token distributions."""

    TOP_K = "top-k"
    SAMPLED = "sampled"
    HYBRID = "hybrid"
    NONE = "none"


class Codec(StrEnum):
    """Integer codecs."""

    PCODEC = "pcodec"
    ZSTD = "zstd"


class Dtype(StrEnum):
    """Dtypes of the teacher's forward."""

    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"


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
            _stop("the GPU is out of memory: lower --batch-size, or raise --accumulate of train-student", 2)
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
def dump_teacher(
    teacher: Annotated[str, Opt(help="Folder or hub name of a T5, T5 v1.1, Flan-T5, mT5 or umT5 checkpoint.")],
    corpus: Annotated[
        list[str],
        Opt(
            help="python-docs; a file or glob of .txt, .jsonl[.gz] or .parquet; or hf:NAME[:CONFIG][@REVISION], which may also "
            "be a local folder. Repeatable: several are mixed document by document; one that ends leaves the rest to the others."
        ),
    ],
    cache: Annotated[
        str,
        Opt(help="Directory or s3://, gs://, az:// URL of the cache. A dump that is already there is continued."),
    ],
    examples: Annotated[int, Opt(help="Training examples. A larger number in a later run appends.")],
    teacher_revision: Annotated[str | None, Opt(help="Branch, tag or commit of a hub teacher.")] = None,
    corpus_weight: Annotated[
        list[float] | None,
        Opt(
            help="Share of documents, relative to the others: one per --corpus in their order, or none for equal shares."
        ),
    ] = None,
    shuffle_buffer: Annotated[
        int, Opt(help="Documents in memory from which the next one is drawn; 0 keeps the order of the corpora.")
    ] = 0,
    field: Annotated[
        list[str] | None,
        Opt(help="Field that holds the text, in every corpus (default: text); give it twice for --objective pairs."),
    ] = None,
    split: Annotated[str, Opt(help="Split of the hf: corpora.")] = "train",
    objective: Annotated[
        DataObjective, Opt(help="T5 span corruption of text, or ready-made input/target pairs.")
    ] = DataObjective.SPAN_CORRUPTION,
    input_length: Annotated[int, Opt(help="Input tokens per example, EOS included.")] = 512,
    target_length: Annotated[int, Opt(help="Longest target of a pair; span corruption derives its own.")] = 128,
    noise_density: Annotated[float, Opt(help="Share of tokens that span corruption removes.")] = 0.15,
    mean_span: Annotated[float, Opt(help="Mean length of a removed span.")] = 3.0,
    passes: Annotated[int, Opt(help="Times that the corpus may be gone through, with fresh corruptions.")] = 1,
    validation_examples: Annotated[int, Opt(help="Held-out examples, from documents that training never sees.")] = 512,
    signals: Annotated[
        str,
        Opt(
            help="Sites whose Q, K, V are cached, SITE[@LAYER] with commas; the last layer by default. '' for none. "
            "encoder.hidden and decoder.hidden cache the output of a layer."
        ),
    ] = "encoder.self,decoder.self,decoder.cross",
    relation_kl: Annotated[
        float, Opt(help="Target: mean KL (nats) from the teacher's relations to the cached ones.")
    ] = 1e-3,
    relation_step: Annotated[float | None, Opt(help="Fixed quantiser step instead of a target.")] = None,
    relation_rank: Annotated[int | None, Opt(help="Most components per relation code.")] = None,
    relation_temperature: Annotated[
        Temperature,
        Opt(
            help="published: softmax(A A'/sqrt(d_r)). calibrated: sharpened per relation to a relative entropy of 0.8."
        ),
    ] = Temperature.PUBLISHED,
    hidden_error: Annotated[
        float, Opt(help="Target for hidden states: squared error relative to their energy about their mean.")
    ] = 1e-3,
    logits: Annotated[Logits, Opt(help="Next-token distributions to cache.")] = Logits.TOP_K,
    top_k: Annotated[int, Opt(help="top-k: entries kept per target position; the rest is one tail.")] = 64,
    top_p: Annotated[float, Opt(help="top-k: probability at which a list may end before k.")] = 1.0,
    draws: Annotated[
        int,
        Opt(
            help="sampled: draws per position. hybrid: ids above 1/DRAWS are kept, the rest is drawn in such portions."
        ),
    ] = 20,
    logit_step: Annotated[float, Opt(help="Quantiser step of log-probabilities, in nats.")] = 1 / 8,
    calibration_examples: Annotated[int, Opt(help="Training examples that bases and steps are fitted on.")] = 160,
    batch_size: Annotated[int, Opt(help="Examples per teacher forward.")] = 16,
    shard_examples: Annotated[int, Opt(help="Examples per shard, the unit of publishing.")] = 256,
    dtype: Annotated[Dtype, Opt(help="Dtype of the teacher.")] = Dtype.FLOAT32,
    device: Annotated[str, Opt(help="auto, cpu, cuda or cuda:N.")] = "auto",
    codec: Annotated[
        Codec, Opt(help="pcodec (smaller), or zstd (core Zarr codecs alone, faster to write).")
    ] = Codec.PCODEC,
    threads: Annotated[
        int | None,
        Opt(
            help="CPU threads, part of what decides the bytes: by default the plan's own, or the machine's cores, at most 8, "
            "for a new one; OMP_NUM_THREADS is not asked."
        ),
    ] = None,
    shards: Annotated[
        str | None,
        Opt(
            help="Dump only these positions of the shard table (validation first, then training): A:B, the end excluded; "
            "A: and :B too, and several with commas."
        ),
    ] = None,
    seed: Annotated[int, Opt(help="Seed of mixing, shuffling, corruption and the choice of held-out documents.")] = 0,
    mixed_environment: Annotated[
        bool, Opt("--mixed-environment", help="Go on with a cache begun on another machine; not byte-identical then.")
    ] = False,
) -> None:
    """Stage one: run the teacher over a corpus once and cache its signals. Run it again to resume or to grow.

    Several processes may write one cache at once: the same command many times over, under torchrun, or each with its --shards.
    """
    from .teacher_dump.config import DumpConfig
    from .teacher_dump.dump import dump_teacher as run

    pair = objective is DataObjective.PAIRS
    fields = tuple(field) if field else (("input", "target") if pair else ("text",))
    run(
        DumpConfig(
            teacher=teacher,
            teacher_revision=teacher_revision,
            corpus=tuple(corpus),
            corpus_weight=tuple(corpus_weight or ()),
            shuffle_buffer=shuffle_buffer,
            cache=cache,
            examples=examples,
            field=fields,
            split=split,
            objective=objective.value,
            input_length=input_length,
            target_length=target_length,
            noise_density=noise_density,
            mean_span=mean_span,
            passes=passes,
            validation_examples=validation_examples,
            signals=signals,
            relation_kl=relation_kl,
            relation_step=relation_step,
            relation_rank=relation_rank,
            relation_temperature=relation_temperature.value,
            hidden_error=hidden_error,
            logits=logits.value,
            top_k=top_k,
            top_p=top_p,
            draws=draws,
            logit_step=logit_step,
            calibration_examples=calibration_examples,
            batch_size=batch_size,
            shard_examples=shard_examples,
            dtype=dtype.value,
            device=device,
            codec=codec.value,
            threads=threads,
            shards=shards,
            seed=seed,
            mixed_environment=mixed_environment,
        ),
        say=typer.echo,
    )


OBJECTIVE_HELP = (
    "scratch: hard labels. logits: KL to the cached distribution. minilm: decoder self-attention relations. "
    "implicit: logits + minilm. miniend-d: implicit + cross-attention relations. miniend-e: implicit + encoder self-attention "
    "relations. Self-attention terms are the mean of the QQ, KK and VV relation KLs of the last layers (MiniLMv2 form), "
    "causal in the decoder; for the cross term see --cross-relation. "
    "Which objectives the paper's table names beside MiniEnD is inferred."
)


@app.command("train-student")
@plainly
def train_student(
    cache: Annotated[str, Opt(help="Directory or URL of a cache that dump-teacher wrote.")],
    output: Annotated[
        Path, Opt(help="Hugging Face model directory to write. A run that is already there is continued.")
    ],
    size: Annotated[
        str | None,
        Opt(help="6L384H (the default), 6E3D384H for unequal depths, or a T5 config.json.", show_default=False),
    ] = None,
    objective: Annotated[ObjectiveName, Opt(help=OBJECTIVE_HELP)] = ObjectiveName.MINIEND_E,
    logits: Annotated[
        bool, Opt("--logits/--no-logits", help="Keep or drop the logit term of miniend-d and -e.")
    ] = True,
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
    accumulate: Annotated[int, Opt(help="Forward passes that a step's batch is split into.")] = 1,
    optimizer: Annotated[
        Optimizer, Opt(help="adamw, or adafactor, its steps relative to each matrix's RMS and at most 1/sqrt(step).")
    ] = Optimizer.ADAMW,
    learning_rate: Annotated[
        float | None, Opt(help="Peak; 3e-4 for adamw and 1e-2 for adafactor unless given.")
    ] = None,
    warmup_steps: Annotated[int | None, Opt(help="Linear warm-up; a hundredth of the steps unless given.")] = None,
    schedule: Annotated[Schedule, Opt(help="Learning rate after warm-up.")] = Schedule.LINEAR,
    weight_decay: Annotated[float, Opt(help="Decoupled weight decay of matrices.")] = 0.01,
    clip: Annotated[float, Opt(help="Largest global gradient norm; 0 does not clip.")] = 1.0,
    bf16: Annotated[
        bool,
        Opt(
            "--bf16",
            help="bfloat16 autocast for the student's forward; the losses themselves and evaluation are float32.",
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
) -> None:
    """Stage two: train a student from a cache, without the teacher. Run it again to resume."""
    from .student_train.config import TrainConfig
    from .student_train.train import train_student as run

    run(
        TrainConfig(
            cache=cache,
            output=output,
            size=size,
            objective=objective.value,
            logits=logits,
            cross_relation=cross_relation.value,
            relation_heads=relation_heads,
            weight=tuple(weight or ()),
            steps=steps,
            batch_size=batch_size,
            accumulate=accumulate,
            optimizer=optimizer.value,
            learning_rate=learning_rate,
            warmup_steps=warmup_steps,
            schedule=schedule.value,
            weight_decay=weight_decay,
            clip=clip,
            bf16=bf16,
            device=device,
            seed=seed,
            init=init,
            init_from_teacher=init_from_teacher,
            log_every=log_every,
            save_every=save_every,
            eval_every=eval_every,
            allow_unfinished=allow_unfinished,
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
    from .recipes.inspection import describe, inspect_cache

    if plot is not None:
        from .recipes.inspection_plot import plot_cache

        plot_cache(directory, plot)
    facts = inspect_cache(directory)
    lines = [json.dumps(facts, indent=2)] if as_json else describe(facts)
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
    from .recipes.verify import describe, verify_cache

    if repair:
        from .recipes.repair import RepairConfig, repair_cache

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
def demo(
    output: Annotated[Path, Opt(help="Directory for everything that the demo writes.")] = Path("demo-output"),
) -> None:
    """The whole story on Python's own documentation, on a CPU, in minutes: teacher, cache, students, table and picture."""
    from .recipes.demo import run_demo

    if not run_demo(output, say=typer.echo):
        raise typer.Exit(1)


def main() -> None:
    """Entry point of the console script."""
    app()
