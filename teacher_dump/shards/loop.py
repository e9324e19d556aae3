"""The shard loop: claim a shard, run the teacher over it and publish it, until all are published, whoever made them.

The writer works in its own thread, one shard behind the teacher.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from time import perf_counter, sleep

from ...runtime.claims import POLL_SECONDS, Claims
from ...storage.folder import folder_exists, publish_folder
from ...storage.layout import ShardRange, shard_path
from ...storage.stores.place import Where
from .encoder import EncodedShard, ShardEncoder


def is_published(root: Where, shard: ShardRange) -> bool:
    """Return whether a shard is published."""
    return folder_exists(shard_path(root, shard.split, shard.number), "marker")


def examples_in(shards: Sequence[ShardRange]) -> int:
    """Return the number of examples of these shards."""
    return sum(shard.stop - shard.start for shard in shards)


def make_shards(
    root: Where,
    codec: str,
    shards: Sequence[ShardRange],
    encoder: ShardEncoder,
    claims: Claims,
    progress: Callable[[], None],
    encoded: Callable[[ShardRange, int], object] = lambda _shard, _count: None,
) -> int:
    """Make `shards` until all are published, by this worker or another; return the number of examples that this one encoded.

    We call `progress` after each own shard and while we wait for other workers; `encoded` gets the shard and the number of
    examples of each batch. At most one encoded shard waits in memory.
    A failed write raises its error at the next shard or at the end.
    """
    examples = 0
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="writer") as writer:
        writing: Future[None] | None = None
        for shard in _claimed(root, shards, claims, progress):
            content = encoder.encode(shard, partial(encoded, shard))
            waiting = perf_counter()
            if writing is not None:
                writing.result()
            encoder.timings.wait += perf_counter() - waiting
            writing = writer.submit(_publish, root, codec, shard, content, claims)
            examples += shard.stop - shard.start
            progress()
        if writing is not None:
            writing.result()
    return examples


def _claimed(
    root: Where, shards: Sequence[ShardRange], claims: Claims, progress: Callable[[], None]
) -> Iterator[ShardRange]:
    """Yield the shards that this worker makes, each claimed; end when the other workers have made theirs.

    If a worker died before it published its shard, we claim the shard when we look at it again.
    """
    left = list(shards)
    while left:
        with_others = []
        for shard in left:
            if is_published(root, shard):
                continue
            if not claims.take(shard.name):
                with_others.append(shard)
            elif is_published(root, shard):  # another worker published it between our look and our claim
                claims.release(shard.name)
            else:
                yield shard
        left = with_others
        if left:
            progress()
            sleep(POLL_SECONDS)


def _publish(root: Where, codec: str, shard: ShardRange, encoded: EncodedShard, claims: Claims) -> None:
    target = shard_path(root, shard.split, shard.number)
    try:
        publish_folder(target, "marker", encoded.marker.body(), encoded.columns, codec=codec)
    finally:
        claims.release(shard.name)
