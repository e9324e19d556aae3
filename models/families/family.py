"""The interface of a family of models: stacks and their token axes, modules to tap, forward, head and parameters.

All code that spells a module path or a token axis of a family is in this folder. An entry of FAMILIES stands for one
`model_type` of transformers, or for the encoders of one.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from torch import Tensor, nn

from ...errors import CheckpointError, ConfigurationError
from ...runtime.registry import Registry
from .units import Units

IGNORED = -100
"""The label of a padded target position, by the convention of torch and transformers."""


@dataclass(frozen=True, slots=True)
class Stack:
    """A stack of blocks, such as the encoder."""

    name: str
    """The part of a site's name before the dot: `encoder`."""
    axis: str
    """The token axis of its states: `input` or `target`."""
    causal: bool
    """Whether a position sees only itself and the positions before it."""
    reads: str | None = None
    """The stack whose output its cross-attention reads; None if it does not have cross-attention."""


@dataclass(frozen=True, slots=True)
class SpecialIds:
    """The token ids that are added to a model's inputs."""

    start: int
    """The id that a decoder is given at its first position."""
    pad: int
    """The id that a model is given at padded positions."""


class Facts(Protocol):
    """What a model's shape must state, in memory (`ModelFacts`) and in a plan."""

    @property
    def d_model(self) -> int:
        """Width of the stream."""

    @property
    def heads(self) -> int:
        """Attention heads."""

    @property
    def d_kv(self) -> int:
        """Width of a head."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelFacts:
    """The shape of one model, as losses and caches need it. The plan's `teacher.facts` has the same members."""

    model_type: str
    encoder_layers: int
    decoder_layers: int
    d_model: int
    heads: int
    d_kv: int
    vocab_rows: int
    """The number of rows of the output head; it may exceed the tokenizer's entries (T5: 32,128 rows, 32,100 pieces)."""
    tied: bool
    """Whether the head is the input embedding."""
    head_scale: float
    """The factor on the last hidden states before the head: d_model^-1/2 or 1."""

    @property
    def inner(self) -> int:
        """The width of Q, K and V: heads x d_kv, which need not equal d_model (T5-3B: 4096 and 1024)."""
        return self.heads * self.d_kv


class Family(ABC):
    """One family. The models are transformers' own; no model code is forked."""

    name: ClassVar[str]
    """The family's name: its `model_type` in transformers, or that with `-encoder` for encoders without decoder."""
    architecture: ClassVar[str]
    """The class of transformers with the language-model head."""
    stacks: ClassVar[tuple[Stack, ...]]
    """The stacks, in the order in which a model runs them."""
    head_parameter: ClassVar[str]
    """The name of the head's weight in a checkpoint that does not tie it to the embedding."""
    embedding_parameters: ClassVar[tuple[str, ...]]
    """The names under which a checkpoint may hold the input embedding, of which a model has one; first the usual name."""
    predicts: ClassVar[bool] = True
    """Whether a model has a head that predicts tokens. One without gives its last states, on its only axis."""
    label_axis: ClassVar[str]
    """The token axis whose tokens the head predicts; without a head, the axis of the last states."""
    parts: ClassVar[tuple[str, ...]]
    """The parts of a model whose gradient norms are reported, in the order in which they are shown."""

    @property
    def model_type(self) -> str:
        """The `model_type` in the config.json of a model."""
        return self.name

    @property
    def axes(self) -> tuple[str, ...]:
        """The token axes, each once, in the order of the stacks."""
        return tuple(dict.fromkeys(stack.axis for stack in self.stacks))

    @property
    def label_stack(self) -> Stack:
        """The stack whose output the head reads: the last one on the labels' axis."""
        return [stack for stack in self.stacks if stack.axis == self.label_axis][-1]

    def stack(self, name: str) -> Stack:
        """Return the stack of this name."""
        return next(stack for stack in self.stacks if stack.name == name)

    def depths(self, facts: Facts) -> dict[str, int]:
        """Return the number of blocks by stack, from a model's facts."""
        return {stack.name: int(getattr(facts, f"{stack.name}_layers")) for stack in self.stacks}

    def holds(self, parameter: str) -> bool:
        """Return whether a model of this family has a parameter of a full checkpoint, by its name."""
        return True

    @abstractmethod
    def depth(self, config: Any, stack: str) -> int:
        """Return the number of blocks of a stack, from a transformers configuration."""

    @abstractmethod
    def block(self, model: nn.Module, stack: str, layer: int) -> nn.Module:
        """Return the block `layer` of a stack; its output is [batch, length, d_model]."""

    @abstractmethod
    def final_norm(self, model: nn.Module, stack: str) -> nn.Module:
        """Return the norm after the last block of a stack; its output is [batch, length, d_model]."""

    @abstractmethod
    def attention(self, model: nn.Module, stack: str, layer: int, cross: bool) -> dict[str, nn.Module]:
        """Return the linear maps of a block's self- or cross-attention whose outputs are `query`, `key` and `value`."""

    @abstractmethod
    def given(self, ids: Mapping[str, Tensor], special: SpecialIds) -> dict[str, Tensor]:
        """Return the token ids that each stack is given, int64 [batch, length] by axis.

        `ids` are the examples' own ids by axis; the labels' axis is padded with -100.
        """

    @abstractmethod
    def run(self, model: nn.Module, given: Mapping[str, Tensor], valid: Mapping[str, Tensor]) -> Tensor:
        """Return the last hidden states [batch, length, d_model] on the labels' axis, before the head and its scale.

        `given` is what the method `given` returns, `valid` is boolean [batch, length] by axis.
        """

    @abstractmethod
    def finish(
        self, model: nn.Module, stack: str, states: Tensor, given: Mapping[str, Tensor], valid: Mapping[str, Tensor]
    ) -> Tensor:
        """Return what `run` returns if `states`, [batch, length, d_model], were the output of a stack's last block.

        The stack's own final norm, and the stacks that read it, go on from them.
        """

    @abstractmethod
    def logits(self, model: nn.Module, given: Mapping[str, Tensor], valid: Mapping[str, Tensor]) -> Tensor:
        """Return transformers' own logits [batch, length, vocabulary] on the labels' axis."""

    @abstractmethod
    def head(self, model: nn.Module) -> tuple[Tensor, float]:
        """Return the head's weight [vocabulary, d_model] and the factor on the last hidden states before it."""

    @abstractmethod
    def head_norm(self, model: nn.Module) -> tuple[Tensor, float]:
        """Return weight [d_model] and epsilon of the RMS norm between the last block on the labels' axis and the head."""

    @abstractmethod
    def body(self, model: nn.Module) -> dict[str, Tensor]:
        """Return the state of a model without its head."""

    @abstractmethod
    def tied(self, model: nn.Module) -> bool:
        """Return whether the head and the input embedding are the same parameter."""

    @abstractmethod
    def head_scale(self, model: nn.Module) -> float:
        """Return the factor that this model's forward applies to the last hidden states before the head."""

    @abstractmethod
    def meant_head_scale(self, raw_config: Mapping[str, Any], d_model: int) -> float:
        """Return the factor that the author of a checkpoint meant, according to its config.json."""

    @abstractmethod
    def restore_head_scale(self, model: nn.Module, raw_config: Mapping[str, Any]) -> None:
        """Make a freshly loaded model apply the factor that its author meant, if transformers applies another."""

    @abstractmethod
    def make_plain(self, model: nn.Module) -> None:
        """Undo `restore_head_scale` without changing what a model computes, so that plain transformers computes it too.

        It must be done before the model is saved with `save_student`.
        """

    @abstractmethod
    def absorb_head_scale(self, model: nn.Module, factor: float) -> None:
        """Multiply the last hidden states by a factor, by scaling the weights of the last norm before the head."""

    @abstractmethod
    def untie(self, model: nn.Module) -> None:
        """Give a fresh model a head of its own; fresh models are tied."""

    @abstractmethod
    def shrink_tied_embedding(self, model: nn.Module) -> None:
        """Rescale the embedding of a fresh tied model, so that its initial cross-entropy is near ln(vocabulary)."""

    @abstractmethod
    def fresh_settings(self, tied: bool) -> dict[str, Any]:
        """Return the settings that decide the head scale, for a fresh student whose configuration does not state them."""

    @abstractmethod
    def student_settings(self, source: Any) -> dict[str, Any]:
        """Return the settings that decide the head scale, copied from another model's configuration."""

    @abstractmethod
    def saved_settings(self, model: nn.Module) -> dict[str, Any]:
        """Return the true settings of tie and head scale for config.json, since transformers does not write them."""

    @abstractmethod
    def teacher_parameter(self, parameter: str, layers: Mapping[str, tuple[int, ...]]) -> str:
        """Return the teacher's parameter that a student's parameter is copied from.

        `layers` has by stack one teacher layer per student layer.
        """

    @abstractmethod
    def blocks(self, model: nn.Module) -> list[nn.Module]:
        """Return all blocks of all stacks."""

    @abstractmethod
    def embeddings(self, model: nn.Module) -> list[nn.Parameter]:
        """Return the input embedding and, if it is another parameter, the head."""

    @abstractmethod
    def facts(self, model: nn.Module) -> ModelFacts:
        """Return the shape of a model whose head scale has been restored."""

    @abstractmethod
    def part_of(self, parameter: str) -> str:
        """Return the part that a parameter of this name belongs to. Raises ValueError for an unknown name."""

    @abstractmethod
    def located(self, parameter: str) -> tuple[str, str, str]:
        """Return where a parameter is, for people: block (or, outside of blocks, what it is), sublayer and name in it."""

    @abstractmethod
    def is_whole(self, sublayer: str, names: set[str]) -> bool:
        """Return whether these names, as `located` returns them, are all parameters of a sublayer."""

    @abstractmethod
    def stack_parameters(self, model: nn.Module, stack: str) -> set[str]:
        """Return the names of the parameters of a stack's blocks."""

    @abstractmethod
    def units(self, parameter: str, d_kv: int) -> Units | None:
        """Return where heads (of width `d_kv`) or neurons are in the parameter of this name; None if it does not hold any.

        Parameters whose heads meet share a group: where the blocks of a stack share one position bias, all their self-attentions.
        """


FAMILIES: Registry[Family] = Registry(
    "family of models", "an object of miniend.Family", lambda _name, entry: isinstance(entry, Family)
)
"""name -> family."""


def family_named(name: str) -> Family:
    """Return the family of this name. Raises CheckpointError if it is not registered."""
    if name not in FAMILIES:
        raise CheckpointError(f"model_type {name!r} is not supported; expected one of {', '.join(FAMILIES)}")
    return FAMILIES[name]


def written_before_5(raw_config: Mapping[str, Any]) -> bool:
    """Return whether config.json means by `tie_word_embeddings` what it says; transformers 5 writes true into each."""
    return str(raw_config.get("transformers_version") or "4").partition(".")[0] in ("2", "3", "4")


def stack_named(name: str) -> Stack:
    """Return the stack of this name, which is the same in all families. Raises ConfigurationError for an unknown name."""
    stacks = {stack.name: stack for family in FAMILIES.values() for stack in family.stacks}
    if name not in stacks:
        raise ConfigurationError(f"unknown stack {name!r}; expected one of {', '.join(stacks)}")
    return stacks[name]


def is_causal(axis: str) -> bool:
    """Return whether a position on this token axis sees only itself and the positions before it."""
    return any(stack.causal for family in FAMILIES.values() for stack in family.stacks if stack.axis == axis)
