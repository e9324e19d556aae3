"""Which cached next-token distribution gives a student the gradient of the teacher's full one, and at how many bytes?

    python benchmarks/logit_gradients.py --teacher DIR --corpus 'FILES*.jsonl.gz' --work DIR [--size 2L96H] [--steps 400] \
        [--only 'hybrid 20' --only from-hidden]

A student is trained with the live teacher under the full KL. At step 100, at half time and at the end we take the gradient of
all its parameters over 16,384 target tokens, once under the full KL and once under every cached target. We print the angle
between the two in degrees and the ratio of their norms. All stages use the same draws. Bytes are per target token, for the
columns of a shard of these tokens (pcodec, with files and metadata). They are also given separately for words, and for
sentinels and EOS. `from-hidden` is the state of the last decoder layer, coded at a relative squared error and fitted on
calibration examples of the training split; its bytes are for the state, without the head, which a cache has once.

`rs-kd` is the method of Anshumann et al. (2025): independent draws with replacement. Its bytes are for its published flat packing
(ids in ceil(log2 V) bits, counts in 7) and, in brackets, for our coding as sets. `renormalized` is a top-k list without tail.
"""

import argparse
import math
import platform
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch import Tensor

from miniend.cache.logit_columns import logit_columns
from miniend.models.optimizers import build_optimizer, learning_rate_at, set_learning_rate
from miniend.models.size import student_config
from miniend.models.start.fresh import build_student
from miniend.runtime.progress import progress_bar
from miniend.signals.kinds import SiteSamples, kind_of
from miniend.signals.logits.code import LogitCode, LogitIntegers, SparseDistributions, join_integers, rank_order
from miniend.signals.logits.fidelity import sparse_kl, whole_kl
from miniend.signals.logits.states import StateDistributions, StateHead, state_site
from miniend.storage.columns.columns import Column, write_column
from miniend.storage.documents.plan import Plan
from miniend.teacher_dump.config import DumpConfig
from miniend.teacher_dump.examples.source import ExampleSource
from miniend.teacher_dump.prepare import open_sources, prepare_examples
from miniend.teacher_dump.shards.batches import TeacherBatch, batches_of, run_teacher
from miniend.teacher_dump.teacher import Teacher
from miniend.teacher_dump.worker import Worker

KINDS = (
    *(("top-k", k, 0, 1 / 8) for k in (8, 16, 64)),
    ("top-k", 64, 0, 1 / 32),
    *(("sampled", 0, n, 1 / 8) for n in (10, 20, 50)),
    *(("hybrid", n, n, 1 / 8) for n in (5, 10, 20, 30, 50)),
    ("hybrid", 20, 20, 1 / 32),
)
STATE_ERRORS = (1e-1, 1e-2, 1e-3, 1e-4)
CALIBRATION = {"basis": (0, 96), "step": (96, 128)}
"""The training examples that a dump of 160 calibration examples fits on."""


@dataclass(frozen=True)
class Target:
    """One row of the table: a name, the bytes, and a function that returns the loss of student logits at some positions."""

    name: str
    bytes: str
    entries: float
    loss: Callable[[Tensor, Tensor], Tensor]


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--teacher", required=True)
    parser.add_argument("--corpus", required=True)
    parser.add_argument("--work", type=Path, required=True, help="directory for the segments")
    parser.add_argument("--input-length", type=int, default=256)
    parser.add_argument("--mean-noise-span-length", type=float, default=3.0)
    parser.add_argument("--tokens", type=int, default=16384, help="target tokens whose gradients are summed")
    parser.add_argument("--size", default="2L96H")
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--learning-rate", type=float, default=2e-2)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--only", action="append", default=[], help="rows whose names start so; all by default")
    return parser.parse_args()


def main() -> None:
    asked = parse()
    teacher, source, plan = prepare(asked)
    print(f"{platform.machine()}, {teacher.device}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    per_example = plan.task.target_length
    measured = math.ceil(asked.tokens / per_example)
    site = state_site(teacher.family, teacher.facts)
    batches = [run_teacher(teacher, e, [site]) for e in batches_of(source, "validation", 0, measured, asked.batch_size)]
    only = tuple(asked.only) or ("",)
    targets = [*build_targets(batches, plan, source, only), *from_states(teacher, source, plan, batches, asked, only)]
    stages = dict(sorted({min(100, asked.steps): "100", asked.steps // 2: "half", asked.steps: "end"}.items()))
    found: dict[str, list[tuple[float, float]]] = {target.name: [] for target in targets}
    losses = []
    for step, student in train(asked, teacher, source, plan, set(stages)):
        loss, measured_stage = measure(student, batches, targets)
        losses.append(f"{stages[step]} (step {step}): KL {loss:.3f}")
        for name, pair in measured_stage.items():
            found[name].append(pair)
    print(
        f"V = {teacher.facts.vocab_rows}, {measured * per_example} target tokens, student {asked.size}; {'; '.join(losses)}"
    )
    heads = "  ".join(f"{name:>14}" for name in stages.values())
    print(
        f"{'target':<28}{'entries':>8}  {'bytes per token (words | sentinels, EOS)':<42}{heads}   angle in degrees (norm ratio)"
    )
    for target in targets:
        cells = "  ".join(f"{angle:>6.2f} ({ratio:.3f})" for angle, ratio in found[target.name])
        print(f"{target.name:<28}{target.entries:>8.1f}  {target.bytes:<42}{cells}")


def prepare(asked: argparse.Namespace) -> tuple[Teacher, ExampleSource, Plan]:
    """Return the teacher, and segments for training and measurement, made like a dump's."""
    config = DumpConfig(
        teacher=asked.teacher,
        corpus=asked.corpus,
        cache=asked.work,
        examples=asked.steps * asked.batch_size,
        validation_examples=math.ceil(asked.tokens / 32),
        input_length=asked.input_length,
        mean_noise_span_length=asked.mean_noise_span_length,
        signals="none",
        device=asked.device,
    )
    sources = open_sources(config, Worker())
    plan, source = prepare_examples(config, sources)
    return sources.teacher, source, plan


def build_targets(
    batches: list[TeacherBatch], plan: Plan, source: ExampleSource, only: tuple[str, ...]
) -> list[Target]:
    """Return every row of the table that is a list, encoded once."""
    log_p = torch.cat([batch.valid_logits()[0].float().log_softmax(-1).cpu() for batch in batches])
    labels = torch.cat([batch.valid_logits()[1].cpu() for batch in batches])
    # the order of ids must not come from the measured positions, because a dump takes it from calibration examples
    order = rank_order(mean_probability(batches, plan, source), plan.tokenizer.size)
    uniforms = torch.rand(len(log_p), dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    special = torch.isin(labels, torch.tensor([*plan.tokenizer.sentinel_ids, plan.tokenizer.eos_id]))
    targets = []
    for kind, k, draws, step in KINDS:
        name = f"{kind} {k if kind == 'top-k' else draws}, step 1/{round(1 / step)}"
        if not name.startswith(only):
            continue
        code = LogitCode(kind=kind, k=k, top_p=1.0, draws=draws, step=step, vocab_rows=log_p.shape[1], order=order)
        stored = join_integers([code.encode(p, u) for p, u in zip(log_p.split(512), uniforms.split(512), strict=True)])
        targets.append(coded(name, code, stored, special))
        if kind == "top-k" and step == KINDS[0][3]:
            targets.append(replace_loss(targets[-1], f"renormalized {k}", renormalized(code.decode(stored))))
    return [*targets, *(independent(n, log_p, order, special) for n in (12, 50) if "rs-kd".startswith(only))]


def mean_probability(batches: list[TeacherBatch], plan: Plan, source: ExampleSource) -> Tensor:
    """Return the labels' unigram frequencies over training segments, which a calibration knows without the measured positions."""
    counts = torch.ones(batches[0].logits.shape[-1], dtype=torch.float64) * 1e-3
    for index in range(min(2000, source.segments.count("train"))):
        ids = torch.from_numpy(source.example("train", index)[1].astype(np.int64))
        counts.index_add_(0, ids, torch.ones(len(ids), dtype=torch.float64))
    return counts / counts.sum()


def coded(name: str, code: LogitCode, stored: LogitIntegers, special: Tensor) -> Target:
    """Return a target of one of our kinds."""
    target = code.decode(stored)
    sizes = [column_bytes(code.kind, select(stored, rows)) for rows in (torch.ones_like(special), ~special, special)]
    text = f"{sizes[0]:6.2f} ({sizes[1]:6.2f} | {sizes[2]:6.2f})"
    entries = (len(target.head_ids) + len(target.draw_ids)) / len(special)
    return Target(name, text, entries, lambda logits, rows: sparse_kl(logits, cut(target, rows)).sum())


def select(stored: LogitIntegers, rows: Tensor) -> LogitIntegers:
    """Return the integers of some positions."""
    heads, draws = (rows.repeat_interleave(sizes.long()) for sizes in (stored.head_sizes, stored.draw_sizes))
    return LogitIntegers(
        stored.head_sizes[rows],
        stored.head_codes[heads],
        stored.head_levels[heads],
        stored.draw_sizes[rows],
        stored.draw_ranks[draws],
        stored.tail_entropies[rows],
        stored.tail_levels[:, rows],
    )


def column_bytes(kind: str, stored: LogitIntegers) -> float:
    """Return the bytes per position of the columns on disk."""
    with TemporaryDirectory() as folder:
        for name, column in logit_columns(kind, stored, "target").items():
            write_column(Path(folder), name, column, "pcodec")
        total = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
    return total / max(1, len(stored.head_sizes))


def cut(target: SparseDistributions, rows: Tensor) -> SparseDistributions:
    """Return the distributions of the consecutive positions `rows`."""
    first, stop = int(rows[0]), int(rows[-1]) + 1
    heads = (target.head_position >= first) & (target.head_position < stop)
    draws = (target.draw_position >= first) & (target.draw_position < stop)
    return replace(
        target,
        head_position=target.head_position[heads] - first,
        head_ids=target.head_ids[heads],
        head_log_p=target.head_log_p[heads],
        tail_mass=target.tail_mass[first:stop],
        draw_position=target.draw_position[draws] - first,
        draw_ids=target.draw_ids[draws],
        draw_weight=target.draw_weight[draws],
        tail_entropy=target.tail_entropy[first:stop],
    )


def from_states(
    teacher: Teacher,
    source: ExampleSource,
    plan: Plan,
    batches: list[TeacherBatch],
    asked: argparse.Namespace,
    only: tuple[str, ...],
) -> Iterator[Target]:
    """Yield the targets that the teacher's head makes of its decoded last states, one for each error."""
    if not "from-hidden".startswith(only):
        return
    site, family = state_site(teacher.family, teacher.facts), teacher.family
    (weight, scale), (norm, epsilon) = family.head(teacher.model), family.head_norm(teacher.model)
    head = StateHead(norm=norm, epsilon=epsilon, scale=scale, weight=weight)
    fitted = {
        part: [run_teacher(teacher, e, [site]).sample(site) for e in batches_of(source, "train", *at, asked.batch_size)]
        for part, at in CALIBRATION.items()
    }
    for error in STATE_ERRORS:
        samples = SiteSamples(**fitted, report=())
        with torch.inference_mode():
            codec = kind_of(site).fit(site, samples, replace(plan.signals, hidden_error=error))
            stored = [codec.encode(batch.sample(site)) for batch in batches]
            decoded = [
                codec.decoded(columns, batch.sample(site))["hidden"][batch.labelled]
                for columns, batch in zip(stored, batches, strict=True)
            ]
        [column] = codec.columns
        values = torch.cat([one[column].cpu() for one in stored], dim=1)
        special = torch.cat([batch.valid_logits()[1].cpu() for batch in batches])
        special = torch.isin(special, torch.tensor([*plan.tokenizer.sentinel_ids, plan.tokenizer.eos_id]))
        sizes = [state_bytes(values[:, rows]) for rows in (torch.ones_like(special), ~special, special)]
        whole = head.distributions(torch.cat(decoded).clone())

        def loss(logits: Tensor, rows: Tensor, whole: StateDistributions = whole) -> Tensor:
            log_p = whole.log_p(slice(int(rows[0]), int(rows[-1]) + 1))
            return whole_kl(log_p, logits.log_softmax(-1)).sum()

        text = f"{sizes[0]:6.2f} ({sizes[1]:6.2f} | {sizes[2]:6.2f})"
        yield Target(f"from-hidden, error {error:.0e}", text, float(weight.shape[0]), loss)


def state_bytes(values: Tensor) -> float:
    """Return the bytes per position of a column of coefficients [rank, positions] on disk."""
    with TemporaryDirectory() as folder:
        write_column(Path(folder), "hidden", Column(values=values.numpy(), axis="target"), "pcodec")
        total = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
    return total / max(1, values.shape[1])


def replace_loss(target: Target, name: str, loss: Callable[[Tensor, Tensor], Tensor]) -> Target:
    return Target(name, target.bytes, target.entries, loss)


def renormalized(target: SparseDistributions) -> Callable[[Tensor, Tensor], Tensor]:
    """Return the biased loss that drops the tail and rescales the kept probabilities to sum to one."""

    def loss(logits: Tensor, rows: Tensor) -> Tensor:
        here = cut(target, rows)
        p = here.head_log_p.exp() / (1.0 - here.tail_mass)[here.head_position]
        log_q = logits.log_softmax(-1)[here.head_position, here.head_ids]
        return -(p * log_q).sum()

    return loss


def independent(draws: int, log_p: Tensor, order: Tensor, special: Tensor) -> Target:
    """Return the target of random-sampling distillation: independent draws with replacement from every position."""
    generator = torch.Generator().manual_seed(2)
    ids = torch.cat(
        [torch.multinomial(part.exp(), draws, replacement=True, generator=generator) for part in log_p.split(512)]
    )
    ranks = torch.empty(log_p.shape[1], dtype=torch.int64)
    ranks[order] = torch.arange(len(order))
    drawn = ranks[ids].sort(-1).values
    unique = int((torch.diff(drawn, dim=-1) != 0).sum()) / len(ids) + 1
    nothing = torch.zeros(len(ids), dtype=torch.int32)
    full = torch.full_like(nothing, draws)
    stored = LogitIntegers(nothing, nothing[:0], nothing[:0], full, drawn.flatten().int(), nothing, nothing[None, :0])
    flat = unique * (math.ceil(math.log2(log_p.shape[1])) + 7) / 8
    text = f"{flat:6.2f} [as sets {column_bytes('sampled', stored):.2f}]"
    rows_of = torch.arange(len(ids))[:, None].expand_as(ids)

    def loss(logits: Tensor, rows: Tensor) -> Tensor:
        at = rows_of[rows] - rows[0]
        return -logits.log_softmax(-1)[at, ids[rows]].sum() / draws

    return Target(f"rs-kd {draws}", text, unique, loss)


def train(
    asked: argparse.Namespace, teacher: Teacher, source: ExampleSource, plan: Plan, stages: set[int]
) -> Iterator[tuple[int, Any]]:
    """Train with the live teacher under the full KL, and yield the student after each of the steps in `stages`."""
    rows = {"vocab_size": teacher.facts.vocab_rows}
    student = build_student(student_config(asked.size, {**plan.teacher.config, **rows}), teacher.facts.tied, 0)
    student.to(teacher.device)
    optimizer = build_optimizer("adafactor", student.named_parameters(), asked.learning_rate, 0.0)
    batches = batches_of(source, "train", 0, asked.steps * asked.batch_size, asked.batch_size)
    with progress_bar("student", asked.steps, "step") as bar:
        for step, examples in enumerate(batches, start=1):
            batch = run_teacher(teacher, examples, [])
            log_p = batch.valid_logits()[0].float().log_softmax(-1).clone()
            log_q = forward(student, batch).log_softmax(-1)
            rate = learning_rate_at(step, asked.steps, asked.learning_rate, max(1, asked.steps // 20), "linear")
            set_learning_rate(optimizer, rate, step)
            optimizer.zero_grad()
            (log_p.exp() * (log_p - log_q)).sum(-1).mean().backward()
            optimizer.step()
            bar.update()
            if step in stages:
                yield step, student


def forward(student: Any, batch: TeacherBatch) -> Tensor:
    """Student logits of the valid target positions, float32 [positions, vocabulary]."""
    logits = student(
        input_ids=batch.tokens["input"].clone(),
        attention_mask=batch.valid["input"].long(),
        decoder_input_ids=batch.tokens["target"].clone(),
        use_cache=False,
    ).logits
    found: Tensor = logits[batch.labelled.clone()].float()
    return found


def measure(
    student: Any, batches: list[TeacherBatch], targets: list[Target]
) -> tuple[float, dict[str, tuple[float, float]]]:
    """Return the student's mean KL, and per target the angle in degrees and the norm ratio of its gradient."""
    parameters = [parameter for parameter in student.parameters() if parameter.requires_grad]
    sums = {name: [torch.zeros_like(p) for p in parameters] for name in ("full", *(t.name for t in targets))}
    first, total = 0, 0.0
    for batch in batches:
        logits = forward(student, batch)
        rows = torch.arange(first, first + len(logits))
        first += len(logits)
        for name, gradient in logit_gradients(logits.detach(), batch, rows, targets):
            if name == "full":
                total += gradient[1]
            found = torch.autograd.grad(logits, parameters, gradient[0], retain_graph=True, allow_unused=True)
            for kept, new in zip(sums[name], found, strict=True):
                if new is not None:
                    kept.add_(new)
    flat = {name: torch.cat([g.flatten() for g in gradients]).double() for name, gradients in sums.items()}
    return total / first, {target.name: compare(flat["full"], flat[target.name]) for target in targets}


def logit_gradients(
    logits: Tensor, batch: TeacherBatch, rows: Tensor, targets: list[Target]
) -> Iterator[tuple[str, tuple[Tensor, float]]]:
    """Return the gradient with respect to the logits, and the loss, for the full KL and for every target."""
    log_p = batch.valid_logits()[0].float().log_softmax(-1).clone()
    losses: dict[str, Callable[[Tensor], Tensor]] = {
        "full": lambda z: (log_p.exp() * (log_p - z.log_softmax(-1))).sum(),
        **{target.name: (lambda z, t=target: t.loss(z, rows)) for target in targets},
    }
    for name, loss in losses.items():
        z = logits.clone().requires_grad_()
        value = loss(z)
        (gradient,) = torch.autograd.grad(value, z)
        yield name, (gradient, float(value.detach()))


def compare(full: Tensor, cached: Tensor) -> tuple[float, float]:
    cosine = float(full @ cached / (full.norm() * cached.norm()))
    return math.degrees(math.acos(min(1.0, cosine))), float(cached.norm() / full.norm())


if __name__ == "__main__":
    main()
