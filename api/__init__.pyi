# Written by docs/reference/generate.py; change the options, and run it again.

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

from transformers import PreTrainedModel, PreTrainedTokenizerBase

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

def compare(
    file: str | Path = ...,
    *,
    output: str | Path,
    plan: bool = False,
    log: Callable[[str], None] | None = None,
    config: str | Path | None = None,
    plugin: str | Sequence[str] = (),
    quiet: bool = False,
    verbose: bool = False,
) -> Comparison:
    """
    Compare objectives and sizes as a YAML file says: train every row with equal steps and seeds, and evaluate it.

        comparison = miniend.compare("comparison.yaml", output="compared")
        comparison.report, comparison.results.students

    Call it again to resume. With `plan=True` it only says how long it would take.

    Essential:
        file: str | Path
            YAML file that says what is compared; see docs/guide/compare.md. [default: what output
            records]
        output: str | Path
            Directory for caches, students, evaluations and report. Finished work is kept, and so is the
            file: to go on, this option is enough. [required]
        plan: bool
            Time a little of everything, print the planned hours, and stop. [default: off]

    Advanced:
        log: Callable[[str], None] | None
            A function that gets each line for people. [default: print]
        config: str | Path | None
            YAML file of options, by their names with underscores. Options on the command line win.
            Every output has such a file, so a run can be repeated. [default: none]
        plugin: str | Sequence[str]
            Python file or module to import first; it can register objectives, terms and more. One, or a
            sequence. [default: none]
        quiet: bool
            Print only results, warnings and errors, and no progress. [default: off]
        verbose: bool
            Print versions, threads, plan and times too, and with an error where it came from. [default:
            off]
    """

def dry_run(
    *,
    cache: str | Path,
    output: str | Path,
    steps: int = 10000,
    batch_size: int = 32,
    learning_rate: float | None = None,
    objective: Literal["scratch", "logits", "minilm", "implicit", "miniend-d", "miniend-e", "hidden", "direct", "kd", "lwd", "ted", "encoder"] | str | Sequence[str] = "miniend-e",
    size: str | Path | Sequence[str | Path] | None = None,
    optimizer: Literal["adamw", "adafactor"] | str = "adafactor",
    warmup_steps: int | None = None,
    schedule: Literal["linear", "cosine", "constant", "inverse-sqrt"] | str = "linear",
    weight_decay: float = 0.01,
    max_grad_norm: float = 1.0,
    logits: bool = True,
    temperature: float = 1.0,
    cross_relation: Literal["qk", "qq_kk_vv"] | str = "qk",
    relation_heads: int | None = None,
    weight: str | Sequence[str] = (),
    init: str | Path | PreTrainedModel | None = None,
    keep: float | None = None,
    mapping: Literal["last", "uniform", "last-k", "all", "consecutive", "uniform+last"] | str = "uniform",
    stacks: Literal["both", "encoder", "decoder"] | str = "both",
    teacher_layer: str | Sequence[str] = (),
    hidden_norm: Literal["rms", "none"] | str = "rms",
    hidden_scale: Literal["energy", "mean"] | str = "energy",
    hidden_metric: Literal["plain", "whitened"] | str = "plain",
    projection: Literal["auto", "always", "shared"] | str = "auto",
    direct_heads: int | None = None,
    filter_steps: int = 500,
    gradient_accumulation_steps: int = 1,
    bf16: bool = False,
    gradient_checkpointing: bool = False,
    device: str = "auto",
    log: Callable[[str], None] | None = None,
    log_every: int = 10,
    save_every: int = 500,
    eval_every: int = 500,
    tracker: str | Sequence[str] = (),
    seed: int = 0,
    allow_unfinished: bool = False,
    config: str | Path | None = None,
    plugin: str | Sequence[str] = (),
    quiet: bool = False,
    verbose: bool = False,
) -> list[DryRun]:
    """
    Say what `train_students` with the same keywords would need in memory, FLOPs, disk and hours, after a few steps of each.

        (run,) = miniend.dry_run(cache="docs-t5-small", output="student", size="2L128H", steps=300)

    Nothing is written.

    Essential:
        cache: str | Path
            Directory or URL of a cache that dump-teacher wrote. [required]
        output: str | Path
            Hugging Face model directory to write. A run that is already there is continued, and only
            what is to change need be given. [required]
        steps: int
            Optimizer steps. A larger number in a later run continues the student. [default: 10000]
        batch_size: int
            Examples per optimizer step. [default: 32]
        learning_rate: float | None
            Learning rate after warm-up. [default: 0.05 for adafactor, 0.001 for adamw]
        objective: Literal["scratch", "logits", "minilm", "implicit", "miniend-d", "miniend-e", "hidden", "direct", "kd", "lwd", "ted", "encoder"] | str | Sequence[str]
            scratch: hard labels. logits: KL to the cached distribution. minilm: relations of decoder
            self-attention. implicit: logits and minilm. miniend-d: implicit and relations of
            cross-attention. miniend-e: implicit and relations of encoder self-attention. kd: hard
            labels and logits. hidden: hidden states of several layers. lwd: kd and hidden, with learned
            maps. direct: Q, K and V of self-attentions. One, or a sequence, like size. [default:
            miniend-e]
        size: str | Path | Sequence[str | Path] | None
            6L384H, 6E3D384H for unequal depths, or a T5 config.json. One, or a sequence: several
            students train in one pass, each in OUTPUT/SIZE-OBJECTIVE. [default: half the teacher's
            depth and width]

    Training:
        optimizer: Literal["adamw", "adafactor"] | str
            adafactor makes steps relative to each matrix's RMS and at most 1/sqrt(step). adamw has one
            rate for all weights. [default: adafactor]
        warmup_steps: int | None
            Steps of linear warm-up. [default: a hundredth of the steps]
        schedule: Literal["linear", "cosine", "constant", "inverse-sqrt"] | str
            Learning rate after warm-up. [default: linear]
        weight_decay: float
            Decoupled weight decay of matrices. [default: 0.01]
        max_grad_norm: float
            Largest global gradient norm; 0 does not clip. [default: 1]
        logits: bool
            False: Drop the logit term of miniend-d and miniend-e. [default: kept]
        temperature: float
            Temperature of teacher and student in the logit term: 1, or one of the temperature of the
            dump; any with logits from-hidden. [default: 1]
        cross_relation: Literal["qk", "qq_kk_vv"] | str
            Our readings of the paper's cross-attention term: qk is the attention itself, re-headed;
            qq_kk_vv is MiniLMv2's form. [default: qk]
        relation_heads: int | None
            Relation heads. [default: the largest of 32, 24, 16, 12, 8 that divides both widths]
        weight: str | Sequence[str]
            Weight of a term: labels, logits, decoder_self, cross, encoder_self, encoder_hidden,
            decoder_hidden, encoder_direct or decoder_direct. A weight adds labels or logits to hidden
            and direct. One, or a sequence. [default: 1 for each term]
        init: str | Path | PreTrainedModel | None
            Where the student starts: a checkpoint of a student, which brings its size;
            teacher-layers:TEACHER for evenly spaced layers of its teacher, whose width the size must
            have; or pruned:SORTED for the first heads and neurons of a teacher that prune-teacher
            sorted. [default: fresh weights]
        keep: float | None
            For init pruned:SORTED: the fraction of the heads and of the feed-forward's neurons that the
            student keeps. It decides the size. [default: none]

    Layers:
        mapping: Literal["last", "uniform", "last-k", "all", "consecutive", "uniform+last"] | str
            The teacher's layers that a student's layer learns from in hidden and lwd. last: only the
            last from the last. uniform: evenly spaced ones. last-k: the teacher's last ones. all: each
            from its own, at equal depth. consecutive: groups of neighbours, which are all of the
            teacher's. uniform+last: two each, of uniform and of last-k. [default: uniform]
        stacks: Literal["both", "encoder", "decoder"] | str
            The stacks that hidden, lwd, ted and direct compare. [default: both]
        teacher_layer: str | Sequence[str]
            The teacher's layer that the student's last layer learns from, such as decoder.self=-2: from
            0, or negative from the end. For relations, for direct, and for hidden with mapping last.
            One, or a sequence. [default: the deepest that the cache holds]
        hidden_norm: Literal["rms", "none"] | str
            Hidden states are compared over their root mean square per token (rms), or as they are
            (none). [default: rms]
        hidden_scale: Literal["energy", "mean"] | str
            The squared error of a hidden state is divided by the teacher's centred energy, so that 1 is
            no better than a constant (energy), or by its width (mean). [default: energy]
        hidden_metric: Literal["plain", "whitened"] | str
            plain: all directions of a hidden state count alike. whitened: each counts by the inverse of
            its variance (an experiment). [default: plain]
        projection: Literal["auto", "always", "shared"] | str
            The map from the student's states to the teacher's. auto: none at equal widths, and else one
            learned map for each pair of layers; lwd always learns them. always: learned at equal widths
            too. shared: one learned map for all layers of a stack. direct always learns its maps.
            [default: auto]
        direct_heads: int | None
            Blocks that the learned maps of direct consist of; the number of heads gives a map for each
            head. [default: 1, a map of all heads together]
        filter_steps: int
            Steps on hard labels that train the student's own filters, its weights frozen, before an
            objective ted whose student init gave. 0 leaves them random, as in a fresh student.
            [default: 500]

    Speed:
        gradient_accumulation_steps: int
            Micro-batches per optimizer step. [default: 1]
        bf16: bool
            bfloat16 autocast for the student's forward; the losses and evaluation are float32.
            [default: off]
        gradient_checkpointing: bool
            Compute each block once more in the backward instead of keeping its activations: less
            memory, slower steps, on a CPU the same student. [default: off]
        device: str
            auto, cpu, cuda or cuda:N. [default: auto]

    Advanced:
        log: Callable[[str], None] | None
            A function that gets each line for people. [default: print]
        log_every: int
            Steps between lines of metrics.jsonl and TensorBoard. [default: 10]
        save_every: int
            Steps between checkpoints. [default: 500]
        eval_every: int
            Steps between evaluations on the validation examples. [default: 500]
        tracker: str | Sequence[str]
            Tracker of accelerate, such as wandb or mlflow, to write to in addition to TensorBoard. One,
            or a sequence. [default: none]
        seed: int
            Seed of the student's weights and of the order of examples. [default: 0]
        allow_unfinished: bool
            Train on the shards that an unfinished dump has published; a resumed run takes the same
            ones. [default: off]
        config: str | Path | None
            YAML file of options, by their names with underscores. Options on the command line win.
            Every output has such a file, so a run can be repeated. [default: none]
        plugin: str | Sequence[str]
            Python file or module to import first; it can register objectives, terms and more. One, or a
            sequence. [default: none]
        quiet: bool
            Print only results, warnings and errors, and no progress. [default: off]
        verbose: bool
            Print versions, threads, plan and times too, and with an error where it came from. [default:
            off]
    """

def dump_teacher(
    *,
    cache: str | Path,
    corpus: str | Path | Sequence[str | Path] = ...,
    examples: int = ...,
    teacher: str | Path | PreTrainedModel = ...,
    tokenizer: PreTrainedTokenizerBase | None = None,
    encoder_only: bool = False,
    input_length: int = 512,
    corpus_weight: float | Sequence[float] = (),
    shuffle_buffer: int = 0,
    drop_duplicates: bool = False,
    field: str | Sequence[str] = (),
    split: str = "train",
    task: Literal["span-corruption", "pairs", "text"] | str | None = None,
    shortest_input_length: int | None = None,
    prefix: str | None = None,
    residues: Literal["spaced"] | str | None = None,
    pipeline: Literal["flux", "sd3", "cogvideox", "ltx", "pixart", "wan", "mochi", "chroma", "hidream"] | str | None = None,
    target_length: int = 128,
    noise_density: float = 0.15,
    mean_noise_span_length: float = 3.0,
    sentinel_order: Literal["named", "reversed"] | str | None = None,
    corpus_epochs: int = 1,
    validation_examples: int = 512,
    signals: str | Sequence[str] = (),
    relation_kl: float = 0.003,
    relation_step: float | None = None,
    relation_rank: int | None = None,
    relation_temperature: Literal["published", "calibrated"] | str = "published",
    hidden_error: float | None = None,
    hidden_code: Literal["predicted", "separate"] | str = "predicted",
    logits: Literal["top-k", "sampled", "hybrid", "from-hidden", "none"] | str | None = None,
    top_k: int = 64,
    top_p: float = 1.0,
    temperatures: float | Sequence[float] = (),
    draws: int = 20,
    logit_step: float = 0.125,
    calibration_examples: int = 160,
    shard_examples: int = 256,
    batch_size: int = 16,
    dtype: Literal["float32", "bfloat16"] | str = "float32",
    codec: Literal["pcodec", "zstd"] | str = "pcodec",
    threads: int | None = None,
    device: str = "auto",
    shards: str | None = None,
    log: Callable[[str], None] | None = None,
    seed: int = 0,
    mixed_environment: bool = False,
    teacher_revision: str | None = None,
    force: bool = False,
    config: str | Path | None = None,
    plugin: str | Sequence[str] = (),
    quiet: bool = False,
    verbose: bool = False,
) -> Cache:
    """
    Run a teacher over a corpus once, cache its signals, and return the opened cache. Call it again to resume or to grow.

        cache = miniend.dump_teacher(
            teacher="google-t5/t5-small", corpus="python-docs", cache="docs-t5-small", examples=2000
        )
        cache.size, len(cache), cache[0].input_ids

    `teacher` can be a model in memory, with its `tokenizer`. It is neither changed nor written to the disk, and a dump from a
    folder and a dump from the model of that folder continue each other.

    Essential:
        cache: str | Path
            Directory or s3://, gs://, az:// URL of the cache. A dump that is already there is
            continued, and only what is to change need be given. [required]
        corpus: str | Path | Sequence[str | Path]
            python-docs, python-source; a file or quoted glob of .txt, .jsonl, .json, .csv, .tsv, .fasta
            (each also .gz or .zst) or .parquet; a folder of datasets.save_to_disk; or
            hf:NAME[:CONFIG][@REVISION], also of a local folder. One, or a sequence: several corpora are
            mixed document by document; when one ends, the others go on. [default: what cache records]
        examples: int
            Training examples. A larger number in a later run appends. [default: what cache records]
        teacher: str | Path | PreTrainedModel
            Folder or hub name of a T5, T5 v1.1, Flan-T5, mT5 or umT5 checkpoint; with encoder_only=True
            also of an encoder. [default: what cache records]
        tokenizer: PreTrainedTokenizerBase | None
            Tokenizer of a teacher that is a model in memory. [default: the one beside the teacher]
        encoder_only: bool
            Use only the teacher's encoder: a T5EncoderModel, or that of a full checkpoint. It reads
            each text as it is. [default: off]
        input_length: int
            Input tokens per example, EOS included. [default: 512]

    Corpus:
        corpus_weight: float | Sequence[float]
            Share of the documents, relative to the others: one per corpus, in their order. One, or a
            sequence. [default: equal shares]
        shuffle_buffer: int
            Documents in memory from which the next one is drawn; 0 keeps the order of the corpora.
            [default: 0]
        drop_duplicates: bool
            Leave out documents that came before, with all their texts. Takes about 100 bytes of memory
            for each document. [default: off]
        field: str | Sequence[str]
            Field that holds the text, of every corpus; twice for task pairs. a.b is a field inside
            another. Or name one, or two, for each corpus in their order. One, or a sequence. [default:
            text, or input and target for task pairs]
        split: str
            Split of hf: corpora and of saved datasets. [default: train]
        task: Literal["span-corruption", "pairs", "text"] | str | None
            T5 span corruption of text, ready-made pairs of input and target, or, for an encoder only,
            each text as it is. [default: span-corruption; text with encoder_only=True]
        shortest_input_length: int | None
            Draw the length of each example between this and input_length, all alike, so that a model
            which is trained on them does not learn the end of a target by its position. [default:
            input_length]
        prefix: str | None
            Text before every text, or before every input of a pair, such as 'summarize: '. [default:
            none]
        residues: Literal["spaced"] | str | None
            How protein sequences are spelled. spaced: a space between the letters, and X for U, Z, O
            and B, as ProtT5 and ProstT5 read them; ProstT5 also wants prefix '<AA2fold> '. [default: as
            they are written]
        pipeline: Literal["flux", "sd3", "cogvideox", "ltx", "pixart", "wan", "mochi", "chroma", "hidream"] | str | None
            The pipeline of diffusers that reads the states. For flux, sd3, cogvideox, ltx every text is
            padded to input_length, and the encoder reads the padding like text, as it does there. The
            others hide it. [default: none]
        target_length: int
            Longest target of a pair; span corruption derives its own. [default: 128]
        noise_density: float
            Share of the tokens that span corruption removes. [default: 0.15]
        mean_noise_span_length: float
            Mean length of a removed span, in tokens. [default: 3]
        sentinel_order: Literal["named", "reversed"] | str | None
            named: the first span is <extra_id_0>. reversed: it is the last sentinel, as in
            transformers' flax recipe. [default: named, if the teacher knows it]
        corpus_epochs: int
            Passes over the corpus at most; each has fresh corruptions. [default: 1]
        validation_examples: int
            Validation examples, from documents that training never sees. [default: 512]

    Fidelity:
        signals: str | Sequence[str]
            Site whose Q, K and V are cached: SITE[@LAYERS], the last layer unless given; or none.
            encoder.hidden and decoder.hidden cache the output of a layer, encoder.final that of the
            encoder's final norm. LAYERS is a layer (6, -1), a range (1-5), all, last:N, uniform:N, or
            several with commas. One, or a sequence. [default: encoder.self, decoder.self,
            decoder.cross; encoder.final with encoder_only=True]
        relation_kl: float
            Target: KL, in nats, from the teacher's relations to the cached ones, for the worst relation
            and number of heads. [default: 0.003]
        relation_step: float | None
            Fixed quantizer step instead of a target, in units of the direction in which errors cost
            most KL. [default: from relation_kl]
        relation_rank: int | None
            Most components per relation code. [default: no limit]
        relation_temperature: Literal["published", "calibrated"] | str
            published: softmax(A A'/sqrt(d_r)). calibrated: sharpened per relation to a relative entropy
            of 0.8. [default: published]
        hidden_error: float | None
            Target for hidden states: squared error, relative to their energy about their mean. One for
            all layers. [default: 0.01, or 0.001 with logits from-hidden]
        hidden_code: Literal["predicted", "separate"] | str
            predicted: of several layers of a stack, each is coded as what the layer below does not say.
            separate: by itself. [default: predicted]
        logits: Literal["top-k", "sampled", "hybrid", "from-hidden", "none"] | str | None
            The next-token distributions to cache. from-hidden caches the decoder's last state instead,
            and once the teacher's head: all ids at any temperature, as exact as hidden_error; the dump
            prints how exact, in nats. [default: hybrid; none with encoder_only=True]
        top_k: int
            top-k: entries kept per target position; the rest is one tail. [default: 64]
        top_p: float
            top-k: probability at which a list may end before k. [default: 1]
        temperatures: float | Sequence[float]
            top-k: a temperature other than 1 at which students can ask for the distributions. One, or a
            sequence. [default: none]
        draws: int
            sampled: draws per position. hybrid: ids above 1/DRAWS are kept, the rest is drawn in such
            portions. [default: 20]
        logit_step: float
            Quantizer step of log-probabilities, in nats. [default: 0.125]
        calibration_examples: int
            Training examples that bases and steps are fitted on. [default: 160]

    Speed:
        shard_examples: int
            Examples per shard, the unit of publishing. [default: 256]
        batch_size: int
            Examples per forward pass of the teacher. [default: 16]
        dtype: Literal["float32", "bfloat16"] | str
            Dtype of the teacher. [default: float32]
        codec: Literal["pcodec", "zstd"] | str
            pcodec is smaller; zstd writes faster and needs only core Zarr codecs to read. [default:
            pcodec]
        threads: int | None
            CPU threads, recorded in the plan because they affect the output. OMP_NUM_THREADS is
            ignored. [default: the plan's value, or up to 8 for a new cache]
        device: str
            auto, cpu, cuda or cuda:N. [default: auto]
        shards: str | None
            Dump only these positions of the shard table (validation first, then training): A:B, the end
            excluded; A: and :B too, and several with commas. [default: all]

    Advanced:
        log: Callable[[str], None] | None
            A function that gets each line for people. [default: print]
        seed: int
            Seed of mixing, shuffling, corruption and the choice of validation documents. [default: 0]
        mixed_environment: bool
            Continue a cache from another machine or other library versions; the bytes can then differ.
            [default: off]
        teacher_revision: str | None
            Branch, tag or commit of a hub teacher. [default: the newest commit]
        force: bool
            Write shards even if the disk seems too small for them. [default: off]
        config: str | Path | None
            YAML file of options, by their names with underscores. Options on the command line win.
            Every output has such a file, so a run can be repeated. [default: none]
        plugin: str | Sequence[str]
            Python file or module to import first; it can register objectives, terms and more. One, or a
            sequence. [default: none]
        quiet: bool
            Print only results, warnings and errors, and no progress. [default: off]
        verbose: bool
            Print versions, threads, plan and times too, and with an error where it came from. [default:
            off]
    """

def estimate(
    *,
    corpus: str | Path | Sequence[str | Path],
    examples: int,
    teacher: str | Path | PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase | None = None,
    encoder_only: bool = False,
    input_length: int = 512,
    sample_examples: int | None = None,
    epochs: float = 1.0,
    corpus_weight: float | Sequence[float] = (),
    shuffle_buffer: int = 0,
    drop_duplicates: bool = False,
    field: str | Sequence[str] = (),
    split: str = "train",
    task: Literal["span-corruption", "pairs", "text"] | str | None = None,
    shortest_input_length: int | None = None,
    prefix: str | None = None,
    residues: Literal["spaced"] | str | None = None,
    pipeline: Literal["flux", "sd3", "cogvideox", "ltx", "pixart", "wan", "mochi", "chroma", "hidream"] | str | None = None,
    target_length: int = 128,
    noise_density: float = 0.15,
    mean_noise_span_length: float = 3.0,
    sentinel_order: Literal["named", "reversed"] | str | None = None,
    corpus_epochs: int = 1,
    validation_examples: int = 512,
    signals: str | Sequence[str] = (),
    relation_kl: float = 0.003,
    relation_step: float | None = None,
    relation_rank: int | None = None,
    relation_temperature: Literal["published", "calibrated"] | str = "published",
    hidden_error: float | None = None,
    hidden_code: Literal["predicted", "separate"] | str = "predicted",
    logits: Literal["top-k", "sampled", "hybrid", "from-hidden", "none"] | str | None = None,
    top_k: int = 64,
    top_p: float = 1.0,
    temperatures: float | Sequence[float] = (),
    draws: int = 20,
    logit_step: float = 0.125,
    calibration_examples: int = 160,
    shard_examples: int = 256,
    batch_size: int = 16,
    dtype: Literal["float32", "bfloat16"] | str = "float32",
    codec: Literal["pcodec", "zstd"] | str = "pcodec",
    threads: int | None = None,
    device: str = "auto",
    shards: str | None = None,
    seed: int = 0,
    teacher_revision: str | None = None,
    config: str | Path | None = None,
    plugin: str | Sequence[str] = (),
    quiet: bool = False,
    verbose: bool = False,
) -> Estimate:
    """
    Estimate by a short trial how many GB and hours a dump takes here, and from how many students on it pays.

        plan = miniend.estimate(teacher="google-t5/t5-small", corpus="python-docs", examples=2000)
        plan.bytes["total"], plan.seconds["total"], plan.students_to_pay.students

    It takes the keywords of `dump_teacher`, also a model in memory.

    Essential:
        corpus: str | Path | Sequence[str | Path]
            python-docs, python-source; a file or quoted glob of .txt, .jsonl, .json, .csv, .tsv, .fasta
            (each also .gz or .zst) or .parquet; a folder of datasets.save_to_disk; or
            hf:NAME[:CONFIG][@REVISION], also of a local folder. One, or a sequence: several corpora are
            mixed document by document; when one ends, the others go on. [required]
        examples: int
            Training examples. A larger number in a later run appends. [required]
        teacher: str | Path | PreTrainedModel
            Folder or hub name of a T5, T5 v1.1, Flan-T5, mT5 or umT5 checkpoint; with encoder_only=True
            also of an encoder. [required]
        tokenizer: PreTrainedTokenizerBase | None
            Tokenizer of a teacher that is a model in memory. [default: the one beside the teacher]
        encoder_only: bool
            Use only the teacher's encoder: a T5EncoderModel, or that of a full checkpoint. It reads
            each text as it is. [default: off]
        input_length: int
            Input tokens per example, EOS included. [default: 512]
        sample_examples: int | None
            Examples in the trial dump; never more than examples. [default: one shard]
        epochs: float
            Epochs per student; used to compute how many students make the dump worthwhile. [default: 1]

    Corpus:
        corpus_weight: float | Sequence[float]
            Share of the documents, relative to the others: one per corpus, in their order. One, or a
            sequence. [default: equal shares]
        shuffle_buffer: int
            Documents in memory from which the next one is drawn; 0 keeps the order of the corpora.
            [default: 0]
        drop_duplicates: bool
            Leave out documents that came before, with all their texts. Takes about 100 bytes of memory
            for each document. [default: off]
        field: str | Sequence[str]
            Field that holds the text, of every corpus; twice for task pairs. a.b is a field inside
            another. Or name one, or two, for each corpus in their order. One, or a sequence. [default:
            text, or input and target for task pairs]
        split: str
            Split of hf: corpora and of saved datasets. [default: train]
        task: Literal["span-corruption", "pairs", "text"] | str | None
            T5 span corruption of text, ready-made pairs of input and target, or, for an encoder only,
            each text as it is. [default: span-corruption; text with encoder_only=True]
        shortest_input_length: int | None
            Draw the length of each example between this and input_length, all alike, so that a model
            which is trained on them does not learn the end of a target by its position. [default:
            input_length]
        prefix: str | None
            Text before every text, or before every input of a pair, such as 'summarize: '. [default:
            none]
        residues: Literal["spaced"] | str | None
            How protein sequences are spelled. spaced: a space between the letters, and X for U, Z, O
            and B, as ProtT5 and ProstT5 read them; ProstT5 also wants prefix '<AA2fold> '. [default: as
            they are written]
        pipeline: Literal["flux", "sd3", "cogvideox", "ltx", "pixart", "wan", "mochi", "chroma", "hidream"] | str | None
            The pipeline of diffusers that reads the states. For flux, sd3, cogvideox, ltx every text is
            padded to input_length, and the encoder reads the padding like text, as it does there. The
            others hide it. [default: none]
        target_length: int
            Longest target of a pair; span corruption derives its own. [default: 128]
        noise_density: float
            Share of the tokens that span corruption removes. [default: 0.15]
        mean_noise_span_length: float
            Mean length of a removed span, in tokens. [default: 3]
        sentinel_order: Literal["named", "reversed"] | str | None
            named: the first span is <extra_id_0>. reversed: it is the last sentinel, as in
            transformers' flax recipe. [default: named, if the teacher knows it]
        corpus_epochs: int
            Passes over the corpus at most; each has fresh corruptions. [default: 1]
        validation_examples: int
            Validation examples, from documents that training never sees. [default: 512]

    Fidelity:
        signals: str | Sequence[str]
            Site whose Q, K and V are cached: SITE[@LAYERS], the last layer unless given; or none.
            encoder.hidden and decoder.hidden cache the output of a layer, encoder.final that of the
            encoder's final norm. LAYERS is a layer (6, -1), a range (1-5), all, last:N, uniform:N, or
            several with commas. One, or a sequence. [default: encoder.self, decoder.self,
            decoder.cross; encoder.final with encoder_only=True]
        relation_kl: float
            Target: KL, in nats, from the teacher's relations to the cached ones, for the worst relation
            and number of heads. [default: 0.003]
        relation_step: float | None
            Fixed quantizer step instead of a target, in units of the direction in which errors cost
            most KL. [default: from relation_kl]
        relation_rank: int | None
            Most components per relation code. [default: no limit]
        relation_temperature: Literal["published", "calibrated"] | str
            published: softmax(A A'/sqrt(d_r)). calibrated: sharpened per relation to a relative entropy
            of 0.8. [default: published]
        hidden_error: float | None
            Target for hidden states: squared error, relative to their energy about their mean. One for
            all layers. [default: 0.01, or 0.001 with logits from-hidden]
        hidden_code: Literal["predicted", "separate"] | str
            predicted: of several layers of a stack, each is coded as what the layer below does not say.
            separate: by itself. [default: predicted]
        logits: Literal["top-k", "sampled", "hybrid", "from-hidden", "none"] | str | None
            The next-token distributions to cache. from-hidden caches the decoder's last state instead,
            and once the teacher's head: all ids at any temperature, as exact as hidden_error; the dump
            prints how exact, in nats. [default: hybrid; none with encoder_only=True]
        top_k: int
            top-k: entries kept per target position; the rest is one tail. [default: 64]
        top_p: float
            top-k: probability at which a list may end before k. [default: 1]
        temperatures: float | Sequence[float]
            top-k: a temperature other than 1 at which students can ask for the distributions. One, or a
            sequence. [default: none]
        draws: int
            sampled: draws per position. hybrid: ids above 1/DRAWS are kept, the rest is drawn in such
            portions. [default: 20]
        logit_step: float
            Quantizer step of log-probabilities, in nats. [default: 0.125]
        calibration_examples: int
            Training examples that bases and steps are fitted on. [default: 160]

    Speed:
        shard_examples: int
            Examples per shard, the unit of publishing. [default: 256]
        batch_size: int
            Examples per forward pass of the teacher. [default: 16]
        dtype: Literal["float32", "bfloat16"] | str
            Dtype of the teacher. [default: float32]
        codec: Literal["pcodec", "zstd"] | str
            pcodec is smaller; zstd writes faster and needs only core Zarr codecs to read. [default:
            pcodec]
        threads: int | None
            CPU threads, recorded in the plan because they affect the output. OMP_NUM_THREADS is
            ignored. [default: the plan's value, or up to 8 for a new cache]
        device: str
            auto, cpu, cuda or cuda:N. [default: auto]
        shards: str | None
            Dump only these positions of the shard table (validation first, then training): A:B, the end
            excluded; A: and :B too, and several with commas. [default: all]

    Advanced:
        seed: int
            Seed of mixing, shuffling, corruption and the choice of validation documents. [default: 0]
        teacher_revision: str | None
            Branch, tag or commit of a hub teacher. [default: the newest commit]
        config: str | Path | None
            YAML file of options, by their names with underscores. Options on the command line win.
            Every output has such a file, so a run can be repeated. [default: none]
        plugin: str | Sequence[str]
            Python file or module to import first; it can register objectives, terms and more. One, or a
            sequence. [default: none]
        quiet: bool
            Print only results, warnings and errors, and no progress. [default: off]
        verbose: bool
            Print versions, threads, plan and times too, and with an error where it came from. [default:
            off]
    """

def evaluate(
    *,
    output: str | Path,
    model: str | Path | PreTrainedModel = ...,
    tasks: str | Sequence[str] = ...,
    data: str | Path | None = None,
    seeds: int = 3,
    epochs: int = 3,
    training: bool = True,
    keep_model: bool = False,
    protocol: Literal["head", "text"] | str = "head",
    optimizer: Literal["adamw", "adafactor"] | str = "adamw",
    learning_rates: float | Sequence[float] = (),
    batch_size: int = 32,
    max_length: int | None = None,
    max_summary_length: int = 128,
    train_examples: int | None = None,
    eval_examples: int | None = None,
    bf16: bool = False,
    device: str = "auto",
    log: Callable[[str], None] | None = None,
    config: str | Path | None = None,
    plugin: str | Sequence[str] = (),
    quiet: bool = False,
    verbose: bool = False,
) -> EvaluationResults:
    """
    Fine-tune a model on GLUE or summarization and score it over several seeds. Call it again to resume.

        scores = miniend.evaluate(model="student", tasks="glue/sst2", output="scores")
        scores.results["sst2"]["accuracy"].mean

    `model` can be a student that `train_student` returned, or a model in memory. Only copies of it are trained.

    Essential:
        output: str | Path
            Directory for the results. Seeds that are already finished are not run again, and only what
            is to change need be given. [required]
        model: str | Path | PreTrainedModel
            Folder or hub name of any T5-family checkpoint, trained here or not. [default: what output
            records]
        tasks: str | Sequence[str]
            glue/ followed by sst2, mrpc, stsb, qqp, mnli (both development sets), qnli, rte, cola or
            wnli; or summarize/ followed by cnn_dailymail, xsum, scitldr or pairs. pairs takes any texts
            with summaries, in columns source/target, document/summary, article/highlights or
            text/summary. One, or a sequence. [default: what output records]
        data: str | Path | None
            Folder with train and dev as .tsv, .csv, .jsonl, .json (each also .gz or .zst) or .parquet,
            or a saved dataset, either directly or in a subfolder named after the task. Or one such
            file; a tenth of it becomes the development set. [default: from the hub; summarize/pairs
            needs it]
        seeds: int
            Fine-tunings per task, seeds 0, 1, ...; can be raised later. [default: 3]
        epochs: int
            Epochs of every fine-tuning. [default: 3]
        training: bool
            False: Score the model as it is, once, without fine-tuning: a teacher that was fine-tuned
            text to text, or a student of such a teacher. With protocol text, or summaries. [default:
            fine-tuned first]
        keep_model: bool
            Keep each fine-tuned model as OUTPUT/TASK/seed-N, a checkpoint that can be a teacher. With
            protocol text, or summaries. [default: off]

    Training:
        protocol: Literal["head", "text"] | str
            head: a new head on encoder and decoder, which read the same text. text: T5's prompts and
            label words. Summaries are always text. [default: head]
        optimizer: Literal["adamw", "adafactor"] | str
            adafactor takes steps relative to each matrix's RMS. It is T5's own optimizer and suits
            small students. [default: adamw]
        learning_rates: float | Sequence[float]
            One, or a sequence: the one with the best score on a tenth of train is used. A single one is
            used without a trial. [default: adamw: 1e-4, 2e-4, 3e-4 for head and 1e-4, 3e-4, 1e-3 for
            text and summaries; adafactor: 1e-3, 3e-3, 1e-2]
        batch_size: int
            Examples per step. [default: 32]
        max_length: int | None
            Tokens of an input; longer inputs are shortened. [default: 128 for GLUE, 512 for texts to
            summarize]
        max_summary_length: int
            Tokens of a summary: longer references are cut in training, and generation stops there.
            [default: 128]

    Speed:
        train_examples: int | None
            Examples to train on, drawn once. [default: all]
        eval_examples: int | None
            Examples of each development set to score on, drawn once. [default: all]
        bf16: bool
            bfloat16 autocast. [default: off]
        device: str
            auto, cpu or cuda. [default: auto]

    Advanced:
        log: Callable[[str], None] | None
            A function that gets each line for people. [default: print]
        config: str | Path | None
            YAML file of options, by their names with underscores. Options on the command line win.
            Every output has such a file, so a run can be repeated. [default: none]
        plugin: str | Sequence[str]
            Python file or module to import first; it can register objectives, terms and more. One, or a
            sequence. [default: none]
        quiet: bool
            Print only results, warnings and errors, and no progress. [default: off]
        verbose: bool
            Print versions, threads, plan and times too, and with an error where it came from. [default:
            off]
    """

def filters(
    *,
    cache: str | Path,
    teacher: str | Path | PreTrainedModel,
    filter: str | Sequence[str] = (),
    filter_width: int | None = None,
    filter_steps: int = 500,
    batch_size: int = 16,
    device: str = "auto",
    log: Callable[[str], None] | None = None,
    seed: int = 0,
    config: str | Path | None = None,
    plugin: str | Sequence[str] = (),
    quiet: bool = False,
    verbose: bool = False,
) -> Cache:
    """
    Add task-aware filters to a cache of hidden states, and return the cache. Its shards stay as they are.

        cache = miniend.filters(cache="states", teacher="google-t5/t5-small", filter_steps=200)
        cache.filters["decoder.hidden@5"].width

    `miniend.train_student(objective="ted", ...)` learns from filtered states. `teacher` can be a model in memory.

    Essential:
        cache: str | Path
            Directory or URL of a finished cache that holds hidden states. The filters are added to it;
            its shards stay. [required]
        teacher: str | Path | PreTrainedModel
            Folder or hub name of the teacher from which the cache was dumped. Its weights are checked
            against the cache. [required]
        filter: str | Sequence[str]
            Layers that get a filter, such as encoder.hidden@uniform:6. The cache must hold their
            states. One, or a sequence. [default: six of each stack's stored layers, at equal distances,
            or all of fewer]
        filter_width: int | None
            Width of what a filter returns. [default: a quarter of the teacher's width, rounded to 64]

    Training:
        filter_steps: int
            Steps of training the filters, all together; 0 leaves them at the principal directions of
            the states. [default: 500]
        batch_size: int
            Training examples of a step, from the front of the cache. [default: 16]

    Speed:
        device: str
            auto, cpu, cuda or cuda:N. [default: auto]

    Advanced:
        log: Callable[[str], None] | None
            A function that gets each line for people. [default: print]
        seed: int
            Seed of which encoder filter a step trains. [default: 0]
        config: str | Path | None
            YAML file of options, by their names with underscores. Options on the command line win.
            Every output has such a file, so a run can be repeated. [default: none]
        plugin: str | Sequence[str]
            Python file or module to import first; it can register objectives, terms and more. One, or a
            sequence. [default: none]
        quiet: bool
            Print only results, warnings and errors, and no progress. [default: off]
        verbose: bool
            Print versions, threads, plan and times too, and with an error where it came from. [default:
            off]
    """

def inspect(
    cache: str | Path,
    *,
    plot: str | Path | None = None,
    config: str | Path | None = None,
    plugin: str | Sequence[str] = (),
    quiet: bool = False,
    verbose: bool = False,
) -> CacheFacts:
    """
    Return what is in a cache, how large it is and how faithful.

    facts = miniend.inspect("docs-t5-small", plot="docs-t5-small.png")
    facts.bytes.total, facts.fidelity.logits.gradient_angle

    Essential:
        cache: str | Path
            Directory or URL of a cache, finished or not. [required]
        plot: str | Path | None
            Also draw sizes, spectra and fidelity into this .png, .svg or .pdf file. [default: no
            picture]

    Advanced:
        config: str | Path | None
            YAML file of options, by their names with underscores. Options on the command line win.
            Every output has such a file, so a run can be repeated. [default: none]
        plugin: str | Sequence[str]
            Python file or module to import first; it can register objectives, terms and more. One, or a
            sequence. [default: none]
        quiet: bool
            Print only results, warnings and errors, and no progress. [default: off]
        verbose: bool
            Print versions, threads, plan and times too, and with an error where it came from. [default:
            off]
    """

def judge_encoder(
    *,
    model: str | Path,
    cache: str | Path,
    examples: int | None = None,
    batch_size: int = 32,
    device: str = "auto",
    config: str | Path | None = None,
    plugin: str | Sequence[str] = (),
    quiet: bool = False,
    verbose: bool = False,
) -> EncoderFacts:
    """
    Compare an encoder's final states with its teacher's, on a cache's texts that nobody trained on.

    found = miniend.judge_encoder(model="student", cache="prompts")
    found.explained, found.cosine, found.same_nearest

    Essential:
        model: str | Path
            Folder or hub name of a student, of a saved ProjectedT5Encoder, or of any T5-family
            checkpoint, whose encoder is judged. [required]
        cache: str | Path
            Directory or URL of a finished cache that holds encoder.final. Its validation texts are
            read. [required]

    Speed:
        examples: int | None
            Validation texts to read, from the front. [default: all]
        batch_size: int
            Texts that the encoder reads at once. [default: 32]
        device: str
            auto, cpu, cuda or cuda:N. [default: auto]

    Advanced:
        config: str | Path | None
            YAML file of options, by their names with underscores. Options on the command line win.
            Every output has such a file, so a run can be repeated. [default: none]
        plugin: str | Sequence[str]
            Python file or module to import first; it can register objectives, terms and more. One, or a
            sequence. [default: none]
        quiet: bool
            Print only results, warnings and errors, and no progress. [default: off]
        verbose: bool
            Print versions, threads, plan and times too, and with an error where it came from. [default:
            off]
    """

def prune_teacher(
    *,
    output: str | Path,
    teacher: str | Path | PreTrainedModel = ...,
    cache: str | Path = ...,
    examples: int = 64,
    importance: Literal["measured", "gradient"] | str = "measured",
    device: str = "auto",
    log: Callable[[str], None] | None = None,
    config: str | Path | None = None,
    plugin: str | Sequence[str] = (),
    quiet: bool = False,
    verbose: bool = False,
) -> SortedTeacher:
    """
    Sort a teacher's heads and neurons by importance, so that students start as its most important part.

        sorted_teacher = miniend.prune_teacher(teacher="google-t5/t5-small", cache="docs-t5-small", output="sorted")
        sorted_teacher.pruning.table[0].cross_entropy

    A student with `init="pruned:sorted", keep=0.5` starts as half of it. `teacher` can be a model in memory, which stays as it
    is.

    Essential:
        output: str | Path
            Directory for the sorted teacher, a checkpoint. [required]
        teacher: str | Path | PreTrainedModel
            Folder or hub name of the teacher from which the cache was dumped. Its weights are checked
            against the cache. [default: what output records]
        cache: str | Path
            Directory or URL of a finished cache, whose examples decide what is important. [default:
            what output records]
        examples: int
            Training examples, the first of the cache, on which importance is measured; 32 or more.
            [default: 64]
        importance: Literal["measured", "gradient"] | str
            measured: a self-attention head is as important as the loss without it says; all else by the
            gradient. gradient: MiniDisc's gradient of the loss by masks for all, which is faster and
            worse for self-attention heads. [default: measured]

    Speed:
        device: str
            auto, cpu, cuda or cuda:N. [default: auto]

    Advanced:
        log: Callable[[str], None] | None
            A function that gets each line for people. [default: print]
        config: str | Path | None
            YAML file of options, by their names with underscores. Options on the command line win.
            Every output has such a file, so a run can be repeated. [default: none]
        plugin: str | Sequence[str]
            Python file or module to import first; it can register objectives, terms and more. One, or a
            sequence. [default: none]
        quiet: bool
            Print only results, warnings and errors, and no progress. [default: off]
        verbose: bool
            Print versions, threads, plan and times too, and with an error where it came from. [default:
            off]
    """

def push_cache(
    name: str,
    *,
    cache: str | Path,
    hub_private_repo: bool = False,
    log: Callable[[str], None] | None = None,
    verify: bool = True,
    allow_unfinished: bool = False,
    config: str | Path | None = None,
    plugin: str | Sequence[str] = (),
    quiet: bool = False,
    verbose: bool = False,
) -> str:
    """
    Upload a cache to the Hugging Face hub, and return the URL that `train_student` and `open_cache` take.

        url = miniend.push_cache("me/c4-t5-base", cache="c4-t5-base")

    Call it again to resume.

    Essential:
        name: str
            Data set on the Hugging Face hub; it is made if it does not exist. [required]
        cache: str | Path
            Directory of the cache. [required]
        hub_private_repo: bool
            Make a new data set private. One that exists stays as it is. [default: the hub's own:
            public, unless the organization says otherwise]

    Advanced:
        log: Callable[[str], None] | None
            A function that gets each line for people. [default: print]
        verify: bool
            False: Do not read every byte of the cache first, by which a damaged one is refused.
            [default: read first]
        allow_unfinished: bool
            Upload what an unfinished dump has published so far. [default: off]
        config: str | Path | None
            YAML file of options, by their names with underscores. Options on the command line win.
            Every output has such a file, so a run can be repeated. [default: none]
        plugin: str | Sequence[str]
            Python file or module to import first; it can register objectives, terms and more. One, or a
            sequence. [default: none]
        quiet: bool
            Print only results, warnings and errors, and no progress. [default: off]
        verbose: bool
            Print versions, threads, plan and times too, and with an error where it came from. [default:
            off]
    """

def schedule(
    *,
    output: str | Path,
    cache: str | Path = ...,
    init: str = ...,
    keep: str = ...,
    target: float = ...,
    steps: int = 10000,
    batch_size: int = 32,
    learning_rate: float | None = None,
    objective: Literal["scratch", "logits", "minilm", "implicit", "miniend-d", "miniend-e", "hidden", "direct", "kd", "lwd", "ted", "encoder"] | str = "miniend-e",
    tradeoff: float = 0.2,
    score: Literal["information", "accuracy", "kl"] | str = "information",
    optimizer: Literal["adamw", "adafactor"] | str = "adafactor",
    warmup_steps: int | None = None,
    schedule: Literal["linear", "cosine", "constant", "inverse-sqrt"] | str = "linear",
    weight_decay: float = 0.01,
    max_grad_norm: float = 1.0,
    logits: bool = True,
    temperature: float = 1.0,
    cross_relation: Literal["qk", "qq_kk_vv"] | str = "qk",
    relation_heads: int | None = None,
    weight: str | Sequence[str] = (),
    sandwich_sample: int | None = None,
    independent: bool = False,
    mapping: Literal["last", "uniform", "last-k", "all", "consecutive", "uniform+last"] | str = "uniform",
    stacks: Literal["both", "encoder", "decoder"] | str = "both",
    teacher_layer: str | Sequence[str] = (),
    hidden_norm: Literal["rms", "none"] | str = "rms",
    hidden_scale: Literal["energy", "mean"] | str = "energy",
    hidden_metric: Literal["plain", "whitened"] | str = "plain",
    projection: Literal["auto", "always", "shared"] | str = "auto",
    direct_heads: int | None = None,
    filter_steps: int = 500,
    gradient_accumulation_steps: int = 1,
    bf16: bool = False,
    gradient_checkpointing: bool = False,
    device: str = "auto",
    log: Callable[[str], None] | None = None,
    log_every: int = 10,
    save_every: int = 500,
    eval_every: int = 500,
    tracker: str | Sequence[str] = (),
    seed: int = 0,
    save_all: bool = False,
    allow_unfinished: bool = False,
    config: str | Path | None = None,
    plugin: str | Sequence[str] = (),
    quiet: bool = False,
    verbose: bool = False,
) -> Schedule | None:
    """
    Find the best size of an assistant in one trial: all candidates of a sorted teacher learn together from a cache.

        scheduled = miniend.schedule(
            cache="docs-t5-small", init="pruned:sorted", output="scheduled", keep="0.5,0.3,0.1", target=0.1, steps=300
        )
        scheduled.assistant, scheduled.target, scheduled.record.candidates

    Call it again to resume. Of several processes, the first returns the schedule and the others None.

    Essential:
        output: str | Path
            Directory for the assistant, the target, the report and the run. A run that is already there
            is continued. [required]
        cache: str | Path
            Directory or URL of a cache that dump-teacher wrote. [default: what output records]
        init: str
            pruned: and the folder of the teacher that prune-teacher sorted, from which all candidates
            are cut. [default: what output records]
        keep: str
            The candidates: fractions of the teacher's heads and neurons, with commas, such as
            0.5,0.4,0.3,0.2,0.15,0.1. [default: what output records]
        target: float
            The candidate at which the last student starts; smaller ones cannot be the assistant.
            [default: what output records]
        steps: int
            Optimizer steps. A larger number in a later run continues the student. [default: 10000]
        batch_size: int
            Examples per optimizer step. [default: 32]
        learning_rate: float | None
            Learning rate after warm-up. [default: 0.05 for adafactor, 0.001 for adamw]
        objective: Literal["scratch", "logits", "minilm", "implicit", "miniend-d", "miniend-e", "hidden", "direct", "kd", "lwd", "ted", "encoder"] | str
            What each candidate learns; see train-student. It must train the head: give hidden weight
            logits=1. [default: miniend-e]
        tradeoff: float
            The value of being smaller: the candidate with the greatest score + lambda (1 - size) is
            chosen, with sizes in parameters without embeddings over the teacher's. The table says at
            which lambda the choice changes. [default: 0.2]
        score: Literal["information", "accuracy", "kl"] | str
            information: share of the way from word frequencies to the teacher, by cross-entropy.
            accuracy: share of target tokens that the candidate thinks likeliest; of pairs, of whole
            targets. kl: exp(-KL) to the teacher's distributions. [default: information]

    Training:
        optimizer: Literal["adamw", "adafactor"] | str
            adafactor makes steps relative to each matrix's RMS and at most 1/sqrt(step). adamw has one
            rate for all weights. [default: adafactor]
        warmup_steps: int | None
            Steps of linear warm-up. [default: a hundredth of the steps]
        schedule: Literal["linear", "cosine", "constant", "inverse-sqrt"] | str
            Learning rate after warm-up. [default: linear]
        weight_decay: float
            Decoupled weight decay of matrices. [default: 0.01]
        max_grad_norm: float
            Largest global gradient norm; 0 does not clip. [default: 1]
        logits: bool
            False: Drop the logit term of miniend-d and miniend-e. [default: kept]
        temperature: float
            Temperature of teacher and student in the logit term: 1, or one of the temperature of the
            dump; any with logits from-hidden. [default: 1]
        cross_relation: Literal["qk", "qq_kk_vv"] | str
            Our readings of the paper's cross-attention term: qk is the attention itself, re-headed;
            qq_kk_vv is MiniLMv2's form. [default: qk]
        relation_heads: int | None
            Relation heads. [default: the largest of 32, 24, 16, 12, 8 that divides both widths]
        weight: str | Sequence[str]
            Weight of a term: labels, logits, decoder_self, cross, encoder_self, encoder_hidden,
            decoder_hidden, encoder_direct or decoder_direct. A weight adds labels or logits to hidden
            and direct. One, or a sequence. [default: 1 for each term]
        sandwich_sample: int | None
            Candidates that each step draws, beside the largest and the smallest. [default: all
            candidates in each step]
        independent: bool
            Train each candidate with weights of its own, in one pass: a control, which takes the memory
            of all together. [default: off]

    Layers:
        mapping: Literal["last", "uniform", "last-k", "all", "consecutive", "uniform+last"] | str
            The teacher's layers that a student's layer learns from in hidden and lwd. last: only the
            last from the last. uniform: evenly spaced ones. last-k: the teacher's last ones. all: each
            from its own, at equal depth. consecutive: groups of neighbours, which are all of the
            teacher's. uniform+last: two each, of uniform and of last-k. [default: uniform]
        stacks: Literal["both", "encoder", "decoder"] | str
            The stacks that hidden, lwd, ted and direct compare. [default: both]
        teacher_layer: str | Sequence[str]
            The teacher's layer that the student's last layer learns from, such as decoder.self=-2: from
            0, or negative from the end. For relations, for direct, and for hidden with mapping last.
            One, or a sequence. [default: the deepest that the cache holds]
        hidden_norm: Literal["rms", "none"] | str
            Hidden states are compared over their root mean square per token (rms), or as they are
            (none). [default: rms]
        hidden_scale: Literal["energy", "mean"] | str
            The squared error of a hidden state is divided by the teacher's centred energy, so that 1 is
            no better than a constant (energy), or by its width (mean). [default: energy]
        hidden_metric: Literal["plain", "whitened"] | str
            plain: all directions of a hidden state count alike. whitened: each counts by the inverse of
            its variance (an experiment). [default: plain]
        projection: Literal["auto", "always", "shared"] | str
            The map from the student's states to the teacher's. auto: none at equal widths, and else one
            learned map for each pair of layers; lwd always learns them. always: learned at equal widths
            too. shared: one learned map for all layers of a stack. direct always learns its maps.
            [default: auto]
        direct_heads: int | None
            Blocks that the learned maps of direct consist of; the number of heads gives a map for each
            head. [default: 1, a map of all heads together]
        filter_steps: int
            Steps on hard labels that train the student's own filters, its weights frozen, before an
            objective ted whose student init gave. 0 leaves them random, as in a fresh student.
            [default: 500]

    Speed:
        gradient_accumulation_steps: int
            Micro-batches per optimizer step. [default: 1]
        bf16: bool
            bfloat16 autocast for the student's forward; the losses and evaluation are float32.
            [default: off]
        gradient_checkpointing: bool
            For independent=True: compute each block once more in the backward instead of keeping its
            activations. [default: off]
        device: str
            auto, cpu, cuda or cuda:N. [default: auto]

    Advanced:
        log: Callable[[str], None] | None
            A function that gets each line for people. [default: print]
        log_every: int
            Steps between lines of metrics.jsonl and TensorBoard. [default: 10]
        save_every: int
            Steps between checkpoints. [default: 500]
        eval_every: int
            Steps between evaluations on the validation examples. [default: 500]
        tracker: str | Sequence[str]
            Tracker of accelerate, such as wandb or mlflow, to write to in addition to TensorBoard. One,
            or a sequence. [default: none]
        seed: int
            Seed of the student's weights and of the order of examples. [default: 0]
        save_all: bool
            Write every candidate as a checkpoint to OUTPUT/candidates. [default: off]
        allow_unfinished: bool
            Train on the shards that an unfinished dump has published; a resumed run takes the same
            ones. [default: off]
        config: str | Path | None
            YAML file of options, by their names with underscores. Options on the command line win.
            Every output has such a file, so a run can be repeated. [default: none]
        plugin: str | Sequence[str]
            Python file or module to import first; it can register objectives, terms and more. One, or a
            sequence. [default: none]
        quiet: bool
            Print only results, warnings and errors, and no progress. [default: off]
        verbose: bool
            Print versions, threads, plan and times too, and with an error where it came from. [default:
            off]
    """

def train_student(
    *,
    output: str | Path,
    cache: str | Path = ...,
    steps: int = 10000,
    batch_size: int = 32,
    learning_rate: float | None = None,
    objective: Literal["scratch", "logits", "minilm", "implicit", "miniend-d", "miniend-e", "hidden", "direct", "kd", "lwd", "ted", "encoder"] | str = "miniend-e",
    size: str | Path | None = None,
    optimizer: Literal["adamw", "adafactor"] | str = "adafactor",
    warmup_steps: int | None = None,
    schedule: Literal["linear", "cosine", "constant", "inverse-sqrt"] | str = "linear",
    weight_decay: float = 0.01,
    max_grad_norm: float = 1.0,
    logits: bool = True,
    temperature: float = 1.0,
    cross_relation: Literal["qk", "qq_kk_vv"] | str = "qk",
    relation_heads: int | None = None,
    weight: str | Sequence[str] = (),
    init: str | Path | PreTrainedModel | None = None,
    keep: float | None = None,
    mapping: Literal["last", "uniform", "last-k", "all", "consecutive", "uniform+last"] | str = "uniform",
    stacks: Literal["both", "encoder", "decoder"] | str = "both",
    teacher_layer: str | Sequence[str] = (),
    hidden_norm: Literal["rms", "none"] | str = "rms",
    hidden_scale: Literal["energy", "mean"] | str = "energy",
    hidden_metric: Literal["plain", "whitened"] | str = "plain",
    projection: Literal["auto", "always", "shared"] | str = "auto",
    direct_heads: int | None = None,
    filter_steps: int = 500,
    gradient_accumulation_steps: int = 1,
    bf16: bool = False,
    gradient_checkpointing: bool = False,
    device: str = "auto",
    log: Callable[[str], None] | None = None,
    log_every: int = 10,
    save_every: int = 500,
    eval_every: int = 500,
    tracker: str | Sequence[str] = (),
    seed: int = 0,
    allow_unfinished: bool = False,
    push_to_hub: str | None = None,
    hub_private_repo: bool = False,
    config: str | Path | None = None,
    plugin: str | Sequence[str] = (),
    quiet: bool = False,
    verbose: bool = False,
) -> Student:
    """
    Train a student from a cache, without the teacher. Call it again to resume.

        student = miniend.train_student(cache="docs-t5-small", output="student", size="2L128H", steps=300)
        student.losses, student.curve("validation.loss"), student.model(), student.tokenizer()

    `init` can be a model in memory, which stays as it is; the student starts as a copy of it.

    Essential:
        output: str | Path
            Hugging Face model directory to write. A run that is already there is continued, and only
            what is to change need be given. [required]
        cache: str | Path
            Directory or URL of a cache that dump-teacher wrote. [default: what output records]
        steps: int
            Optimizer steps. A larger number in a later run continues the student. [default: 10000]
        batch_size: int
            Examples per optimizer step. [default: 32]
        learning_rate: float | None
            Learning rate after warm-up. [default: 0.05 for adafactor, 0.001 for adamw]
        objective: Literal["scratch", "logits", "minilm", "implicit", "miniend-d", "miniend-e", "hidden", "direct", "kd", "lwd", "ted", "encoder"] | str
            scratch: hard labels. logits: KL to the cached distribution. minilm: relations of decoder
            self-attention. implicit: logits and minilm. miniend-d: implicit and relations of
            cross-attention. miniend-e: implicit and relations of encoder self-attention. kd: hard
            labels and logits. hidden: hidden states of several layers. lwd: kd and hidden, with learned
            maps. direct: Q, K and V of self-attentions. [default: miniend-e]
        size: str | Path | None
            6L384H, 6E3D384H for unequal depths, or a T5 config.json. [default: half the teacher's depth
            and width]

    Training:
        optimizer: Literal["adamw", "adafactor"] | str
            adafactor makes steps relative to each matrix's RMS and at most 1/sqrt(step). adamw has one
            rate for all weights. [default: adafactor]
        warmup_steps: int | None
            Steps of linear warm-up. [default: a hundredth of the steps]
        schedule: Literal["linear", "cosine", "constant", "inverse-sqrt"] | str
            Learning rate after warm-up. [default: linear]
        weight_decay: float
            Decoupled weight decay of matrices. [default: 0.01]
        max_grad_norm: float
            Largest global gradient norm; 0 does not clip. [default: 1]
        logits: bool
            False: Drop the logit term of miniend-d and miniend-e. [default: kept]
        temperature: float
            Temperature of teacher and student in the logit term: 1, or one of the temperature of the
            dump; any with logits from-hidden. [default: 1]
        cross_relation: Literal["qk", "qq_kk_vv"] | str
            Our readings of the paper's cross-attention term: qk is the attention itself, re-headed;
            qq_kk_vv is MiniLMv2's form. [default: qk]
        relation_heads: int | None
            Relation heads. [default: the largest of 32, 24, 16, 12, 8 that divides both widths]
        weight: str | Sequence[str]
            Weight of a term: labels, logits, decoder_self, cross, encoder_self, encoder_hidden,
            decoder_hidden, encoder_direct or decoder_direct. A weight adds labels or logits to hidden
            and direct. One, or a sequence. [default: 1 for each term]
        init: str | Path | PreTrainedModel | None
            Where the student starts: a checkpoint of a student, which brings its size;
            teacher-layers:TEACHER for evenly spaced layers of its teacher, whose width the size must
            have; or pruned:SORTED for the first heads and neurons of a teacher that prune-teacher
            sorted. [default: fresh weights]
        keep: float | None
            For init pruned:SORTED: the fraction of the heads and of the feed-forward's neurons that the
            student keeps. It decides the size. [default: none]

    Layers:
        mapping: Literal["last", "uniform", "last-k", "all", "consecutive", "uniform+last"] | str
            The teacher's layers that a student's layer learns from in hidden and lwd. last: only the
            last from the last. uniform: evenly spaced ones. last-k: the teacher's last ones. all: each
            from its own, at equal depth. consecutive: groups of neighbours, which are all of the
            teacher's. uniform+last: two each, of uniform and of last-k. [default: uniform]
        stacks: Literal["both", "encoder", "decoder"] | str
            The stacks that hidden, lwd, ted and direct compare. [default: both]
        teacher_layer: str | Sequence[str]
            The teacher's layer that the student's last layer learns from, such as decoder.self=-2: from
            0, or negative from the end. For relations, for direct, and for hidden with mapping last.
            One, or a sequence. [default: the deepest that the cache holds]
        hidden_norm: Literal["rms", "none"] | str
            Hidden states are compared over their root mean square per token (rms), or as they are
            (none). [default: rms]
        hidden_scale: Literal["energy", "mean"] | str
            The squared error of a hidden state is divided by the teacher's centred energy, so that 1 is
            no better than a constant (energy), or by its width (mean). [default: energy]
        hidden_metric: Literal["plain", "whitened"] | str
            plain: all directions of a hidden state count alike. whitened: each counts by the inverse of
            its variance (an experiment). [default: plain]
        projection: Literal["auto", "always", "shared"] | str
            The map from the student's states to the teacher's. auto: none at equal widths, and else one
            learned map for each pair of layers; lwd always learns them. always: learned at equal widths
            too. shared: one learned map for all layers of a stack. direct always learns its maps.
            [default: auto]
        direct_heads: int | None
            Blocks that the learned maps of direct consist of; the number of heads gives a map for each
            head. [default: 1, a map of all heads together]
        filter_steps: int
            Steps on hard labels that train the student's own filters, its weights frozen, before an
            objective ted whose student init gave. 0 leaves them random, as in a fresh student.
            [default: 500]

    Speed:
        gradient_accumulation_steps: int
            Micro-batches per optimizer step. [default: 1]
        bf16: bool
            bfloat16 autocast for the student's forward; the losses and evaluation are float32.
            [default: off]
        gradient_checkpointing: bool
            Compute each block once more in the backward instead of keeping its activations: less
            memory, slower steps, on a CPU the same student. [default: off]
        device: str
            auto, cpu, cuda or cuda:N. [default: auto]

    Advanced:
        log: Callable[[str], None] | None
            A function that gets each line for people. [default: print]
        log_every: int
            Steps between lines of metrics.jsonl and TensorBoard. [default: 10]
        save_every: int
            Steps between checkpoints. [default: 500]
        eval_every: int
            Steps between evaluations on the validation examples. [default: 500]
        tracker: str | Sequence[str]
            Tracker of accelerate, such as wandb or mlflow, to write to in addition to TensorBoard. One,
            or a sequence. [default: none]
        seed: int
            Seed of the student's weights and of the order of examples. [default: 0]
        allow_unfinished: bool
            Train on the shards that an unfinished dump has published; a resumed run takes the same
            ones. [default: off]
        push_to_hub: str | None
            Upload the finished student to the Hugging Face hub as this model; several students as
            NAME-SIZE-OBJECTIVE. [default: none]
        hub_private_repo: bool
            For push_to_hub: make a new model private. One that exists stays as it is. [default: the
            hub's own: public, unless the organization says otherwise]
        config: str | Path | None
            YAML file of options, by their names with underscores. Options on the command line win.
            Every output has such a file, so a run can be repeated. [default: none]
        plugin: str | Sequence[str]
            Python file or module to import first; it can register objectives, terms and more. One, or a
            sequence. [default: none]
        quiet: bool
            Print only results, warnings and errors, and no progress. [default: off]
        verbose: bool
            Print versions, threads, plan and times too, and with an error where it came from. [default:
            off]
    """

def train_students(
    *,
    output: str | Path,
    cache: str | Path = ...,
    steps: int = 10000,
    batch_size: int = 32,
    learning_rate: float | None = None,
    objective: Literal["scratch", "logits", "minilm", "implicit", "miniend-d", "miniend-e", "hidden", "direct", "kd", "lwd", "ted", "encoder"] | str | Sequence[str] = "miniend-e",
    size: str | Path | Sequence[str | Path] | None = None,
    optimizer: Literal["adamw", "adafactor"] | str = "adafactor",
    warmup_steps: int | None = None,
    schedule: Literal["linear", "cosine", "constant", "inverse-sqrt"] | str = "linear",
    weight_decay: float = 0.01,
    max_grad_norm: float = 1.0,
    logits: bool = True,
    temperature: float = 1.0,
    cross_relation: Literal["qk", "qq_kk_vv"] | str = "qk",
    relation_heads: int | None = None,
    weight: str | Sequence[str] = (),
    init: str | Path | PreTrainedModel | None = None,
    keep: float | None = None,
    mapping: Literal["last", "uniform", "last-k", "all", "consecutive", "uniform+last"] | str = "uniform",
    stacks: Literal["both", "encoder", "decoder"] | str = "both",
    teacher_layer: str | Sequence[str] = (),
    hidden_norm: Literal["rms", "none"] | str = "rms",
    hidden_scale: Literal["energy", "mean"] | str = "energy",
    hidden_metric: Literal["plain", "whitened"] | str = "plain",
    projection: Literal["auto", "always", "shared"] | str = "auto",
    direct_heads: int | None = None,
    filter_steps: int = 500,
    gradient_accumulation_steps: int = 1,
    bf16: bool = False,
    gradient_checkpointing: bool = False,
    device: str = "auto",
    log: Callable[[str], None] | None = None,
    log_every: int = 10,
    save_every: int = 500,
    eval_every: int = 500,
    tracker: str | Sequence[str] = (),
    seed: int = 0,
    allow_unfinished: bool = False,
    push_to_hub: str | None = None,
    hub_private_repo: bool = False,
    config: str | Path | None = None,
    plugin: str | Sequence[str] = (),
    quiet: bool = False,
    verbose: bool = False,
) -> Students:
    """
    Train students of several sizes and objectives in one pass over a cache, each into OUTPUT/SIZE-OBJECTIVE.

        students = miniend.train_students(
            cache="docs-t5-small", output="students", size=["2L128H", "2L64H"], objective=["miniend-e", "minilm"], steps=300
        )
        students[0].path, students[0].losses

    It takes the keywords of `train_student`, with several values of `size` and `objective`. Call it again to resume.

    Essential:
        output: str | Path
            Hugging Face model directory to write. A run that is already there is continued, and only
            what is to change need be given. [required]
        cache: str | Path
            Directory or URL of a cache that dump-teacher wrote. [default: what output records]
        steps: int
            Optimizer steps. A larger number in a later run continues the student. [default: 10000]
        batch_size: int
            Examples per optimizer step. [default: 32]
        learning_rate: float | None
            Learning rate after warm-up. [default: 0.05 for adafactor, 0.001 for adamw]
        objective: Literal["scratch", "logits", "minilm", "implicit", "miniend-d", "miniend-e", "hidden", "direct", "kd", "lwd", "ted", "encoder"] | str | Sequence[str]
            scratch: hard labels. logits: KL to the cached distribution. minilm: relations of decoder
            self-attention. implicit: logits and minilm. miniend-d: implicit and relations of
            cross-attention. miniend-e: implicit and relations of encoder self-attention. kd: hard
            labels and logits. hidden: hidden states of several layers. lwd: kd and hidden, with learned
            maps. direct: Q, K and V of self-attentions. One, or a sequence, like size. [default:
            miniend-e]
        size: str | Path | Sequence[str | Path] | None
            6L384H, 6E3D384H for unequal depths, or a T5 config.json. One, or a sequence: several
            students train in one pass, each in OUTPUT/SIZE-OBJECTIVE. [default: half the teacher's
            depth and width]

    Training:
        optimizer: Literal["adamw", "adafactor"] | str
            adafactor makes steps relative to each matrix's RMS and at most 1/sqrt(step). adamw has one
            rate for all weights. [default: adafactor]
        warmup_steps: int | None
            Steps of linear warm-up. [default: a hundredth of the steps]
        schedule: Literal["linear", "cosine", "constant", "inverse-sqrt"] | str
            Learning rate after warm-up. [default: linear]
        weight_decay: float
            Decoupled weight decay of matrices. [default: 0.01]
        max_grad_norm: float
            Largest global gradient norm; 0 does not clip. [default: 1]
        logits: bool
            False: Drop the logit term of miniend-d and miniend-e. [default: kept]
        temperature: float
            Temperature of teacher and student in the logit term: 1, or one of the temperature of the
            dump; any with logits from-hidden. [default: 1]
        cross_relation: Literal["qk", "qq_kk_vv"] | str
            Our readings of the paper's cross-attention term: qk is the attention itself, re-headed;
            qq_kk_vv is MiniLMv2's form. [default: qk]
        relation_heads: int | None
            Relation heads. [default: the largest of 32, 24, 16, 12, 8 that divides both widths]
        weight: str | Sequence[str]
            Weight of a term: labels, logits, decoder_self, cross, encoder_self, encoder_hidden,
            decoder_hidden, encoder_direct or decoder_direct. A weight adds labels or logits to hidden
            and direct. One, or a sequence. [default: 1 for each term]
        init: str | Path | PreTrainedModel | None
            Where the student starts: a checkpoint of a student, which brings its size;
            teacher-layers:TEACHER for evenly spaced layers of its teacher, whose width the size must
            have; or pruned:SORTED for the first heads and neurons of a teacher that prune-teacher
            sorted. [default: fresh weights]
        keep: float | None
            For init pruned:SORTED: the fraction of the heads and of the feed-forward's neurons that the
            student keeps. It decides the size. [default: none]

    Layers:
        mapping: Literal["last", "uniform", "last-k", "all", "consecutive", "uniform+last"] | str
            The teacher's layers that a student's layer learns from in hidden and lwd. last: only the
            last from the last. uniform: evenly spaced ones. last-k: the teacher's last ones. all: each
            from its own, at equal depth. consecutive: groups of neighbours, which are all of the
            teacher's. uniform+last: two each, of uniform and of last-k. [default: uniform]
        stacks: Literal["both", "encoder", "decoder"] | str
            The stacks that hidden, lwd, ted and direct compare. [default: both]
        teacher_layer: str | Sequence[str]
            The teacher's layer that the student's last layer learns from, such as decoder.self=-2: from
            0, or negative from the end. For relations, for direct, and for hidden with mapping last.
            One, or a sequence. [default: the deepest that the cache holds]
        hidden_norm: Literal["rms", "none"] | str
            Hidden states are compared over their root mean square per token (rms), or as they are
            (none). [default: rms]
        hidden_scale: Literal["energy", "mean"] | str
            The squared error of a hidden state is divided by the teacher's centred energy, so that 1 is
            no better than a constant (energy), or by its width (mean). [default: energy]
        hidden_metric: Literal["plain", "whitened"] | str
            plain: all directions of a hidden state count alike. whitened: each counts by the inverse of
            its variance (an experiment). [default: plain]
        projection: Literal["auto", "always", "shared"] | str
            The map from the student's states to the teacher's. auto: none at equal widths, and else one
            learned map for each pair of layers; lwd always learns them. always: learned at equal widths
            too. shared: one learned map for all layers of a stack. direct always learns its maps.
            [default: auto]
        direct_heads: int | None
            Blocks that the learned maps of direct consist of; the number of heads gives a map for each
            head. [default: 1, a map of all heads together]
        filter_steps: int
            Steps on hard labels that train the student's own filters, its weights frozen, before an
            objective ted whose student init gave. 0 leaves them random, as in a fresh student.
            [default: 500]

    Speed:
        gradient_accumulation_steps: int
            Micro-batches per optimizer step. [default: 1]
        bf16: bool
            bfloat16 autocast for the student's forward; the losses and evaluation are float32.
            [default: off]
        gradient_checkpointing: bool
            Compute each block once more in the backward instead of keeping its activations: less
            memory, slower steps, on a CPU the same student. [default: off]
        device: str
            auto, cpu, cuda or cuda:N. [default: auto]

    Advanced:
        log: Callable[[str], None] | None
            A function that gets each line for people. [default: print]
        log_every: int
            Steps between lines of metrics.jsonl and TensorBoard. [default: 10]
        save_every: int
            Steps between checkpoints. [default: 500]
        eval_every: int
            Steps between evaluations on the validation examples. [default: 500]
        tracker: str | Sequence[str]
            Tracker of accelerate, such as wandb or mlflow, to write to in addition to TensorBoard. One,
            or a sequence. [default: none]
        seed: int
            Seed of the student's weights and of the order of examples. [default: 0]
        allow_unfinished: bool
            Train on the shards that an unfinished dump has published; a resumed run takes the same
            ones. [default: off]
        push_to_hub: str | None
            Upload the finished student to the Hugging Face hub as this model; several students as
            NAME-SIZE-OBJECTIVE. [default: none]
        hub_private_repo: bool
            For push_to_hub: make a new model private. One that exists stays as it is. [default: the
            hub's own: public, unless the organization says otherwise]
        config: str | Path | None
            YAML file of options, by their names with underscores. Options on the command line win.
            Every output has such a file, so a run can be repeated. [default: none]
        plugin: str | Sequence[str]
            Python file or module to import first; it can register objectives, terms and more. One, or a
            sequence. [default: none]
        quiet: bool
            Print only results, warnings and errors, and no progress. [default: off]
        verbose: bool
            Print versions, threads, plan and times too, and with an error where it came from. [default:
            off]
    """

def verify(
    cache: str | Path,
    *,
    repair: bool = False,
    teacher: str | Path | None = None,
    corpus: str | Path | Sequence[str | Path] = (),
    split: str = "train",
    device: str = "auto",
    log: Callable[[str], None] | None = None,
    mixed_environment: bool = False,
    config: str | Path | None = None,
    plugin: str | Sequence[str] = (),
    quiet: bool = False,
    verbose: bool = False,
) -> VerifyReport:
    """
    Check every byte of a cache, and repair it if asked.

    report = miniend.verify("docs-t5-small")
    report.sound, report.damaged

    Essential:
        cache: str | Path
            Directory or URL of a cache, finished or not. [required]
        repair: bool
            First dump again what is damaged or missing, and remove unlisted files from published
            folders. [default: off]

    Corpus:
        teacher: str | Path | None
            For repair=True: the teacher of the dump. It is checked against the plan. [default: as
            dump.yaml says]
        corpus: str | Path | Sequence[str | Path]
            For repair=True: the corpora of the dump, in the same order. They are checked against the
            plan. One, or a sequence. [default: as dump.yaml says]
        split: str
            For repair=True: the split of saved datasets, as the dump had it. That of an hf: corpus is
            in the plan. [default: train]

    Speed:
        device: str
            For repair=True: auto, cpu, cuda or cuda:N. [default: auto]

    Advanced:
        log: Callable[[str], None] | None
            A function that gets each line for people. [default: print]
        mixed_environment: bool
            For repair=True: work in an environment that differs from the plan's, and accept its values.
            [default: off]
        config: str | Path | None
            YAML file of options, by their names with underscores. Options on the command line win.
            Every output has such a file, so a run can be repeated. [default: none]
        plugin: str | Sequence[str]
            Python file or module to import first; it can register objectives, terms and more. One, or a
            sequence. [default: none]
        quiet: bool
            Print only results, warnings and errors, and no progress. [default: off]
        verbose: bool
            Print versions, threads, plan and times too, and with an error where it came from. [default:
            off]
    """

