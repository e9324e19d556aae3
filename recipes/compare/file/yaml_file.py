"""Read a YAML file together with the preset that it names, and say in which line a key is.

A file that comes from elsewhere can be anything. What YAML cannot read, or what grows when it is read, is one line here.
"""

import re
from pathlib import Path
from typing import Any

import yaml

from ....errors import ConfigurationError, in_one_line, shortened
from ....runtime.listing import entries
from ....runtime.there import look

PRESETS = Path(__file__).parent / "presets"
LARGEST = 2**20
"""The most bytes of a file; a comparison needs a few thousand."""
MOST_VALUES = 100_000
"""The most values of a file once all its aliases are written out."""


class _OnceOnly(yaml.SafeLoader):  # type: ignore[misc, unused-ignore]
    """A loader that refuses a key given twice in one mapping, as YAML requires; PyYAML takes the last.

    It names the line of a value that cannot be what its tag or its form says, such as `!!int x` or 2024-13-45.
    """

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """Return the value of a node. Raises yaml.YAMLError for one that cannot be read."""
        try:
            return super().construct_object(node, deep=deep)
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError):
            kind = str(node.tag).rpartition(":")[2]
            problem = f"{shortened(str(node.value))} cannot be read as {shortened(kind)}"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark) from None

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


def line_of(path: Path, message: str) -> int | None:
    """Return the line of the key at the start of a message, such as `train: batch_size ...`; None for one of the preset."""
    node: Any = yaml.compose(_text(path), _OnceOnly)
    line = None
    for word in re.findall(r"[^\s:,;'\"]+", message)[:8]:
        keys = {key.value: (key, value) for key, value in node.value} if isinstance(node, yaml.MappingNode) else {}
        if found := keys.get(word) or keys.get(word.lstrip("-").replace("-", "_")):
            line, node = found[0].start_mark.line + 1, found[1]
    return line


def _as_written(loader: _OnceOnly, node: yaml.ScalarNode) -> int | float:
    """Return a number as a person reads it. Raises yaml.YAMLError for one that YAML would read otherwise, or not at all."""
    if _READ_OTHERWISE.fullmatch(node.value):
        problem = f"YAML reads {node.value} in another base; write a plain decimal number, or a text in quotes"
        raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
    whole = node.tag.endswith(":int")
    value: int | float = (loader.construct_yaml_int if whole else loader.construct_yaml_float)(node)
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
    known = sorted(preset.stem for preset in entries(PRESETS, suffix=".yaml"))
    if name not in known:
        raise ConfigurationError(f"{path}: unknown preset {shortened(repr(name))}; expected {' or '.join(known)}")
    return _merged(_read(PRESETS / f"{name}.yaml"), own)


def _read(path: Path) -> dict[str, Any]:
    text = _text(path)
    try:
        _require_small(yaml.compose(text, _OnceOnly), path)
        content = yaml.load(text, _OnceOnly)
    except yaml.YAMLError as error:
        raise ConfigurationError(f"{path} is not valid YAML: {in_one_line(error)}") from None
    except RecursionError:
        raise ConfigurationError(f"{path} is nested too deeply for a comparison; correct it") from None
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        found = "nothing" if content is None else type(content).__name__
        raise ConfigurationError(f"{path} should be a mapping from keys to values, found {found}")
    return content


def _text(path: Path) -> str:
    if not path.is_file():
        raise ConfigurationError(
            f"{path} is not the file of a comparison: it is {look(path).words}; expected a YAML file"
        )
    if path.stat().st_size > LARGEST:
        raise ConfigurationError(
            f"{path} has {path.stat().st_size:,} bytes; the file of a comparison has at most {LARGEST:,}"
        )
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} cannot be read: {in_one_line(error)}; write it in UTF-8") from None


def _require_small(root: yaml.Node | None, path: Path) -> None:
    """Raise ConfigurationError for aliases that refer to themselves, or that multiply what they stand for."""
    counts: dict[int, int] = {}

    def count(node: yaml.Node) -> int:
        if id(node) not in counts:
            counts[id(node)] = MOST_VALUES + 1  # what it is while we are inside of it
            inner = [one for pair in node.value for one in (pair if isinstance(pair, tuple) else (pair,))]
            counts[id(node)] = 1 + sum(map(count, inner if not isinstance(node, yaml.ScalarNode) else []))
        return counts[id(node)]

    if root is not None and count(root) > MOST_VALUES:
        raise ConfigurationError(f"{path} holds more than {MOST_VALUES:,} values, or an alias of itself; write less")


def _merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        both = isinstance(value, dict) and isinstance(below.get(key), dict)
        merged[key] = _merged(below[key], value) if both else value
    return merged
