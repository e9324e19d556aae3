"""What pruning costs before any training: held-out loss at 75, 50 and 25 % of the heads and neurons, by how importance is found.

    python benchmarks/pruning.py --teacher DIR --cache DIR [--examples 64] [--seeds 3]

All rows are measured by masks, which compute what the cut models do (tests/models/pruning). `one set` rows can be cut to ordinary
checkpoints: each stack's self-attention heads have one order, and each layer keeps as many as the others. `own sets` rows have an
order per layer with each head's right position bias, and `ragged` rows, MiniDisc's own form, also a number per layer. Both are
for comparison only. The last column is the paired difference from the measured order, over all three fractions, with its standard
error over batches of held-out examples.
"""

import argparse
import platform
from collections.abc import Mapping
from pathlib import Path
from statistics import mean, stdev
from time import perf_counter
from typing import Any

import torch

from miniend.cache import Cache, open_cache
from miniend.models.families import HEADS
from miniend.models.pruning.groups import Group, groups_of
from miniend.models.pruning.importance import Losses, by_gradient, rankings
from miniend.models.pruning.masks import masked
from miniend.models.pruning.widths import GRADIENT, MEASURED, kept_widths, widths_of
from miniend.models.start.checkpoint import load_student
from miniend.recipes.prune.losses import batches_of, losses_of
from miniend.student_train.run.setup import start_request

KEEPS = (0.75, 0.5, 0.25)
Kept = Mapping[str, list[int]]
"""By reader, the heads or neurons that are kept in its layer."""


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--teacher", required=True)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--examples", type=int, default=64)
    parser.add_argument("--seeds", type=int, default=3, help="random orders")
    return parser.parse_args()


def main() -> None:
    asked = parse()
    cache, device = open_cache(asked.cache), torch.device("cpu")
    model = load_student(asked.teacher, start_request(cache, None, 0)["teacher_config"]).eval().requires_grad_(False)
    losses = losses_of(model, cache, batches_of(cache, cache.training, device, asked.examples))
    held_out = losses_of(model, cache, batches_of(cache, cache.validation, device))
    orders, seconds = {}, {}
    for importance in (MEASURED, GRADIENT):
        begun = perf_counter()
        orders[importance] = {name: one.order for name, one in rankings(model, losses, importance).items()}
        seconds[importance] = perf_counter() - begun
    print(f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    print(f"{asked.examples} training examples; {', '.join(f'{name} {time:.0f} s' for name, time in seconds.items())}")
    print(f"self-attention heads, the least important first: {least_first(orders)}")
    whole = mean(batch_means(model, held_out, {}))
    print(f"held-out: {len(cache.validation)} examples, {target_tokens(cache):,} target tokens; whole {whole:.3f}")
    print(f"{'':<44}{'75 %':>8}{'50 %':>8}{'25 %':>8}   from measured")
    table(model, "self heads", self_rows(model, orders, losses, asked.seeds), held_out)
    table(model, "all", all_rows(model, orders, losses, asked.seeds), held_out)


def table(model: Any, what: str, rows: Mapping[str, list[list[Kept]]], held_out: Losses) -> None:
    """Print rows of a name and, by fraction, what several orders keep; their losses are averaged. The first is the base."""
    base: list[float] = []
    for name, by_keep in rows.items():
        found = [mean_by_batch([batch_means(model, held_out, kept) for kept in orders]) for orders in by_keep]
        whole = mean_by_batch(found)
        base = base or whole
        gaps = [ours - theirs for ours, theirs in zip(whole, base, strict=True)]
        beside = f"   {mean(gaps):+.3f} ± {stdev(gaps) / len(gaps) ** 0.5:.3f}" if whole is not base else ""
        print(f"{what + ', ' + name:<44}{''.join(f'{mean(one):8.3f}' for one in found)}{beside}", flush=True)


def self_rows(model: Any, orders: Any, losses: Losses, seeds: int) -> dict[str, list[list[Kept]]]:
    groups = [group for group in groups_of(model).values() if group.is_self_attention]
    own = own_orders(model, groups, losses)
    return {
        "measured, one set": [[one_set(model, groups, orders[MEASURED], keep)] for keep in KEEPS],
        "gradient, one set": [[one_set(model, groups, orders[GRADIENT], keep)] for keep in KEEPS],
        "gradient, own sets": [[own_sets(model, groups, own, keep)] for keep in KEEPS],
        "random, one set": [
            [one_set(model, groups, drawn(groups, seed), keep) for seed in range(seeds)] for keep in KEEPS
        ],
    }


def all_rows(model: Any, orders: Any, losses: Losses, seeds: int) -> dict[str, list[list[Kept]]]:
    groups = [*groups_of(model).values()]
    scores = scores_by_reader(model, groups, losses)
    own = own_orders(model, groups, losses)
    heads = [reader for group in groups if group.kind == HEADS for reader in group.readers]
    neurons = [reader for group in groups if group.kind != HEADS for reader in group.readers]
    return {
        "measured self heads, one set": [[one_set(model, groups, orders[MEASURED], keep)] for keep in KEEPS],
        "gradient, one set": [[one_set(model, groups, orders[GRADIENT], keep)] for keep in KEEPS],
        "gradient, own sets": [[own_sets(model, groups, own, keep)] for keep in KEEPS],
        "gradient, ragged": [[ragged(scores, heads, keep) | ragged(scores, neurons, keep)] for keep in KEEPS],
        "random, one set": [
            [one_set(model, groups, drawn(groups, seed), keep) for seed in range(seeds)] for keep in KEEPS
        ],
    }


def count_of(model: Any, group: Group, keep: float) -> int:
    widths = kept_widths(widths_of(model.config), keep)
    return widths.heads if group.kind == HEADS else widths.d_ff


def one_set(model: Any, groups: list[Group], orders: Any, keep: float) -> Kept:
    return {
        reader: list(orders[group.name][: count_of(model, group, keep)]) for group in groups for reader in group.readers
    }


def own_sets(model: Any, groups: list[Group], orders: Mapping[str, list[int]], keep: float) -> Kept:
    return {reader: orders[reader][: count_of(model, group, keep)] for group in groups for reader in group.readers}


def ragged(scores: Mapping[str, list[float]], readers: list[str], keep: float) -> dict[str, list[int]]:
    """Keep a fraction of all heads, or of all neurons, of all layers together, by normalized scores."""
    every = sorted(
        ((score, reader, unit) for reader in readers for unit, score in enumerate(scores[reader])), reverse=True
    )
    kept: dict[str, list[int]] = {reader: [] for reader in readers}
    for _, reader, unit in every[: round(keep * len(every))]:
        kept[reader].append(unit)
    return kept


def scores_by_reader(model: Any, groups: list[Group], losses: Losses) -> dict[str, list[float]]:
    """The gradient's scores of each layer by itself, over their norm."""
    alone = {
        reader: Group(reader, group.kind, group.count, {reader: group.parameters[reader]})
        for group in groups
        for reader in group.readers
    }
    return {name: list(one.scores or ()) for name, one in by_gradient(model, [*alone.values()], losses).items()}


def own_orders(model: Any, groups: list[Group], losses: Losses) -> dict[str, list[int]]:
    scores = scores_by_reader(model, groups, losses)
    return {reader: sorted(range(len(own)), key=lambda unit, own=own: -own[unit]) for reader, own in scores.items()}


def drawn(groups: list[Group], seed: int) -> dict[str, list[int]]:
    generator = torch.Generator().manual_seed(seed)
    return {group.name: torch.randperm(group.count, generator=generator).tolist() for group in groups}


def batch_means(model: Any, losses: Losses, kept: Kept) -> list[float]:
    """The mean loss of each batch, of a model with only these heads and neurons."""
    masks, counts = {}, {reader: group.count for group in groups_of(model).values() for reader in group.readers}
    for reader, units in kept.items():
        masks[reader] = torch.zeros(counts[reader])
        masks[reader][units] = 1
    with torch.no_grad(), masked(model, masks):
        return [float(loss) / tokens for loss, tokens in losses()]


def mean_by_batch(several: list[list[float]]) -> list[float]:
    return [mean(batch) for batch in zip(*several, strict=True)]


def target_tokens(cache: Cache) -> int:
    return sum(shard.tokens[cache.family.label_axis] for shard in cache.validation.shards)


def least_first(orders: Any) -> str:
    names = [name for name in orders[MEASURED] if name.endswith(".self")]
    return "; ".join(
        f"{name} {importance} {' '.join(map(str, reversed(orders[importance][name])))}"
        for name in names
        for importance in (MEASURED, GRADIENT)
    )


if __name__ == "__main__":
    main()
