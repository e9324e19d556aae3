"""Train the filters of a cache's teacher on the cache's examples, and publish them beside its shards.

The teacher is needed here. Students that learn from filtered states (`--objective ted`) need only the cache.
"""

from collections.abc import Sequence
from dataclasses import asdict

from ...cache import Cache, open_cache
from ...cache.filters import column_of
from ...errors import CacheMismatchError, CacheUnfinishedError, ConfigurationError
from ...runtime.devices import choose_device
from ...runtime.printing import Result
from ...runtime.progress import Log, progress_bar, waiting
from ...signals.fidelity import MeanOf
from ...signals.filters.filter import Filter
from ...signals.filters.stage_one import filter_losses, first_filters, trained_filters
from ...signals.kinds import parse_sites
from ...signals.kinds.hidden import HiddenStates
from ...signals.sites import Site, site_from
from ...storage.columns.columns import Column
from ...storage.documents.filters import FilterEntry, Filters
from ...storage.documents.measured import Mean
from ...storage.folder import publish_or_accept
from ...storage.layout import filters_path
from ...storage.stores.place import place_of
from ...student_train.run.stage_one import START, tokens_in
from ...teacher_dump.teacher import teacher_of
from .config import FiltersConfig
from .lines import filter_lines

MOST = 6
"""The filters of a stack unless --filter names others."""
HELD_OUT = 256
"""The validation examples on which filters are measured, or all of fewer."""


def make_filters(config: FiltersConfig, log: Log) -> Cache:
    """Do what `add_filters` does, and say how to go on."""
    cache = add_filters(config, log)
    log(f"next: miniend train-student --cache {config.cache} --objective ted --output student")
    return cache


def add_filters(config: FiltersConfig, log: Log) -> Cache:
    """Add filters to the cache, and return it. Filters that are there already stay, if they are of the same layers and width.

    Raises CacheUnfinishedError for a cache that is not finished, CacheMismatchError for one without these hidden states, with
    other filters or of another teacher, and what loading raises.
    """
    place_of(config.cache).require_writable()
    cache = open_cache(config.cache, allow_unfinished=True)
    if not cache.complete:
        raise CacheUnfinishedError(f"{cache.path} is unfinished; run dump-teacher again to finish it first")
    measured = cache.predicting_teacher("miniend filters")
    sites, width = wanted_sites(cache, config.filter), wanted_width(cache, config.filter_width)
    if cache.filters_folder is None:
        _make(config, cache, sites, width, log)
        cache = open_cache(config.cache)
    else:
        _require_same(cache, sites, width)
        log(f"{cache.path} holds these filters already")
    assert cache.filters_folder is not None
    for line in filter_lines(cache.filters_folder.parsed(Filters), measured.unigram_entropy):
        log(Result(line))
    return cache


def wanted_sites(cache: Cache, names: Sequence[str]) -> list[Site]:
    """Return the sites that get a filter. Raises CacheMismatchError for one whose states the cache does not hold."""
    held = [site_from(name) for name in cache.plan.signals.hidden]
    stored = [site for site in held if site.kind == HiddenStates.name]  # the teacher cannot go on from others
    if not stored:
        raise CacheMismatchError(
            f"{cache.path} holds no hidden states; dump with --signal encoder.hidden@all --signal decoder.hidden@all"
        )
    if not names:
        return [
            site
            for stack in cache.family.stacks
            for site in _spread([one for one in stored if one.stack == stack.name])
        ]
    sites = list(parse_sites(tuple(names), cache.family.depths(cache.plan.teacher.facts)))
    missing = [str(site) for site in sites if site not in stored]
    if missing:
        raise CacheMismatchError(
            f"--filter: {cache.path} does not hold {', '.join(missing)}; it holds {', '.join(map(str, stored))}"
        )
    return sites


def _spread(stored: Sequence[Site]) -> list[Site]:
    """Return at most MOST of some sites, at equal distances, the last one included."""
    count, total = min(MOST, len(stored)), len(stored)
    return [stored[(2 * k * total + count) // (2 * count) - 1] for k in range(1, count + 1)]


def wanted_width(cache: Cache, given: int | None) -> int:
    """Return the width of the filters. Raises ConfigurationError for one above the teacher's."""
    full = cache.plan.teacher.facts.d_model
    if given is not None and given > full:
        raise ConfigurationError(f"--filter-width {given}: expected at most the teacher's width, {full}")
    return given or (max(64, 64 * round(full / 256)) if full >= 256 else -(-full // 4))


def _require_same(cache: Cache, sites: Sequence[Site], width: int) -> None:
    ours, theirs = {str(site): width for site in sites}, {name: one.width for name, one in cache.filters.items()}
    if ours != theirs:
        raise CacheMismatchError(
            f"{cache.path} holds other filters already, {_listed(theirs)}, and not {_listed(ours)}; remove its folder filters to "
            "make these. Students that learn from the old ones cannot go on then"
        )


def _listed(widths: dict[str, int]) -> str:
    return ", ".join(f"{name} of width {width}" for name, width in widths.items())


def _make(config: FiltersConfig, cache: Cache, sites: Sequence[Site], width: int, log: Log) -> None:
    device = choose_device(config.device)
    model = teacher_of(cache.plan, config.teacher, device, str(cache.path)).model.float()
    held_out = list(tokens_in(cache, cache.validation, device, HELD_OUT, config.batch_size))
    examples = min(config.filter_steps * config.batch_size, len(cache.training))
    with waiting("principal directions of the states"):
        first = first_filters(model, sites, tokens_in(cache, cache.training, device, START, config.batch_size), width)
        before = filter_losses(model, first, held_out)
    with progress_bar("filters", config.filter_steps, "step") as bar:
        batches = list(tokens_in(cache, cache.training, device, examples, config.batch_size))
        trained = trained_filters(model, first, batches, config.filter_steps, config.seed, bar.update)
    with waiting("loss with filters"):
        after = filter_losses(model, trained, held_out)
    publish_filters(config, cache, max(1, examples), trained, (before, after), cache.teacher_loss("validation"))


def publish_filters(
    config: FiltersConfig,
    cache: Cache,
    examples: int,
    trained: Sequence[Filter],
    losses: tuple[Sequence[MeanOf], Sequence[MeanOf]],
    teacher: MeanOf,
) -> None:
    """Write filters of a number of examples beside the shards, with their losses before and after training."""
    document = Filters(
        parent=cache.plan.digest,
        steps=config.filter_steps,
        examples=examples,
        batch_size=config.batch_size,
        teacher=Mean(**asdict(teacher)),
        filters=tuple(_entry(*one) for one in zip(trained, *losses, strict=True)),
    )
    columns = {
        column_of(one.site, name): Column(values=tensor.cpu().numpy(), axis="basis")
        for one in trained
        for name, tensor in one.tensors().items()
    }
    publish_or_accept(filters_path(cache.path), "filters", document.body(), columns, codec="zstd")


def _entry(one: Filter, before: MeanOf, after: MeanOf) -> FilterEntry:
    return FilterEntry(site=str(one.site), width=one.width, before=Mean(**asdict(before)), after=Mean(**asdict(after)))
