"""Where the sources of a cache are, for a repair: `dump.yaml` may say it."""

from ...errors import MiniEndError
from ...runtime.given import Record, Values
from ...runtime.local_names import corpus, is_lost, path_or_name
from ...runtime.typed import typed_options
from ...storage.stores.place import place_of
from ...storage.survey import OPTIONS_FILE
from ...teacher_dump.recorded import written_options
from .config import RepairConfig

FORMS = {"teacher": path_or_name, "corpus": corpus}


def recorded_sources(given: Values) -> Record | None:
    """Return the teacher, the corpora and their split, as far as these are still there.

    A repair may not need them. So a file that cannot be read, or a path that is lost, does not stop it.
    """
    if not given.get("repair"):
        return None
    try:
        written = written_options(given["cache"]) or {}
        known = {name: written[name] for name in (*FORMS, "split") if name in written}
        values = typed_options(RepairConfig, known, (*FORMS, "split"))
    except MiniEndError:
        return None
    lost = [name for name, form in FORMS.items() for one in _texts(values.get(name)) if is_lost(form, one)]
    kept = {name: value for name, value in values.items() if name not in lost}
    return Record(source=str(place_of(given["cache"]) / OPTIONS_FILE), values=kept)


def _texts(value: str | tuple[str, ...] | None) -> tuple[str, ...]:
    return () if value is None else (value,) if isinstance(value, str) else value
