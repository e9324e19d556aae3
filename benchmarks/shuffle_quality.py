"""Measure how well batches are mixed, compared with a uniform permutation, as the shards become more than memory holds.

    python benchmarks/shuffle_quality.py [--shards 64,128,256,1000] [--bytes 4000,8000,16000] [--batch 128] [--batches 1000]

It does not need a cache, because the order depends only on the shards' sizes. `pairs` is the share of all pairs in a batch that
come from one shard, divided by the same for a uniform permutation. `|rank correlation|` is Spearman's, between the places in
the order and in storage; its magnitude is averaged over seeds, and the same for uniform permutations is beside it. `read` is
how often a shard is read in an epoch (0 if all stay in memory). `MB` is the most that the order expects to hold.
"""

import argparse

import numpy as np

from miniend.student_train.reading.order import BUDGET, PLANNED, Layout, Visits, epoch_order


def pairs_of_one_shard(shards: np.ndarray, batch: int) -> float:
    """Return the share of the pairs in batches of consecutive examples that come from one shard."""
    cut = np.sort(shards[: len(shards) // batch * batch].reshape(-1, batch), axis=1)
    equal = 0
    for row in cut:
        counts = np.bincount(row)
        equal += int((counts * (counts - 1)).sum())
    return equal / (len(cut) * batch * (batch - 1))


def rank_correlation(numbers: np.ndarray) -> float:
    """Return Spearman's correlation of storage order and place; `numbers` are distinct."""
    ranks = np.argsort(np.argsort(numbers))
    return float(np.corrcoef(ranks, np.arange(len(ranks)))[0, 1])


def most_held(layout: Layout) -> float:
    """Return the most bytes, over two epochs, of examples whose load has started and that are not visited yet."""
    visits, span = Visits(layout, 0, 0), 2 * layout.total
    change = np.zeros(span + 1)
    cost = layout.costs / np.array(layout.examples)
    for load in visits.loads():
        if load.due >= span:
            break
        change[max(load.due, 0)] += cost[load.shard] * len(load.visits)
        np.add.at(change, load.visits[load.visits < span], -cost[load.shard])
        if layout.resident:
            return float(layout.costs.sum())
    return float(change.cumsum().max())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shards", default="64,128,256,1000")
    parser.add_argument("--examples", type=int, default=256, help="examples per shard")
    parser.add_argument("--bytes", default="4000,8000,16000", help="stored bytes per example")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--batches", type=int, default=1000)
    parser.add_argument("--seeds", type=int, default=20)
    asked = parser.parse_args()
    print(
        f"{asked.examples} examples a shard, batches of {asked.batch}, the first {asked.batches}, {asked.seeds} seeds"
    )
    print(f"{'shards':>7}{'bytes':>7}{'pairs':>8}{'|rank correlation|':>20}{'(uniform)':>11}{'read':>6}{'MB':>6}")
    for stored in map(int, asked.bytes.split(",")):
        for shards in map(int, asked.shards.split(",")):
            print(
                row(Layout((asked.examples,) * shards, (stored * asked.examples,) * shards, BUDGET), asked), flush=True
            )


def row(layout: Layout, asked: argparse.Namespace) -> str:
    found: dict[str, list[float]] = {"pairs": [], "rank": [], "uniform pairs": [], "uniform rank": []}
    taken = asked.batch * asked.batches
    for seed in range(asked.seeds):
        epochs = -(-taken // layout.total)
        ours = [epoch_order(layout, seed, epoch).order for epoch in range(epochs)]
        rng = np.random.default_rng(seed)
        uniform = [rng.permutation(layout.total) for _ in range(epochs)]
        for name, orders in (("", ours), ("uniform ", uniform)):
            stream = np.concatenate(orders)[:taken]
            found[f"{name}pairs"].append(pairs_of_one_shard(stream // asked.examples, asked.batch))
            found[f"{name}rank"].append(np.mean([abs(rank_correlation(order[:taken])) for order in orders]))
    mean = {name: float(np.mean(values)) for name, values in found.items()}
    shards, stored = len(layout.examples), layout.stored[0] // layout.examples[0]
    window = min(1.0, 2 * PLANNED * layout.budget / float(layout.costs.sum()))
    read = 0.0 if layout.resident else 1 + window
    return (
        f"{shards:>7}{stored:>7}{mean['pairs'] / mean['uniform pairs']:>8.2f}{mean['rank']:>20.4f}"
        f"{mean['uniform rank']:>11.4f}{read:>6.2f}{most_held(layout) / 1e6:>6.0f}"
    )


if __name__ == "__main__":
    main()
