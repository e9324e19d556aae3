"""Check that a cache's documents fit the kinds of its signals and the family of its teacher.

`read_calibration` and `read_shard` return a folder's document after storage's own checks and the checks here. They read only
documents, each time a cache is opened.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from ..errors import CacheMismatchError, CheckpointError, damaged, shortened
from ..models.families import FAMILIES, family_named, model_type_of
from ..models.tokenizer_files import TOKENIZER_FILES, strangers
from ..signals.choices import PREDICTED
from ..signals.kinds import KINDS, kind_of
from ..signals.logits.states import state_site
from ..signals.sites import is_site, site_from
from ..storage import contents
from ..storage.documents.calibration import Calibration, SiteEntry
from ..storage.documents.marker import SegmentsMarker, ShardMarker
from ..storage.documents.measured import Fidelity, Spread
from ..storage.documents.plan import Plan, TeacherFacts
from ..storage.documents.values import LAST_BIN
from ..storage.folder import PublishedFolder
from .codecs import HEAD_COLUMN, NORM_COLUMN, members_of
from .logit_columns import expected_logit_columns

TOKENIZER_FOLDER = "tokenizer/"
LOGITS = "logits"
"""The name of the next-token distributions among the measurements of sites."""
LOGIT_MEASURES = ("kl", "tail_mass", "entries")
"""What is always measured of lists."""
STATE_MEASURES = ("kl",)
"""What is always measured of distributions from states."""
MOST_SPARE = 2**16
"""The rows that any teacher may have beyond its tokenizer's ids, however few these are."""
MOST_UNLISTED = 1024
"""The ids that a tokenizer may have without a byte in its files: bytes, and ids that its class adds."""
_IDS_OF_CONFIG = ("pad_token_id", "eos_token_id", "decoder_start_token_id")


def read_plan(folder: PublishedFolder) -> Plan:
    """Return the plan. Raise CacheDamagedError unless its members fit each other, and its tokenizer's files are a tokenizer's.

    These files go into every student, where another name could be that of the run's own record, or of a program.
    """
    plan = folder.parsed(Plan)
    require_known_kinds(plan, folder.path)
    if misfit := next(misfits_of_plan(folder, plan), None):
        raise damaged(folder.path, misfit)
    if others := strangers(tokenizer_names(folder)):
        raise damaged(
            folder.path, f"the files of its tokenizer can be {', '.join(TOKENIZER_FILES)}; found {others[0]!r}"
        )
    return plan


def tokenizer_names(folder: PublishedFolder) -> list[str]:
    """Return the names of the tokenizer's files in a plan's folder."""
    paths = [path for path in folder.document["files"] if path.startswith(TOKENIZER_FOLDER)]
    return [path.removeprefix(TOKENIZER_FOLDER) for path in paths]


def require_known_kinds(plan: Plan, where: object) -> None:
    """Raise CacheMismatchError if a plan names a family of teachers, or a kind of site, that is not registered here."""
    if plan.teacher.facts.model_type not in FAMILIES:
        raise CacheMismatchError(
            f"{where} is of a teacher of the family {plan.teacher.facts.model_type!r}, which is not registered here; expected "
            f"one of {', '.join(FAMILIES)}. Name the module that adds it with --plugin"
        )
    for name in (*plan.signals.relations, *plan.signals.hidden):
        if is_site(name) and site_from(name).kind not in KINDS:
            raise CacheMismatchError(
                f"{where} holds {name}, but the kind {site_from(name).kind!r} is not registered here; expected one of "
                f"{', '.join(KINDS)}. Name the module that adds it with --plugin"
            )


def require_configuration(folder: PublishedFolder, config: Mapping[str, Any]) -> None:
    """Raise CacheDamagedError for a plan's config.json of a teacher of which no model can be made."""
    from ..models.configuration import configuration_of  # imports transformers, which opening a cache does not need

    try:
        configuration_of(config, "its teacher.config")
    except CheckpointError as error:
        raise damaged(folder.path, str(error)) from error


def read_calibration(folder: PublishedFolder, plan: Plan) -> Calibration:
    """Return the calibration. Raise CacheDamagedError unless the kinds of its sites have these codes."""
    calibration = contents.read_calibration(folder, plan)
    for member, entries in (("relations", calibration.sites), ("hidden", calibration.hidden)):
        for entry in entries:
            _check_site(folder, entry, member, plan.teacher.facts)
    _check_measured(folder, "teacher", calibration.teacher, plan)
    _check_chain(folder, calibration.entries, plan.signals.hidden_code == PREDICTED)
    _check_fidelity(folder, calibration.fidelity, plan, once=True)
    if plan.signals.logits:
        rows, ids = plan.teacher.facts.vocab_rows, plan.tokenizer.size
        contents.check_columns(folder, {"logits.mean_probability": ("basis", [rows])}, contents.FLOATS)
        contents.check_columns(folder, {"logits.order": ("basis", [ids])})
        if plan.signals.logits.from_states:
            width = plan.teacher.facts.d_model
            head: contents.Expected = {HEAD_COLUMN: ("basis", [rows, width]), NORM_COLUMN: ("basis", [width])}
            contents.check_columns(folder, head, contents.FLOATS)
    return calibration


def read_shard(folder: PublishedFolder, plan: Plan, calibration: Calibration) -> ShardMarker:
    """Return the marker. Raise CacheDamagedError unless it counts the family's tokens and has the columns of the logits."""
    family = family_named(plan.teacher.facts.model_type)
    marker = contents.read_shard(folder, calibration)
    contents.require_axes(folder, marker, family.axes)
    _check_tokens(folder, _lengths(plan), marker.count, marker.tokens)
    _check_measured(folder, "teacher_cross_entropy", marker.teacher_cross_entropy, plan)
    _check_fidelity(folder, marker.fidelity, plan)
    if plan.signals.logits:
        expected = expected_logit_columns(folder, plan.signals.logits, family.label_axis, marker.tokens)
        contents.check_columns(folder, expected)
    return marker


def read_segments(folder: PublishedFolder, plan: Plan) -> SegmentsMarker:
    """Return the marker. Raise CacheDamagedError unless the folder has the columns of the plan's task."""
    marker = contents.read_segments(folder)
    for name in segment_names(plan):
        if f"{name}.ids" not in folder.columns:
            raise damaged(folder.path, f"it lacks the column {name}.ids")
    lengths = _lengths(plan)
    if plan.task.corruption:
        lengths = {"segment": plan.task.corruption.segment_length}
    tokens = {axis: folder.columns[f"{axis}s.ids"]["shape"][0] for axis in lengths}
    _check_tokens(folder, lengths, marker.count, tokens)
    return marker


def segment_names(plan: Plan) -> tuple[str, ...]:
    """Return the names of the raw segments of a plan's task: one, or for pairs one for each side."""
    axes = family_named(plan.teacher.facts.model_type).axes
    return ("segments",) if plan.task.corruption else tuple(f"{axis}s" for axis in axes)


def misfits_of_plan(folder: PublishedFolder, plan: Plan) -> Iterator[str]:
    """Yield a sentence for everything in which the members of a plan contradict each other."""
    teacher, tokenizer = plan.teacher, plan.tokenizer
    rows, size = teacher.facts.vocab_rows, tokenizer.size
    try:
        named = model_type_of(teacher.config)
    except CheckpointError:
        named = "unknown"
    if named != teacher.facts.model_type:
        yield f"its teacher.config is of the family {named}, its teacher.facts of {teacher.facts.model_type}"
    yield from _misfits_of_family(plan)
    if not size <= rows <= MOST_SPARE + 2 * size:
        yield f"its teacher has {rows:,} rows for the {size:,} ids of its tokenizer"
    files = [entry["bytes"] for path, entry in folder.document["files"].items() if path.startswith(TOKENIZER_FOLDER)]
    if size > MOST_UNLISTED + sum(files):
        yield f"its tokenizer has {size:,} ids in files of {sum(files):,} bytes"
    ids = {"teacher.start_id": teacher.start_id, "teacher.pad_id": teacher.pad_id}
    ids |= {f"teacher.config.{name}": teacher.config.get(name) or 0 for name in _IDS_OF_CONFIG}
    yield from (f"its {name} is {one}, but its teacher has {rows:,} rows" for name, one in ids.items() if one >= rows)
    known = {
        "eos_id": tokenizer.eos_id,
        "pad_id": tokenizer.pad_id,
        "sentinel_ids": max(tokenizer.sentinel_ids, default=0),
    }
    yield from (f"its tokenizer.{name} is {one}, but it has {size:,} ids" for name, one in known.items() if one >= size)
    for member in ("relations", "hidden"):
        yield from _misfits_of_order(member, getattr(plan.signals, member))
    last = str(state_site(family_named(teacher.facts.model_type), teacher.facts))
    if plan.signals.logits and plan.signals.logits.from_states and last not in plan.signals.hidden:
        yield f"its logits are made of {last}, which its signals.hidden lacks"


def _misfits_of_family(plan: Plan) -> Iterator[str]:
    """Yield a sentence for every member that a teacher of this family cannot have."""
    facts, family = plan.teacher.facts, family_named(plan.teacher.facts.model_type)
    # a family's own depths leave out the stacks that it lacks
    for stack, depth in (("encoder", facts.encoder_layers), ("decoder", facts.decoder_layers)):
        there = stack in [one.name for one in family.stacks]
        if bool(depth) != there:
            yield f"its teacher.facts.{stack}_layers is {depth}, but a {family.name} has {'some' if there else 'none'}"
    if plan.task.text == family.predicts:
        yield f"its task is {plan.task.kind}, which does not go with a teacher of the family {family.name}"
    for name in ("residues", "pipeline"):
        if getattr(plan.task, name) and not plan.task.text:
            yield f"its objective.{name} is {getattr(plan.task, name)}, which its task {plan.task.kind} does not have"
    if plan.task.text != (plan.task.target_length is None):
        yield f"its objective.target_length should {'be missing' if plan.task.text else 'be there'}"
    if plan.signals.logits and not family.predicts:
        yield f"it has logits, which a {family.name} does not predict"


def _misfits_of_order(member: str, sites: Sequence[str]) -> Iterator[str]:
    """Yield a sentence for every site whose layer does not come after the layer that is listed before it."""
    before: dict[str, int] = {}
    for site in map(site_from, filter(is_site, sites)):
        if site.layer <= before.get(site.name, -1):
            yield f"its signals.{member} should list each layer once and the lower ones first, found {site} too late"
        before[site.name] = site.layer


def _lengths(plan: Plan) -> dict[str, int]:
    """Return the most tokens that an example has, by axis. A family with one axis has inputs and targets there."""
    *others, last = family_named(plan.teacher.facts.model_type).axes
    inputs, targets = plan.task.input_length, plan.task.target_length or 0
    return {**dict.fromkeys(others, inputs), last: targets if others else inputs + targets}


def _check_tokens(
    folder: PublishedFolder, lengths: Mapping[str, int], examples: int, tokens: Mapping[str, int]
) -> None:
    """Raise CacheDamagedError for more tokens than the plan gives to so many examples, and for tokens on other axes."""
    for axis, count in tokens.items():
        if count > examples * lengths.get(axis, 0):
            raise damaged(
                folder.path,
                f"its {count:,} {axis} tokens are more than {examples:,} examples of the plan have together",
            )


def _check_fidelity(folder: PublishedFolder, fidelity: Fidelity, plan: Plan, once: bool = False) -> None:
    """Raise CacheDamagedError unless the measurements are of the plan's sites, each with everything that its kind measures.

    With `once`, a site may have what only a calibration measures.
    """
    for name, found in fidelity.items():
        wanted = _measures(name, found, plan)
        spare = set(kind_of(site_from(name)).measures_once(site_from(name))) if once and is_site(name) else set()
        others = set(found) - set(wanted or ()) - spare
        if wanted is None or (found and not set(wanted) <= set(found)) or (name != LOGITS and others):
            listed = f"tell of {', '.join(sorted(wanted))}" if wanted else "not be there"
            raise damaged(folder.path, f"its fidelity.{name} should {listed}")
        for kind, spread in found.items():
            if misfit := _misfit_of_bins(spread):
                raise damaged(folder.path, f"its fidelity.{name}.{kind} {misfit}")


def _measures(name: str, found: Collection[str], plan: Plan) -> Collection[str] | None:
    """Return what is measured of the logits or of a site; None for a name that the plan does not have.

    For a kind that does not say it, this is what was found.
    """
    if name == LOGITS:
        logits = plan.signals.logits
        return None if logits is None else STATE_MEASURES if logits.from_states else LOGIT_MEASURES
    if name not in (*plan.signals.relations, *plan.signals.hidden):
        return None
    site = site_from(name)
    measures = kind_of(site).measures(site, plan.teacher.facts)
    return found if measures is None else measures


def _misfit_of_bins(spread: Spread) -> str | None:
    """Return what is wrong with a histogram; None if nothing is, or if there is none."""
    if (spread.first_bin is None) != (spread.bins is None):
        return "should have both first_bin and bins, or none of them"
    counts = [int(count) for count in (spread.bins or "").split()]
    if counts and (spread.first_bin or 0) + len(counts) - 1 > LAST_BIN:
        return f"should end with the bin {LAST_BIN:,}"
    if spread.bins is not None and sum(counts) != spread.count:
        return f"should count {spread.count:,} values in its bins, found {sum(counts):,}"
    return None


def _check_measured(folder: PublishedFolder, member: str, found: object | None, plan: Plan) -> None:
    """Raise CacheDamagedError unless a member on how the teacher predicts tokens is there exactly if it does."""
    predicts = family_named(plan.teacher.facts.model_type).predicts
    if (found is not None) != predicts:
        raise damaged(folder.path, f"its member {member} should {'be there' if predicts else 'be missing'}")


def _check_chain(folder: PublishedFolder, entries: Sequence[SiteEntry], predicted: bool) -> None:
    """Raise CacheDamagedError unless each site is predicted from what the plan says: the listed layer below it, or from none."""
    below: dict[str, str] = {}
    for entry in entries:
        site = site_from(entry.site)
        wanted = below.get(site.name) if predicted and kind_of(site).predictable else None
        if entry.predicted_from != wanted:
            found = "none" if entry.predicted_from is None else shortened(repr(entry.predicted_from))
            raise damaged(
                folder.path, f"its site {entry.site} should be predicted from {wanted or 'none'}, found {found}"
            )
        below[site.name] = entry.site


def _check_site(folder: PublishedFolder, entry: SiteEntry, member: str, facts: TeacherFacts) -> None:
    stacks = family_named(facts.model_type).stacks
    site = site_from(entry.site) if is_site(entry.site) else None
    kind = kind_of(site) if site and site.kind in KINDS else None
    stack = next((one for one in stacks if site and one.name == site.stack), None)
    if site is None or kind is None or stack is None or not kind.exists(stack) or kind.member != member:
        raise damaged(folder.path, f"its site {entry.site} should be one of the kinds {', '.join(KINDS)} of a stack")
    if site.layer not in kind.layers(family_named(facts.model_type).depths(facts)[stack.name]):
        raise damaged(folder.path, f"its site {entry.site} is in a layer that the teacher does not have")
    places = {place.name: place for place in kind.places(site)}
    if set(entry.codes) != set(places):
        raise damaged(folder.path, f"its site {entry.site} should have the codes {', '.join(places)}")
    for name, place in places.items():
        code = entry.codes[name]
        if (code.axis, code.blocks, code.column) != (place.axis, place.blocks, place.column):
            wanted = f"be on the axis {place.axis} with the blocks {', '.join(place.blocks)}"
            raise damaged(folder.path, f"its code {entry.site}.{name} should {wanted}, in the column {place.column}")
        shape = [kind.width(facts) * len(place.blocks)]
        contents.check_columns(folder, {f"{entry.site}.{name}.mean": ("basis", shape)}, contents.FLOATS)
    others = {f"{entry.site}.{name}": ("basis", [*shape]) for name, shape in kind.arrays(site, facts).items()}
    contents.check_columns(folder, others, contents.FLOATS)
    if misfit := next(iter(kind.misfits(site, members_of(entry, str(folder.path)), facts)), None):
        raise damaged(folder.path, misfit)
