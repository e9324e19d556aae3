"""Making, loading and saving a student: a plain transformers model of its teacher's family.

A student computes, to the bit, what `from_pretrained` on its saved folder computes, so it keeps the head scale that plain
transformers applies on reload: T5's is stored in config.json, mT5 has none, and umT5 always scales by d_model^-1/2. Where
weights come from a checkpoint whose authors meant another scale (the released umT5 ones), the final decoder norm takes the
difference up. Dropout is off in the modules, while config.json keeps the rate for fine-tuning.
"""

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors import SafetensorError

from ..errors import ConfigurationError, TrainingError
from ..runtime.durable import flush
from ..runtime.progress import quiet_transformers
from .families.t5 import (
    ARCHITECTURES,
    head_scale,
    is_tied,
    model_type_of,
    scales_decoder_output,
    shrink_tied_embedding,
    untie_head,
)
from .pretrained import load_pretrained

_FROM_TEACHER = (
    "d_kv",
    "d_ff",
    "num_heads",
    "feed_forward_proj",
    "relative_attention_num_buckets",
    "relative_attention_max_distance",
)
"""What a student that starts from its teacher's layers cannot choose."""
_IDS = ("pad_token_id", "eos_token_id", "decoder_start_token_id")


def build_student(config: Mapping[str, Any], tied: bool, seed: int) -> Any:
    """A fresh float32 student on the CPU, without dropout; a function of its arguments alone.

    `config` comes from `student_config`; `tied` says whether its teacher's head is the embedding. A T5 student scales its
    decoder output as `scale_decoder_outputs` says, else if it is tied, as T5 and T5 v1.1 do. Its initial cross-entropy is
    within a nat of ln(vocabulary). torch's global random state is left as it was.
    """
    architecture = getattr(transformers, ARCHITECTURES[config["model_type"]])
    settings = {key: value for key, value in config.items() if key != "model_type"}
    if config["model_type"] == "t5":
        settings.setdefault("scale_decoder_outputs", tied)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        model = architecture(architecture.config_class(**settings))
        if tied:
            shrink_tied_embedding(model)
        else:
            untie_head(model)
    return switch_off_dropout(model)


def switch_off_dropout(model: Any) -> Any:
    """Set every dropout of the modules to 0, in place, leaving `config.dropout_rate`; works in train mode too, which
    transformers' gradient checkpointing needs."""
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        elif isinstance(getattr(module, "dropout", None), float):
            module.dropout = 0.0
    return model


def load_student(source: str | Path, teacher_config: Mapping[str, Any]) -> Any:
    """A student that goes on from any checkpoint of the teacher's family with the teacher's vocabulary rows and special ids.

    `source` is a folder or a Hub name, `teacher_config` the teacher's config.json. Raises ConfigurationError where the
    checkpoint is missing or does not fit.
    """
    model, raw_config = load_pretrained(source, torch.float32)
    _require_same_vocabulary(source, model, raw_config, teacher_config)
    _absorb_head_scale(model, raw_config)
    return switch_off_dropout(model)


def init_from_teacher(config: Mapping[str, Any], teacher: str | Path) -> Any:
    """A student with its teacher's width and evenly spaced layers of its teacher (as DistilBERT, arXiv 1910.01108, starts).

    Layer i of L_S (counted from 1) takes the teacher's layer i * L_T / L_S, rounded half up, so the last takes the last; the
    relative position bias, which T5 and mT5 keep in their first block alone, comes from the first. `config` gives depth, and
    d_model as a check; heads and feed-forward are the teacher's. Raises ConfigurationError where width or depth do not fit.
    """
    source, raw_config = load_pretrained(teacher, torch.float32)
    _require_same_vocabulary(teacher, source, raw_config, config)
    _require_same_width(config, source.config)
    taken = {key: getattr(source.config, key) for key in _FROM_TEACHER}
    if config["model_type"] == "t5":
        taken["scale_decoder_outputs"] = source.config.scale_decoder_outputs
    model = build_student({**config, **taken}, is_tied(source), seed=0)
    weights = source.state_dict()
    model.load_state_dict({name: weights[_teacher_name(name, model, source)] for name in model.state_dict()})
    _absorb_head_scale(model, raw_config)
    return model


def save_student(model: Any, folder: Path, tokenizer_files: Mapping[str, bytes], readme: str) -> None:
    """Write a folder that `AutoModelForSeq2SeqLM` and `AutoTokenizer` load: weights, configs, tokenizer files, README.md.

    Every file is written aside, flushed and renamed, so a kill leaves each old or new. config.json says truthfully whether
    the head is tied and scaled, which transformers 5 itself does not. Raises ConfigurationError for a tokenizer file that
    has no plain name of its own.
    """
    aside = folder / ".partial"
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    try:
        with quiet_transformers():
            model.save_pretrained(aside, max_shard_size="1000GB")
    except SafetensorError as error:
        raise TrainingError(
            f"{folder} could not be written ({error}); make room and run the same command again"
        ) from error
    _correct_config(aside / "config.json", model)
    (aside / "README.md").write_text(readme, encoding="utf-8")
    for name, content in tokenizer_files.items():
        if Path(name).name != name or (aside / name).exists():
            raise ConfigurationError(f"tokenizer file {name!r} cannot be saved: it needs a plain file name of its own")
        (aside / name).write_bytes(content)
    for path in sorted(
        aside.iterdir(), key=lambda path: (path.suffix == ".safetensors", path.name)
    ):  # weights mean: finished
        flush(path)
        os.replace(path, folder / path.name)
    aside.rmdir()
    flush(folder)


def _correct_config(path: Path, model: Any) -> None:
    stated = json.loads(path.read_text(encoding="utf-8"))
    stated["tie_word_embeddings"] = is_tied(model)
    stated["architectures"] = [ARCHITECTURES[model.config.model_type]]
    stated["model_type"] = model.config.model_type
    if model.config.model_type != "mt5":
        stated["scale_decoder_outputs"] = head_scale(model) != 1.0
    path.write_text(json.dumps(stated, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _require_same_vocabulary(
    source: str | Path, model: Any, raw_config: Mapping[str, Any], expected: Mapping[str, Any]
) -> None:
    found = {"model_type": model_type_of(raw_config), "vocab_size": model.lm_head.weight.shape[0]}
    found |= {key: getattr(model.config, key, None) for key in _IDS}
    wanted = {"model_type": model_type_of(expected)} | {key: expected.get(key) for key in ("vocab_size", *_IDS)}
    for key, value in wanted.items():
        if value is not None and found[key] not in (None, value):
            raise ConfigurationError(
                f"{source} has {key} {found[key]!r}, the cache's teacher has {value!r}; "
                "a student must share its teacher's family and vocabulary, so start from another checkpoint"
            )


def _require_same_width(config: Mapping[str, Any], teacher: Any) -> None:
    depths = (config["num_layers"], config["num_decoder_layers"])
    limits = (teacher.num_layers, teacher.num_decoder_layers)
    shown = f"{depths[0]}L" if depths[0] == depths[1] else f"{depths[0]}E{depths[1]}D"
    if config["d_model"] != teacher.d_model:
        raise ConfigurationError(
            f"a student that starts from its teacher's layers needs its d_model {teacher.d_model}, not {config['d_model']}; "
            f"use the size {shown}{teacher.d_model}H, or start from fresh weights"
        )
    if any(depth > limit for depth, limit in zip(depths, limits, strict=True)):
        raise ConfigurationError(
            f"a student of {depths[0]}+{depths[1]} layers cannot start from a teacher of {limits[0]}+{limits[1]}; "
            "use at most the teacher's depth, or start from fresh weights"
        )


def _teacher_name(name: str, student: Any, teacher: Any) -> str:
    """The teacher's parameter that a student's parameter is copied from."""
    if ".block." not in name:
        return name
    stack, _, block, rest = name.split(".", 3)
    ours, theirs = len(getattr(student, stack).block), len(getattr(teacher, stack).block)
    if "relative_attention_bias" in rest and student.config.model_type != "umt5":
        return f"{stack}.block.0.{rest}"
    taken = (2 * (int(block) + 1) * theirs + ours) // (2 * ours)
    return f"{stack}.block.{taken - 1}.{rest}"


def _absorb_head_scale(model: Any, raw_config: Mapping[str, Any]) -> None:
    """Multiply the final decoder norm by the scale that the checkpoint's author meant over the one that this model applies.

    Exact for tied and untied heads alike, up to rounding; 1 except for umT5 checkpoints whose config.json unties the head.
    """
    meant = model.config.d_model**-0.5 if scales_decoder_output(raw_config) else 1.0
    if meant != head_scale(model):
        with torch.no_grad():
            model.decoder.final_layer_norm.weight.mul_(meant / head_scale(model))
