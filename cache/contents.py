"""Check that a cache's documents fit the kinds of its signals and the family of its teacher.

`read_calibration` and `read_shard` return a folder's document after storage's own checks and the checks here. They read only
documents, each time a cache is opened.
"""

from ..errors import CacheMismatchError, damaged
from ..models.families import family_named
from ..models.tokenizer_files import TOKENIZER_FILES, strangers
from ..signals.kinds import KINDS, kind_of
from ..signals.sites import is_site, site_from
from ..storage import contents
from ..storage.documents.calibration import Calibration, SiteEntry
from ..storage.documents.marker import SegmentsMarker, ShardMarker
from ..storage.documents.plan import Plan, TeacherFacts
from ..storage.folder import PublishedFolder
from .codecs import members_of
from .logit_columns import expected_logit_columns

TOKENIZER_FOLDER = "tokenizer/"


def read_plan(folder: PublishedFolder) -> Plan:
    """Return the plan. Raise CacheDamagedError if it lists a file of the tokenizer that a tokenizer does not have.

    The files of the tokenizer go into every student, where another name could be that of the run's own record, or of a program.
    """
    plan = folder.parsed(Plan)
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
    """Raise CacheMismatchError if a plan names a site whose kind is not registered here."""
    for name in (*plan.signals.relations, *plan.signals.hidden):
        if is_site(name) and site_from(name).kind not in KINDS:
            raise CacheMismatchError(
                f"{where} holds {name}, but the kind {site_from(name).kind!r} is not registered here; expected one of "
                f"{', '.join(KINDS)}. Name the module that adds it with --plugin"
            )


def read_calibration(folder: PublishedFolder, plan: Plan) -> Calibration:
    """Return the calibration. Raise CacheDamagedError unless the kinds of its sites have these codes."""
    calibration = contents.read_calibration(folder, plan)
    for member, entries in (("relations", calibration.sites), ("hidden", calibration.hidden)):
        for entry in entries:
            _check_site(folder, entry, member, plan.teacher.facts)
    if plan.signals.logits:
        rows, ids = plan.teacher.facts.vocab_rows, plan.tokenizer.size
        contents.check_columns(folder, {"logits.mean_probability": ("basis", [rows])}, contents.FLOATS)
        contents.check_columns(folder, {"logits.order": ("basis", [ids])})
    return calibration


def read_shard(folder: PublishedFolder, plan: Plan, calibration: Calibration) -> ShardMarker:
    """Return the marker. Raise CacheDamagedError unless it counts the family's tokens and has the columns of the logits."""
    family = family_named(plan.teacher.facts.model_type)
    marker = contents.read_shard(folder, calibration)
    contents.require_axes(folder, marker, family.axes)
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
    return marker


def segment_names(plan: Plan) -> tuple[str, ...]:
    """Return the names of the raw segments of a plan's task: one, or for pairs one for each side."""
    axes = family_named(plan.teacher.facts.model_type).axes
    return tuple(f"{axis}s" for axis in axes) if plan.task.pairs else ("segments",)


def _check_site(folder: PublishedFolder, entry: SiteEntry, member: str, facts: TeacherFacts) -> None:
    stacks = family_named(facts.model_type).stacks
    site = site_from(entry.site) if is_site(entry.site) else None
    kind = kind_of(site) if site and site.kind in KINDS else None
    stack = next((one for one in stacks if site and one.name == site.stack), None)
    if site is None or kind is None or stack is None or not kind.exists(stack) or kind.member != member:
        raise damaged(folder.path, f"its site {entry.site} should be one of the kinds {', '.join(KINDS)} of a stack")
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
    if misfit := next(iter(kind.misfits(site, members_of(entry, str(folder.path)), facts)), None):
        raise damaged(folder.path, misfit)
