"""Read a YAML file of options, and say in which line a key is.

A file that comes from elsewhere can be anything. What YAML cannot read, or what grows when it is read, is one line here.
"""

import re
from pathlib import Path
from typing import Any

import yaml

from ..errors import ConfigurationError, in_one_line, shortened
from .there import look

LARGEST = 2**20
"""The most bytes of a file; options need a few thousand."""
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


def read_yaml(path: Path, what: str) -> dict[str, Any]:
    """Return the mapping in a file. `what` says what the file should be, such as `the file of a comparison`.

    Raises ConfigurationError for anything else.
    """
    return parse_yaml(_text(path, what), str(path))


def parse_yaml(text: str, path: str) -> dict[str, Any]:
    """Return the mapping in a text; `path` says where it is from. Raises ConfigurationError for anything else."""
    try:
        _require_small(yaml.compose(text, _OnceOnly), path)
        content = yaml.load(text, _OnceOnly)
    except yaml.YAMLError as error:
        raise ConfigurationError(f"{path} is not valid YAML: {in_one_line(error)}") from None
    except RecursionError:
        raise ConfigurationError(f"{path} is nested too deeply; correct it") from None
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        found = "nothing" if content is None else type(content).__name__
        raise ConfigurationError(f"{path} should be a mapping from keys to values, found {found}")
    return content


def _text(path: Path, what: str = "a file of options") -> str:
    if not path.is_file():
        raise ConfigurationError(f"{path} is not {what}: it is {look(path).words}; expected a YAML file")
    if path.stat().st_size > LARGEST:
        raise ConfigurationError(f"{path} has {path.stat().st_size:,} bytes; {what} has at most {LARGEST:,}")
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} cannot be read: {in_one_line(error)}; write it in UTF-8") from None


def _require_small(root: yaml.Node | None, path: str) -> None:
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
