"""The options that say what a dump is, declared once for all commands that take them."""

import inspect
from collections.abc import Callable
from enum import StrEnum
from functools import wraps
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from .teacher_dump.config import DumpConfig

Opt = typer.Option


class DataTask(StrEnum):
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


def dump_config(
    teacher: Annotated[str, Opt(help="Folder or hub name of a T5, T5 v1.1, Flan-T5, mT5 or umT5 checkpoint.")],
    corpus: Annotated[
        list[str],
        Opt(
            help="python-docs; a file or glob of .txt, .jsonl[.gz] or .parquet; or hf:NAME[:CONFIG][@REVISION], which may also "
            "be a local folder. Repeatable: several are mixed document by document; one that ends leaves the rest to the others."
        ),
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
        Opt(help="Field that holds the text, in every corpus (default: text); give it twice for --task pairs."),
    ] = None,
    split: Annotated[str, Opt(help="Split of the hf: corpora.")] = "train",
    task: Annotated[
        DataTask, Opt(help="T5 span corruption of text, or ready-made input/target pairs.")
    ] = DataTask.SPAN_CORRUPTION,
    input_length: Annotated[int, Opt(help="Input tokens per example, EOS included.")] = 512,
    target_length: Annotated[int, Opt(help="Longest target of a pair; span corruption derives its own.")] = 128,
    noise_density: Annotated[float, Opt(help="Share of tokens that span corruption removes.")] = 0.15,
    mean_noise_span_length: Annotated[float, Opt(help="Mean length of a removed span.")] = 3.0,
    corpus_epochs: Annotated[int, Opt(help="Times that the corpus may be gone through, with fresh corruptions.")] = 1,
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
    logits: Annotated[Logits, Opt(help="Next-token distributions to cache.")] = Logits.HYBRID,
    top_k: Annotated[int, Opt(help="top-k: entries kept per target position; the rest is one tail.")] = 64,
    top_p: Annotated[float, Opt(help="top-k: probability at which a list may end before k.")] = 1.0,
    temperatures: Annotated[
        list[float] | None,
        Opt(help="top-k: a temperature beside 1 at which students may ask for the distributions; repeatable."),
    ] = None,
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
    *,
    cache: str,
    force: bool = False,
    mixed_environment: bool = False,
) -> "DumpConfig":
    """The settings that these options ask for."""
    from .teacher_dump.config import DumpConfig

    pair = task is DataTask.PAIRS
    fields = tuple(field) if field else (("input", "target") if pair else ("text",))
    return DumpConfig(
        teacher=teacher,
        teacher_revision=teacher_revision,
        corpus=tuple(corpus),
        corpus_weight=tuple(corpus_weight or ()),
        shuffle_buffer=shuffle_buffer,
        examples=examples,
        field=fields,
        split=split,
        task=task.value,
        input_length=input_length,
        target_length=target_length,
        noise_density=noise_density,
        mean_noise_span_length=mean_noise_span_length,
        corpus_epochs=corpus_epochs,
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
        temperatures=tuple(temperatures or ()),
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
        cache=cache,
        force=force,
        mixed_environment=mixed_environment,
    )


def with_dump_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of `dump_config` in the place of its own `**options`, for typer, which reads signatures."""
    shared = [p for p in inspect.signature(dump_config).parameters.values() if p.kind is not p.KEYWORD_ONLY]
    own = [p for p in inspect.signature(command).parameters.values() if p.kind is not p.VAR_KEYWORD]

    @wraps(command)
    def run(**options: Any) -> None:
        command(**options)

    merged = sorted((*shared, *own), key=lambda p: p.default is not p.empty)  # the required ones first
    keywords = [p.replace(kind=p.KEYWORD_ONLY) for p in merged]
    run.__dict__["__signature__"] = inspect.Signature(keywords)
    return run
