"""What the package must know of a family of models: stacks and their token axes, modules to tap, forward, head, parameters.

Everything that spells a module path or a token axis of a family is in this folder. An entry of FAMILIES answers for one
`model_type` of transformers.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from torch import Tensor, nn

from ...errors import CheckpointError, ConfigurationError
from ...runtime.registry import Registry

IGNORED = -100
"""Label of a padded target position: the convention of torch and transformers."""


@dataclass(frozen=True, slots=True)
class Stack:
    """A stack of blocks, such as the encoder."""

    name: str
    """The part of a site's name before the dot: `encoder`."""
    axis: str
    """The token axis of its states: `input` or `target`."""
    causal: bool
    """Whether a position sees only those before it."""
    reads: str | None = None
    """The stack whose output its cross-attention reads."""


@dataclass(frozen=True, slots=True)
class SpecialIds:
    """The token ids with which a model is fed."""

    start: int
    """What a decoder is given at its first position."""
    pad: int


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
    """The shape of one model, as losses and caches need it. Its members are those of the plan's `teacher.facts`."""

    model_type: str
    encoder_layers: int
    decoder_layers: int
    d_model: int
    heads: int
    d_kv: int
    vocab_rows: int
    """Rows of the output head; may exceed the tokenizer's entries (T5: 32,128 rows, 32,100 pieces)."""
    tied: bool
    head_scale: float
    """Factor on the last hidden states before the head: d_model^-1/2 or 1."""

    @property
    def inner(self) -> int:
        """Width of Q, K and V: heads x d_kv, which need not equal d_model (T5-3B: 4096 and 1024)."""
        return self.heads * self.d_kv


class Family(ABC):
    """One family. Models are transformers' own; nothing is forked."""

    name: ClassVar[str]
    """Its `model_type` in transformers."""
    architecture: ClassVar[str]
    """The class of transformers that carries the language-model head."""
    stacks: ClassVar[tuple[Stack, ...]]
    """In the order in which a model runs them."""
    label_axis: ClassVar[str]
    """The token axis whose tokens the head predicts."""
    parts: ClassVar[tuple[str, ...]]
    """The parts of a model whose gradients are told apart, in the order in which they are shown."""

    @property
    def axes(self) -> tuple[str, ...]:
        """The token axes, each once, in the order of the stacks."""
        return tuple(dict.fromkeys(stack.axis for stack in self.stacks))

    def stack(self, name: str) -> Stack:
        """The stack of this name."""
        return next(stack for stack in self.stacks if stack.name == name)

    def depths(self, facts: Facts) -> dict[str, int]:
        """The number of blocks by stack, by a model's facts."""
        return {stack.name: int(getattr(facts, f"{stack.name}_layers")) for stack in self.stacks}

    @abstractmethod
    def depth(self, config: Any, stack: str) -> int:
        """The number of blocks of a stack, by a transformers configuration."""

    @abstractmethod
    def block(self, model: nn.Module, stack: str, layer: int) -> nn.Module:
        """The block `layer` of a stack; its output is [batch, length, d_model]."""

    @abstractmethod
    def attention(self, model: nn.Module, stack: str, layer: int, cross: bool) -> dict[str, nn.Module]:
        """The linear maps of a block's self- or cross-attention whose outputs are `query`, `key` and `value`."""

    @abstractmethod
    def given(self, ids: Mapping[str, Tensor], special: SpecialIds) -> dict[str, Tensor]:
        """The token ids that each stack is given, int64 [batch, length] by axis.

        `ids` are the examples' own by axis; the labels' axis is padded with -100.
        """

    @abstractmethod
    def run(self, model: nn.Module, given: Mapping[str, Tensor], valid: Mapping[str, Tensor]) -> Tensor:
        """The last hidden states [batch, length, d_model] on the labels' axis, before the head; `valid` is boolean by axis."""

    @abstractmethod
    def logits(self, model: nn.Module, given: Mapping[str, Tensor], valid: Mapping[str, Tensor]) -> Tensor:
        """transformers' own logits [batch, length, vocabulary] on the labels' axis."""

    @abstractmethod
    def head(self, model: nn.Module) -> tuple[Tensor, float]:
        """The head's weight [vocabulary, d_model] and the factor on the last hidden states before it."""

    @abstractmethod
    def body(self, model: nn.Module) -> dict[str, Tensor]:
        """The state of a model without its head."""

    @abstractmethod
    def tied(self, model: nn.Module) -> bool:
        """Whether the head is the input embedding, the same parameter."""

    @abstractmethod
    def head_scale(self, model: nn.Module) -> float:
        """The factor that this model's forward applies to the last hidden states before the head."""

    @abstractmethod
    def meant_head_scale(self, raw_config: Mapping[str, Any], d_model: int) -> float:
        """The factor that the author of a checkpoint meant, by its own config.json."""

    @abstractmethod
    def restore_head_scale(self, model: nn.Module, raw_config: Mapping[str, Any]) -> None:
        """Make a freshly loaded model apply the factor that its author meant, where transformers applies another."""

    @abstractmethod
    def absorb_head_scale(self, model: nn.Module, factor: float) -> None:
        """Multiply the last hidden states by a factor, through the last norm before the head."""

    @abstractmethod
    def untie(self, model: nn.Module) -> None:
        """Give a fresh, hence tied, model a head of its own."""

    @abstractmethod
    def shrink_tied_embedding(self, model: nn.Module) -> None:
        """Rescale a fresh tied model's embedding, so that its initial cross-entropy is near ln(vocabulary)."""

    @abstractmethod
    def fresh_settings(self, tied: bool) -> dict[str, Any]:
        """The settings of a fresh student's configuration that decide the head scale, unless it states them."""

    @abstractmethod
    def student_settings(self, source: Any) -> dict[str, Any]:
        """The settings of a configuration that decide the head scale, from another model's."""

    @abstractmethod
    def saved_settings(self, model: nn.Module) -> dict[str, Any]:
        """What config.json must say truthfully of tie and head scale, which transformers does not write."""

    @abstractmethod
    def teacher_parameter(self, parameter: str, layers: Mapping[str, tuple[int, ...]]) -> str:
        """The teacher's parameter that a student's is copied from; `layers` has by stack a teacher layer per student layer."""

    @abstractmethod
    def blocks(self, model: nn.Module) -> list[nn.Module]:
        """All blocks of all stacks."""

    @abstractmethod
    def embeddings(self, model: nn.Module) -> list[nn.Parameter]:
        """The input embedding and, where it is another parameter, the head."""

    @abstractmethod
    def facts(self, model: nn.Module) -> ModelFacts:
        """The shape of a model whose head scale has been restored."""

    @abstractmethod
    def part_of(self, parameter: str) -> str:
        """The part that a parameter belongs to, by its name. Raises ValueError for a name that is none of a model's."""

    @abstractmethod
    def located(self, parameter: str) -> tuple[str, str, str]:
        """Where a parameter is, for people: block (or what it is), sublayer and name in it."""

    @abstractmethod
    def is_whole(self, sublayer: str, names: set[str]) -> bool:
        """Whether these names are all parameters of a sublayer, as `located` names them."""

    @abstractmethod
    def stack_parameters(self, model: nn.Module, stack: str) -> set[str]:
        """Names of the parameters of a stack's blocks."""


FAMILIES: Registry[Family] = Registry("family of models")
"""model_type -> family."""


def family_named(model_type: str) -> Family:
    """The family of a `model_type`. Raises CheckpointError where none is registered."""
    if model_type not in FAMILIES:
        raise CheckpointError(f"model_type {model_type!r} is not supported; expected one of {', '.join(FAMILIES)}")
    return FAMILIES[model_type]


def family_of(model: Any) -> Family:
    """The family of a loaded transformers model."""
    return family_named(model.config.model_type)


def stack_named(name: str) -> Stack:
    """The stack of this name, which is the same in all families. Raises ConfigurationError where none has it."""
    stacks = {stack.name: stack for family in FAMILIES.values() for stack in family.stacks}
    if name not in stacks:
        raise ConfigurationError(f"unknown stack {name!r}; expected one of {', '.join(stacks)}")
    return stacks[name]


def is_causal(axis: str) -> bool:
    """Whether a position on this token axis sees only those before it."""
    return any(stack.causal for family in FAMILIES.values() for stack in family.stacks if stack.axis == axis)


def parameter_counts(model: Any) -> tuple[int, int]:
    """(all, without embeddings), which are the input embedding and an untied head; shared parameters count once."""
    total = sum(parameter.numel() for parameter in model.parameters())
    return total, total - sum(parameter.numel() for parameter in family_of(model).embeddings(model))
