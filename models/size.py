"""The size of a student: `6L384H`, `6E3D384H`, or the widths of a T5 config file.

A size string gives depth and width. The rest follows the students of the MiniLM family (Wang et al., arXiv 2012.15828): heads
of width 32, and a feed-forward four times as wide, or 8/3 times if it is gated, so that both cost the same. Family, vocabulary
rows and special ids come from the teacher's config.json, never from the size. A student must share them with its teacher, because
logits and token ids in the cache mean nothing to another vocabulary.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import ConfigurationError, in_one_line, shortened
from ..runtime.durable import is_there
from ..runtime.json_file import read_json
from ..runtime.there import look, what_is_there
from .families import encoder_of, family_named, model_type_of

HEAD_WIDTH = 32
_FORMS = (
    "write 6L384H (6+6 layers, d_model 384), 6E3D384H (6 encoder, 3 decoder layers), or the path of a T5 config.json"
)
_EQUAL = re.compile(r"([1-9]\d*)L([1-9]\d*)H")
_UNEQUAL = re.compile(r"([1-9]\d*)E([1-9]\d*)D([1-9]\d*)H")

_WIDTHS = ("d_model", "d_kv", "d_ff", "num_heads", "num_layers")
"""The members that a config file must state."""
_STRUCTURE: dict[str, Any] = {
    "relative_attention_num_buckets": 32,
    "relative_attention_max_distance": 128,
    "layer_norm_epsilon": 1e-6,
    "dropout_rate": 0.1,
}
"""The members that come from the config file, else from the teacher, else are transformers' defaults, given here."""
_SHARED_IDS = {"pad_token_id": 0, "eos_token_id": 1, "decoder_start_token_id": 0}
"""The special ids, which come from the teacher, else are transformers' defaults; a config file must not contradict them."""


MOST_LAYERS, WIDEST = 512, 2**14


@dataclass(frozen=True, slots=True)
class Size:
    """The depth of both stacks and the width of the residual stream."""

    encoder_layers: int
    decoder_layers: int
    d_model: int

    def __str__(self) -> str:
        if self.encoder_layers == self.decoder_layers:
            return f"{self.encoder_layers}L{self.d_model}H"
        return f"{self.encoder_layers}E{self.decoder_layers}D{self.d_model}H"


def parse_size(text: str) -> Size:
    """Parse `6L384H` or `6E3D384H`.

    Raises ConfigurationError for any other text, for a d_model that is not a multiple of the head width 32, and for a size that
    nobody means: the largest T5 has 24 + 24 layers, and the memory for a slip of the hand is taken layer by layer.
    """
    if equal := _EQUAL.fullmatch(text):
        layers, width = map(int, equal.groups())
        size = Size(layers, layers, width)
    elif unequal := _UNEQUAL.fullmatch(text):
        size = Size(*map(int, unequal.groups()))
    else:
        raise ConfigurationError(f"size {shortened(repr(text))} is not understood; {_FORMS}")
    if max(size.encoder_layers, size.decoder_layers) > MOST_LAYERS or size.d_model > WIDEST:
        raise ConfigurationError(
            f"size {shortened(text)} is too large: expected at most {MOST_LAYERS} layers and a d_model of {WIDEST:,}"
        )
    if size.d_model % HEAD_WIDTH:
        down = size.d_model // HEAD_WIDTH * HEAD_WIDTH
        raise ConfigurationError(
            f"size {text}: d_model {size.d_model} is not a multiple of {HEAD_WIDTH}, the width of a student's heads; "
            f"try {down or HEAD_WIDTH} or {down + HEAD_WIDTH}"
        )
    return size


def proposed_size(encoder_layers: int, decoder_layers: int, d_model: int) -> str:
    """Return a size for a student of a teacher of these depths and this width: half of each, rounded up.

    It is the MiniEnD paper's 6L384H for T5-base. The width is a multiple of 32.
    """
    width = max(1, -(-d_model // (2 * HEAD_WIDTH))) * HEAD_WIDTH
    return str(Size(-(-encoder_layers // 2), -(-decoder_layers // 2), min(width, WIDEST)))


def student_config(size: str, teacher_config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the config of a student, in the members of transformers' T5 config classes, without tie and head scale.

    `size` is a size string, or the path of a config.json or of a folder that holds one. A string that has the form of a size is
    never taken for a path. `teacher_config` is the teacher's own config.json. `dropout_rate` is the teacher's (0.1 in released
    checkpoints), for later fine-tuning: distillation itself runs without dropout, as T5 v1.1's pre-training did.

    Raises ConfigurationError for a size or file that cannot be used or that contradicts the teacher.
    """
    model_type = model_type_of(teacher_config)
    common = {"model_type": model_type, "vocab_size": _teacher_rows(teacher_config)}
    common |= {key: _stated(teacher_config, key, default) for key, default in _SHARED_IDS.items()}
    structure = {key: _stated(teacher_config, key, default) for key, default in _STRUCTURE.items()}
    structure["feed_forward_proj"] = _stated(
        teacher_config, "feed_forward_proj", "relu" if family_named(model_type).model_type == "t5" else "gated-gelu"
    )
    if is_size_file(size):
        return common | _file_structure(Path(size), common, structure)
    return common | structure | _widths(parse_size(size), structure["feed_forward_proj"].startswith("gated"))


def is_size_file(size: str) -> bool:
    """Return whether a size is the path of a config file. Raises ConfigurationError for a path that is missing."""
    if _EQUAL.fullmatch(size) or _UNEQUAL.fullmatch(size):
        return False
    path = Path(size)
    if not is_there(path) and ("/" in size or path.suffix == ".json"):
        raise ConfigurationError(f"size file {size} does not exist: {what_is_there(path)}; {_FORMS}")
    return is_there(path)


def describe_size(config: Mapping[str, Any]) -> str:
    """Return one line for logs and the model card: depth, widths, feed-forward and vocabulary rows of a student config."""
    family = family_named(model_type_of(config))
    depths = [config["num_layers"], config["num_decoder_layers"]][: len(family.stacks)]
    return (
        f"{family.name}, {'+'.join(map(str, depths))} layers, d_model {config['d_model']}, "
        f"{config['num_heads']} heads of {config['d_kv']}, {config['feed_forward_proj']} feed-forward of {config['d_ff']}, "
        f"{config['vocab_size']} vocabulary rows"
    )


def _stated(config: Mapping[str, Any], key: str, default: Any) -> Any:
    value = config.get(key)
    return default if value is None else value


def _teacher_rows(teacher_config: Mapping[str, Any]) -> int:
    rows = teacher_config.get("vocab_size")
    if not isinstance(rows, int):
        raise ConfigurationError(f"the teacher's config must state vocab_size as a whole number, not {rows!r}")
    return rows


def _widths(size: Size, gated: bool) -> dict[str, Any]:
    feed_forward = max(64, round(8 * size.d_model / 3 / 64) * 64) if gated else 4 * size.d_model
    return {
        "d_model": size.d_model,
        "d_kv": HEAD_WIDTH,
        "num_heads": size.d_model // HEAD_WIDTH,
        "d_ff": feed_forward,
        "num_layers": size.encoder_layers,
        "num_decoder_layers": size.decoder_layers,
    }


def _file_structure(path: Path, common: Mapping[str, Any], structure: Mapping[str, Any]) -> dict[str, Any]:
    """Return widths and structure from a config file, after checking that it does not contradict the teacher."""
    stated = _read_config(path / "config.json" if path.is_dir() else path)
    if missing := [key for key in _WIDTHS if not isinstance(stated.get(key), int) or stated[key] < 1]:
        raise ConfigurationError(f"{path} must state {', '.join(missing)} as whole numbers of at least 1; add them")
    model_type = common["model_type"]
    if "model_type" in stated or "architectures" in stated:
        # a full model also states the sizes of its encoder
        model_type = model_type_of(stated if family_named(model_type).predicts else encoder_of(stated))
    claims = dict(stated) | {"model_type": model_type}
    for key, expected in common.items():
        if claims.get(key) not in (None, expected):
            raise ConfigurationError(
                f"{path} says {key} {claims[key]!r}, the teacher has {expected!r}, and a student must have its teacher's; "
                "correct the file or remove the key"
            )
    own = {key: _stated(stated, key, inherited) for key, inherited in structure.items()}
    return (
        own
        | {key: stated[key] for key in _WIDTHS}
        | {"num_decoder_layers": _stated(stated, "num_decoder_layers", stated["num_layers"])}
    )


def _read_config(path: Path) -> dict[str, Any]:
    if not path.is_file():
        folder = path.parent if path.name == "config.json" else path
        raise ConfigurationError(
            f"--size {folder}: expected a folder with a config.json, found {look(folder).words}; {_FORMS}"
        )
    try:
        stated = read_json(path)
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"size file {path} cannot be read as JSON ({in_one_line(error)}); {_FORMS}") from error
    if not isinstance(stated, dict):
        raise ConfigurationError(f"size file {path} holds a {type(stated).__name__}, not a JSON object; {_FORMS}")
    return stated
