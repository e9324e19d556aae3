"""The file of a comparison as its output directory keeps it: merged with its preset, with paths from the root.

So `miniend compare --output OUTPUT` goes on, from any directory and after the file has moved.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ....runtime.given import Record, Values
from ....runtime.local_names import Form, corpus, from_root, path, path_or_module, path_or_name, path_or_size, start
from ....runtime.records import write_record_file
from .yaml_file import read_with_preset

FILE = "comparison.yaml"
FORMS: Mapping[str, Form] = {
    "plugins": path_or_module,
    "corpus": corpus,
    "sizes": path_or_size,
    "size": path_or_size,
    "init": start,
    "data": path,
}
"""The keys, at any depth, whose texts may name something on this machine."""
AT_THE_TOP: Mapping[str, Form] = {"teacher": path_or_name}
"""The same for keys that mean something else further down."""


def keep_file(file: Path, output: Path) -> None:
    """Write the content of a comparison's file into its output directory. Its settings must be in force."""
    import yaml

    content = _rooted(read_with_preset(file), {**FORMS, **AT_THE_TOP})
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=math.inf)
    head = "# The comparison as it was last run, written by MiniEnD. To repeat it: miniend compare THIS_FILE --output NEW\n"
    write_record_file(output / FILE, (head + text).encode())


def recorded_comparison(given: Values) -> Record | None:
    """Return the file that the output that is given keeps; None if it does not keep one yet."""
    if (output := given.get("output")) is None or not (kept := Path(output) / FILE).is_file():
        return None
    return Record(source=str(output), values={"file": str(kept)})


def _rooted(content: Mapping[str, Any], forms: Mapping[str, Form]) -> dict[str, Any]:
    return {key: _value(value, forms.get(key)) for key, value in content.items()}


def _value(value: Any, form: Form | None) -> Any:
    if isinstance(value, Mapping):
        return _rooted(value, FORMS)
    if isinstance(value, list):
        return [_value(one, form) for one in value]
    return from_root(form, value) if form is not None and isinstance(value, str) else value
