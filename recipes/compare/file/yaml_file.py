"""Read the YAML file of a comparison together with the preset that it names."""

from pathlib import Path
from typing import Any

from ....errors import ConfigurationError, shortened
from ....runtime.listing import entries
from ....runtime.yaml_file import read_yaml
from .unused import without_unused

PRESETS = Path(__file__).parent / "presets"
WHAT = "the file of a comparison"


def read_with_preset(path: Path) -> dict[str, Any]:
    """Return the mapping in a file, merged with its preset: inner mappings are joined, other values replace the preset's.

    Raises ConfigurationError if the file or preset does not exist or is not a mapping.
    """
    own = read_yaml(path, WHAT)
    name = own.pop("preset", None)
    if name is None:
        return own
    known = sorted(preset.stem for preset in entries(PRESETS, suffix=".yaml"))
    if name not in known:
        raise ConfigurationError(f"{path}: unknown preset {shortened(repr(name))}; expected one of {', '.join(known)}")
    return without_unused(_merged(read_yaml(PRESETS / f"{name}.yaml", WHAT), own), own)


def _merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        both = isinstance(value, dict) and isinstance(below.get(key), dict)
        merged[key] = _merged(below[key], value) if both else value
    return merged
