"""Read a YAML file together with the preset that it names."""

import re
from pathlib import Path
from typing import Any

import yaml

from ....errors import ConfigurationError, in_one_line, shortened

PRESETS = Path(__file__).parent / "presets"


class _OnceOnly(yaml.SafeLoader):  # type: ignore[misc, unused-ignore]
    """A loader that refuses a key given twice in one mapping, as YAML requires; PyYAML takes the last."""

    def compose_mapping_node(self, anchor: str | None) -> yaml.MappingNode:
        """Return the mapping as it is written. Raises yaml.YAMLError for a key given twice."""
        node = super().compose_mapping_node(anchor)
        seen = set()
        for key, _ in node.value:
            if (key.tag, str(key.value)) in seen:
                raise yaml.composer.ComposerError(None, None, f"{key.value!r} is given twice", key.start_mark)
            seen.add((key.tag, str(key.value)))
        return node


_READ_OTHERWISE = re.compile(r"[-+]?(0[0-9_]+|[0-9_]+(:[0-5]?[0-9])+(\.[0-9_]*)?)")
"""Numbers that YAML 1.1 reads in another base: 010 is 8, and 1:30 is 90."""


def _as_written(loader: _OnceOnly, node: yaml.ScalarNode) -> int | float:
    """Return a number as a person reads it. Raises yaml.YAMLError for one that YAML would read otherwise, or not at all."""
    if _READ_OTHERWISE.fullmatch(node.value):
        problem = f"YAML reads {node.value} in another base; write a plain decimal number, or a text in quotes"
        raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
    whole = node.tag.endswith(":int")
    try:
        value: int | float = (loader.construct_yaml_int if whole else loader.construct_yaml_float)(node)
    except ValueError:
        problem = f"{shortened(node.value)} is not a number"
        raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark) from None
    return value


for _kind in ("int", "float"):
    _OnceOnly.add_constructor(f"tag:yaml.org,2002:{_kind}", _as_written)


def read_with_preset(path: Path) -> dict[str, Any]:
    """Return the mapping in a file, merged with its preset: inner mappings are joined, other values replace the preset's.

    Raises ConfigurationError if the file or preset does not exist or is not a mapping.
    """
    own = _read(path)
    name = own.pop("preset", None)
    if name is None:
        return own
    known = sorted(preset.stem for preset in PRESETS.glob("*.yaml"))
    if name not in known:
        raise ConfigurationError(f"{path}: unknown preset {name!r}; expected {' or '.join(known)}")
    return _merged(_read(PRESETS / f"{name}.yaml"), own)


def _read(path: Path) -> dict[str, Any]:
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), _OnceOnly)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}") from None
    except yaml.YAMLError as error:
        raise ConfigurationError(f"{path} is not valid YAML: {in_one_line(error)}") from None
    except (ValueError, TypeError, RecursionError) as error:  # such as a date that the calendar does not have
        raise ConfigurationError(f"{path} holds what YAML cannot read: {in_one_line(error)}") from None
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise ConfigurationError(f"{path} should be a mapping from keys to values, found {type(content).__name__}")
    return content


def _merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        both = isinstance(value, dict) and isinstance(below.get(key), dict)
        merged[key] = _merged(below[key], value) if both else value
    return merged
