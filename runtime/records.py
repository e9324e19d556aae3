"""Records: the YAML file beside an output that holds the options with which it was made.

A record has the values in force: defaults are written out, so that another version repeats the same run, and paths start from the
root, so that it can be repeated from any directory. The options of one command only, such as where the output is, are left out.
"""

import math
import os
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from .durable import write_durably
from .local_names import Form, from_root, path
from .options import SECTIONS, option_of
from .plugins import named_plugins

PLUGIN = "plugin"
"""The key of the plugins in a record."""


def record_of(config: Any, **instead: Any) -> dict[str, Any]:
    """Return the options of a configuration as a record holds them, with other values for those in `instead`."""
    declared = {one.name: option for one in fields(config) if (option := option_of(one)) and not option.once}
    order = sorted(declared, key=lambda name: SECTIONS.index(declared[name].section))
    values = {}
    for name in order:
        option = declared[name]
        value = getattr(config, option.identity if isinstance(option.identity, str) else name)
        values[name] = _plain(instead.get(name, value), option.local)
    return values | ({PLUGIN: list(named_plugins())} if named_plugins() else {})


def as_yaml(command: str, target: str, record: Mapping[str, Any], note: str = "") -> bytes:
    """Return the text of a record. `command` and `target` say in its first line how the run is repeated, `note` what else."""
    import yaml

    text = yaml.safe_dump(
        dict(record), sort_keys=False, allow_unicode=True, width=math.inf, default_flow_style=None, line_break="\n"
    )
    head = f"# The options of this run, written by MiniEnD. To repeat it: miniend {command} --config THIS_FILE {target} NEW"
    return "\n".join([head, *([f"# {note}"] if note else []), text]).encode()


def write_record_file(path: Path, content: bytes) -> None:
    """Write a record, whole or not at all, unless the file holds the same already."""
    try:
        if path.read_bytes() == content:
            return
    except OSError:
        pass
    write_durably(path, content)


def _plain(value: Any, form: Form | None) -> Any:
    if isinstance(value, tuple | list):
        return [_plain(one, form) for one in value]
    if isinstance(value, os.PathLike):
        return from_root(form or path, os.fspath(value))
    if form is None or value is None:
        return value
    return from_root(form, str(value))  # a text, or a place, whose text is its path or URL
