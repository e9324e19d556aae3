"""Reading a YAML file with the preset that it names."""

from pathlib import Path
from typing import Any

import yaml

from ....errors import ConfigurationError, in_one_line

PRESETS = Path(__file__).parent / "presets"


class _OnceOnly(yaml.SafeLoader):  # type: ignore[misc, unused-ignore]
    """YAML forbids a key that stands twice in one mapping; PyYAML takes the last."""

    def compose_mapping_node(self, anchor: str | None) -> yaml.MappingNode:
        """The mapping as it is written. Raises yaml.YAMLError for a key that stands twice."""
        node = super().compose_mapping_node(anchor)
        seen = set()
        for key, _ in node.value:
            if (key.tag, str(key.value)) in seen:
                raise yaml.composer.ComposerError(None, None, f"{key.value!r} stands there twice", key.start_mark)
            seen.add((key.tag, str(key.value)))
        return node


def read_with_preset(path: Path) -> dict[str, Any]:
    """The mapping in a file; mappings inside of it are added to those of its preset, other values replace them.

    Raises ConfigurationError for a file or preset that is not there or holds something else.
    """
    own = _read(path)
    name = own.pop("preset", None)
    if name is None:
        return own
    known = sorted(preset.stem for preset in PRESETS.glob("*.yaml"))
    if name not in known:
        raise ConfigurationError(f"{path}: there is no preset {name!r}; expected {' or '.join(known)}")
    return _merged(_read(PRESETS / f"{name}.yaml"), own)


def _read(path: Path) -> dict[str, Any]:
    try:
        found = yaml.load(path.read_text(encoding="utf-8"), _OnceOnly)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}") from None
    except yaml.YAMLError as error:
        raise ConfigurationError(f"{path} is no YAML: {in_one_line(error)}") from None
    if not isinstance(found, dict) or not all(isinstance(key, str) for key in found):
        raise ConfigurationError(f"{path} should hold keys, each with its value; found {type(found).__name__}")
    return found


def _merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        both = isinstance(value, dict) and isinstance(below.get(key), dict)
        merged[key] = _merged(below[key], value) if both else value
    return merged
