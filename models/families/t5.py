"""T5, T5 v1.1 and Flan-T5, and the facts about them that transformers hides.

The configuration of a loaded transformers model does not tell three facts, because from version 5 its classes overwrite
`tie_word_embeddings` with true:

- *Tied or not*: the tensors decide. After loading, an untied head is another parameter than the embedding.
- *The head scale*: tied T5 multiplies the decoder output by d_model^-1/2 before the head (mesh-tensorflow transformer.py);
  v1.1 and mT5 do not. transformers' umT5 always does, which flattens the logits of the released untied umT5 checkpoints.
- *A fresh model is always tied*: `untie` gives a student of an untied teacher its own head.

The checkpoint's config.json (`raw_config` below) still says what its author meant, so we read that file.
"""

import re
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from .family import FAMILIES, IGNORED, Family, ModelFacts, SpecialIds, Stack
from .units import HEADS, NEURONS, Units

_LINEARS = {"query": "q", "key": "k", "value": "v"}
_SUBLAYER = re.compile(r"decoder\.block\.\d+\.layer\.([012])\.")
_HOLDS_UNITS = re.compile(
    r"(?P<stack>encoder|decoder)\.block\.(?P<block>\d+)\.layer\.\d\."
    r"(?P<module>SelfAttention|EncDecAttention|DenseReluDense)\.(?P<name>\w+)\.weight"
)
_UNIT_DIMENSION = {"q": 0, "k": 0, "v": 0, "o": 1, "relative_attention_bias": 1, "wi": 0, "wi_0": 0, "wi_1": 0, "wo": 1}
"""The dimension of a parameter that its heads or neurons divide."""
_READERS = ("o", "wo")
_UNIT_GROUPS = {"SelfAttention": "self", "EncDecAttention": "cross", "DenseReluDense": "feed_forward"}
_SUBLAYERS = {
    "SelfAttention": "self-attention",
    "EncDecAttention": "cross-attention",
    "DenseReluDense": "feed-forward",
}
_OUTSIDE = {
    "shared.weight": "input embedding",
    "lm_head.weight": "output head",
    "encoder.final_layer_norm.weight": "encoder final norm",
    "decoder.final_layer_norm.weight": "decoder final norm",
}
_WHOLE = {
    "self-attention": {"layer_norm", "q", "k", "v", "o"},
    "cross-attention": {"layer_norm", "q", "k", "v", "o"},
    "feed-forward": {"layer_norm", "wo"},
}


class T5(Family):
    """T5, T5 v1.1 and Flan-T5."""

    name = "t5"
    architecture = "T5ForConditionalGeneration"
    stacks: ClassVar[tuple[Stack, ...]] = (
        Stack("encoder", "input", causal=False),
        Stack("decoder", "target", causal=True, reads="encoder"),
    )
    head_parameter = "lm_head.weight"
    embedding_parameters: ClassVar[tuple[str, ...]] = (
        "shared.weight",
        "encoder.embed_tokens.weight",
        "decoder.embed_tokens.weight",
    )
    label_axis = "target"
    parts: ClassVar[tuple[str, ...]] = (
        "embedding",
        "encoder",
        "decoder_self",
        "decoder_cross",
        "decoder_feed_forward",
        "head",
    )
    bias_in_every_block = False
    """Whether each block has a relative position bias, rather than the first of its stack only."""

    def depth(self, config: Any, stack: str) -> int:
        return int(config.num_layers if stack == "encoder" else config.num_decoder_layers)

    def block(self, model: Any, stack: str, layer: int) -> nn.Module:
        block: nn.Module = getattr(model, stack).block[layer]
        return block

    def blocks(self, model: Any) -> list[nn.Module]:
        return [*model.encoder.block, *model.decoder.block]

    def final_norm(self, model: Any, stack: str) -> nn.Module:
        norm: nn.Module = getattr(model, stack).final_layer_norm
        return norm

    def attention(self, model: Any, stack: str, layer: int, cross: bool) -> dict[str, nn.Module]:
        sublayers: Any = self.block(model, stack, layer).layer
        attention = sublayers[1].EncDecAttention if cross else sublayers[0].SelfAttention
        return {tensor: getattr(attention, linear) for tensor, linear in _LINEARS.items()}

    def given(self, ids: Mapping[str, Tensor], special: SpecialIds) -> dict[str, Tensor]:
        return {"input": ids["input"], "target": shift_right(ids["target"], special.start, special.pad)}

    def run(self, model: Any, given: Mapping[str, Tensor], valid: Mapping[str, Tensor]) -> Tensor:
        encoded = model.encoder(input_ids=given["input"], attention_mask=valid["input"].long())
        return _decoded(model, encoded.last_hidden_state, given, valid)

    def finish(
        self, model: Any, stack: str, states: Tensor, given: Mapping[str, Tensor], valid: Mapping[str, Tensor]
    ) -> Tensor:
        normed: Tensor = self.final_norm(model, stack)(states)
        return _decoded(model, normed, given, valid) if stack == "encoder" else normed

    def logits(self, model: Any, given: Mapping[str, Tensor], valid: Mapping[str, Tensor]) -> Tensor:
        logits: Tensor = model(
            input_ids=given["input"],
            attention_mask=valid["input"].long(),
            decoder_input_ids=given["target"],
            use_cache=False,
        ).logits
        return logits

    def head(self, model: Any) -> tuple[Tensor, float]:
        return model.lm_head.weight, self.head_scale(model)

    def head_norm(self, model: Any) -> tuple[Tensor, float]:
        return model.decoder.final_layer_norm.weight, float(model.config.layer_norm_epsilon)

    def body(self, model: nn.Module) -> dict[str, Tensor]:
        return {name: tensor for name, tensor in model.state_dict().items() if name != self.head_parameter}

    def tied(self, model: Any) -> bool:
        return model.lm_head.weight is model.shared.weight

    def embeddings(self, model: Any) -> list[nn.Parameter]:
        return [model.shared.weight] if self.tied(model) else [model.shared.weight, model.lm_head.weight]

    def head_scale(self, model: Any) -> float:
        return float(model.config.d_model**-0.5) if model.config.scale_decoder_outputs else 1.0

    def meant_head_scale(self, raw_config: Mapping[str, Any], d_model: int) -> float:
        explicit = raw_config.get("scale_decoder_outputs")
        scaled = bool(explicit) if explicit is not None else raw_config.get("tie_word_embeddings") is not False
        return float(d_model**-0.5) if scaled else 1.0

    def restore_head_scale(self, model: Any, raw_config: Mapping[str, Any]) -> None:
        """Do nothing, because transformers loads T5 as its author meant it."""

    def make_plain(self, model: Any) -> None:
        """Do nothing, because `restore_head_scale` leaves what plain transformers computes."""

    def absorb_head_scale(self, model: Any, factor: float) -> None:
        with torch.no_grad():
            model.decoder.final_layer_norm.weight.mul_(factor)

    def untie(self, model: Any) -> None:
        """Draw a head from N(0, 1/d_model).

        The output of the final RMSNorm has norm sqrt(d_model). So logits start with standard deviation 1 (d_model^-1/2 in a
        family that scales), and the initial cross-entropy is within a nat of ln V.
        """
        rows, width = model.shared.weight.shape
        model.lm_head.weight = nn.Parameter(torch.randn(rows, width) * width**-0.5)

    def shrink_tied_embedding(self, model: Any) -> None:
        """Rescale the embedding, which transformers draws from N(0, 1).

        The logit of a decoder position's own input token is scale * d_model * std * cosine. With T5's std of 1 it grows with
        sqrt(d_model) and dominates the softmax of wide, shallow students. std = 4 / (scale * d_model) bounds it by 4.
        """
        with torch.no_grad():
            model.shared.weight.mul_(min(1.0, 4.0 / (self.head_scale(model) * model.config.d_model)))

    def fresh_settings(self, tied: bool) -> dict[str, Any]:
        return {"scale_decoder_outputs": tied}

    def student_settings(self, source: Any) -> dict[str, Any]:
        return {"scale_decoder_outputs": source.scale_decoder_outputs}

    def saved_settings(self, model: Any) -> dict[str, Any]:
        scaled = self.head_scale(model) != 1.0
        return {"tie_word_embeddings": self.tied(model), "scale_decoder_outputs": scaled}

    def facts(self, model: Any) -> ModelFacts:
        config = model.config
        return ModelFacts(
            model_type=config.model_type,
            encoder_layers=config.num_layers,
            decoder_layers=config.num_decoder_layers,
            d_model=config.d_model,
            heads=config.num_heads,
            d_kv=config.d_kv,
            vocab_rows=model.lm_head.weight.shape[0],
            tied=self.tied(model),
            head_scale=self.head_scale(model),
        )

    def part_of(self, parameter: str) -> str:
        """Return the part of a parameter.

        `embedding` is the input embedding of both stacks, which a tied head shares; `head` is an untied head. Each layer norm
        belongs to its sublayer, and the decoder's final norm to the feed-forward.
        """
        if parameter in ("shared.weight", "lm_head.weight"):
            return "embedding" if parameter == "shared.weight" else "head"
        if parameter.startswith("encoder."):
            return "encoder"
        if sublayer := _SUBLAYER.match(parameter):
            return ("decoder_self", "decoder_cross", "decoder_feed_forward")[int(sublayer[1])]
        if parameter == "decoder.final_layer_norm.weight":
            return "decoder_feed_forward"
        raise ValueError(f"parameter {parameter!r} is not one of a T5's")

    def located(self, parameter: str) -> tuple[str, str, str]:
        if ".block." not in parameter:
            return _OUTSIDE.get(parameter, parameter), "", ""
        stack, _, block, _, layer, module, *rest = parameter.removesuffix(".weight").split(".")
        if module == "layer_norm":
            sublayers = ["self-attention", "feed-forward"] if stack == "encoder" else list(_SUBLAYERS.values())
            return f"{stack} block {block}", sublayers[int(layer)], module
        return f"{stack} block {block}", _SUBLAYERS.get(module, module), ".".join(rest)

    def is_whole(self, sublayer: str, names: set[str]) -> bool:
        whole = _WHOLE.get(sublayer, {""}) <= names
        return whole and (sublayer != "feed-forward" or bool(names & {"wi", "wi_0"}))

    def stack_parameters(self, model: nn.Module, stack: str) -> set[str]:
        return {name for name, _ in model.named_parameters() if name.startswith(f"{stack}.block.")}

    def units(self, parameter: str, d_kv: int) -> Units | None:
        """Return the heads or neurons of a parameter.

        T5 and mT5 have the position bias only in the first block, whose heads all blocks of the stack share.
        """
        found = _HOLDS_UNITS.fullmatch(parameter)
        if found is None:
            return None
        module, name = found["module"], found["name"]
        group = f"{found['stack']}.{_UNIT_GROUPS[module]}"
        if module != "SelfAttention" or self.bias_in_every_block:
            group += f"@{found['block']}"
        heads = module != "DenseReluDense"
        return Units(
            kind=HEADS if heads else NEURONS,
            group=group,
            dimension=_UNIT_DIMENSION[name],
            width=d_kv if heads and name != "relative_attention_bias" else 1,
            reader=name in _READERS,
        )

    def teacher_parameter(self, parameter: str, layers: Mapping[str, tuple[int, ...]]) -> str:
        """Return the parameter of the mapped layer.

        T5 and mT5 have the relative position bias only in their first block, so it comes from the teacher's first block.
        """
        if ".block." not in parameter:
            return parameter
        stack, _, block, rest = parameter.split(".", 3)
        first = "relative_attention_bias" in rest and not self.bias_in_every_block
        return f"{stack}.block.{0 if first else layers[stack][int(block)]}.{rest}"


def _decoded(model: Any, encoded: Tensor, given: Mapping[str, Tensor], valid: Mapping[str, Tensor]) -> Tensor:
    """Return the decoder's output, [batch, targets, d_model], for the encoder's, [batch, inputs, d_model]."""
    decoded: Tensor = model.decoder(
        input_ids=given["target"],
        encoder_hidden_states=encoded,
        encoder_attention_mask=valid["input"].long(),
        use_cache=False,
    ).last_hidden_state
    return decoded


def shift_right(labels: Tensor, start_id: int, pad_id: int) -> Tensor:
    """Return the decoder inputs [batch, targets]: the start token, then all but the last label.

    The labels [batch, targets] are padded with -100, which becomes the pad id.
    """
    shifted = torch.empty_like(labels)
    shifted[:, 0] = start_id
    shifted[:, 1:] = labels[:, :-1]
    return shifted.masked_fill(shifted == IGNORED, pad_id)


FAMILIES.add(T5.name, T5())
