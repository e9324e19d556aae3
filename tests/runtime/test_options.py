"""Options, each declared once on the field of a dataclass."""

import typing
from dataclasses import dataclass, fields
from pathlib import Path

import pytest

from miniend.errors import ConfigurationError
from miniend.evaluation.config import BY_TASK, EvaluateConfig, EvaluateSettings
from miniend.runtime.options import (
    Shape,
    changed_from_defaults,
    check,
    completed,
    flag_of,
    identity_of,
    marked,
    names_of,
    option,
    options_of,
    shapes_of,
)
from miniend.runtime.typed import configured, read_options
from miniend.student_train.config import ONE_PASS, VARIED, StepSettings, TrainConfig, TrainSettings
from miniend.teacher_dump.config import DumpConfig, DumpSettings, ExampleSettings

COLOURS = ["red"]
"""A plugin may add one."""


def _words(text):
    return text.split()


@dataclass(frozen=True, kw_only=True, slots=True)
class Paint:
    colour: str = option("red", section="essential", choices=lambda: COLOURS, identity=True, help="Colour.")
    coats: int = option(2, section="essential", least=1, identity="thickness", help="Coats.")
    tools: tuple[str, ...] = option((), section="advanced", shown="none", choices=("brush", "roller"), help="Tools.")
    drying: float | None = option(None, section="advanced", shown="as long as it takes", least=0, help="Hours.")
    place: str | Path = option("here", section="advanced", marks=("where",), help="Place.")
    as_json: bool = option(False, section="advanced", flag="--json", help="JSON.")

    def __post_init__(self):
        check(self)

    @property
    def thickness(self):
        return self.coats * 10


@dataclass(frozen=True, kw_only=True, slots=True)
class PaintedDoor(Paint):
    door: str = option(section="essential", help="Door.")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"colour": "blue"}, "--colour 'blue': expected one of red"),
        ({"tools": ("brush", "hammer")}, "--tools 'hammer': expected one of brush, roller"),
        ({"colour": ""}, "--colour: expected a value, found an empty text; give one, or leave the option out"),
        ({"place": ""}, "--place: expected a value, found an empty text"),
        ({"coats": 0}, "--coats must be at least 1, not 0"),
        ({"drying": float("nan")}, "--drying: expected a finite number, found nan"),
    ],
)
def test_choices_and_least_values_are_checked_where_they_are_declared(settings, message):
    with pytest.raises(ConfigurationError, match=message):
        Paint(**settings)


def test_choices_are_asked_for_when_they_are_needed():
    """A plugin registers after the dataclass was made."""
    COLOURS.append("blue")
    try:
        assert Paint(colour="blue").colour == "blue"
    finally:
        COLOURS.remove("blue")


def test_what_identifies_a_run_is_what_its_fields_say():
    assert identity_of(Paint(coats=3)) == {"colour": "red", "thickness": 30}
    assert identity_of(Paint(), without=("coats",)) == {"colour": "red"}
    assert marked(Paint, "where") == ("place",)


def test_settings_are_completed_with_what_they_lack():
    """A comparison keeps settings without places, and gives them places run by run."""
    door = completed(PaintedDoor, Paint(coats=3), door="front")
    assert (door.coats, door.door) == (3, "front")
    assert completed(Paint, door) == Paint(coats=3)
    assert changed_from_defaults(Paint(coats=3, tools=("brush",))) == {"coats": 3, "tools": ("brush",)}


def test_types_and_flags_follow_from_the_fields():
    assert flag_of(Paint, "as_json") == "--json"
    assert shapes_of(Paint) == {
        "colour": Shape(str, False),
        "coats": Shape(int, False),
        "tools": Shape(str, True),
        "drying": Shape(float, False),
        "place": Shape(str, False),
        "as_json": Shape(bool, False),
    }


@pytest.mark.parametrize("kind", [DumpConfig, TrainConfig, EvaluateConfig])
def test_every_field_of_a_configuration_is_an_option(kind):
    """A field that is none can be set from Python alone, and nobody is told of it."""
    assert names_of(kind) == tuple(one.name for one in fields(kind))
    assert all(len(declared.help) > 8 and declared.help.endswith(".") for declared in options_of(kind).values())


@pytest.mark.parametrize(
    ("kind", "given"),
    [(DumpSettings, {"corpus": "c", "examples": 9}), (TrainSettings, {}), (StepSettings, {}), (EvaluateSettings, {})],
)
def test_yaml_reads_the_same_fields_with_the_same_defaults(kind, given):
    """The default of a field, written into a file, is what leaving it out means."""
    written = {one.name: getattr(kind(**given), one.name) for one in fields(kind)}
    lists = {name: list(value) if isinstance(value, tuple) else value for name, value in written.items()}
    assert configured(kind, read_options(kind, lists, "here", names_of(kind)), "here") == kind(**given)
    assert configured(kind, given, "here") == kind(**given)


def test_what_identifies_a_training_changes_only_on_purpose():
    """A setting that is left out lets a resumed run go on as another one; one that is added refuses all that are there."""
    assert sorted(identity_of(TrainSettings())) == sorted(
        _words(
            "objective logits temperature cross_relation relation_heads weight steps batch_size gradient_accumulation_steps "
            "optimizer peak_learning_rate warmup schedule weight_decay max_grad_norm bf16 seed "
            "mapping stacks teacher_layer hidden_norm hidden_scale hidden_metric projection direct_heads filter_steps"
        )
    )
    assert sorted(marked(TrainConfig, ONE_PASS)) == sorted(
        _words(
            "cache steps batch_size gradient_accumulation_steps seed temperature device bf16 tracker log_every save_every "
            "eval_every allow_unfinished"
        )
    )
    assert sorted(marked(TrainConfig, VARIED)) == ["keep", "learning_rate", "seed", "size"]


def test_what_identifies_an_evaluation_changes_only_on_purpose():
    resolved = set(marked(EvaluateConfig, BY_TASK))
    assert resolved == {"protocol", "learning_rates", "max_length", "max_summary_length"}
    named = _words("optimizer epochs batch_size train_examples eval_examples bf16")
    assert sorted(identity_of(EvaluateSettings())) == sorted([*named, *resolved])


def test_which_examples_there_are_changes_only_on_purpose():
    """All caches of a comparison have these in common."""
    assert sorted(names_of(ExampleSettings)) == sorted(
        _words(
            "corpus corpus_weight shuffle_buffer drop_duplicates "
            "field split task encoder_only input_length shortest_input_length "
            "target_length prefix residues pipeline "
            "noise_density mean_noise_span_length sentinel_order corpus_epochs examples validation_examples shard_examples seed"
        )
    )


CONFIGURATIONS = {
    "train-student": (TrainConfig, {"cache": "c", "output": Path("o")}),
    "dump-teacher": (DumpConfig, {"teacher": "t", "corpus": "python-docs", "examples": 9, "cache": "c"}),
    "evaluate": (EvaluateConfig, {"model": "m", "tasks": ("glue/sst2",), "output": Path("o")}),
}
NUMBERS = [
    (command, name, shape)
    for command, (kind, _) in CONFIGURATIONS.items()
    for name, shape in shapes_of(kind).items()
    if shape.type in (int, float)
]


@pytest.mark.parametrize(
    ("command", "name", "shape"), NUMBERS, ids=[f"{command} {name}" for command, name, _ in NUMBERS]
)
def test_a_number_that_cannot_be_computed_with_is_refused_before_anything_begins(command, name, shape):
    """`--learning-rate inf` wrote the output directory and stopped at step 2; a seed of 400 digits was a traceback."""
    kind, least = CONFIGURATIONS[command]
    bad = (10**18, -(10**18)) if shape.type is int else (float("inf"), float("-inf"), float("nan"))
    several = typing.get_origin(typing.get_type_hints(kind)[name]) is tuple
    for value in bad:
        with pytest.raises(ConfigurationError, match=flag_of(kind, name)):
            kind(**least | {name: (value,) if several else value})


@pytest.mark.parametrize(
    "settings",
    [
        {"learning_rate": 0.0},
        {"learning_rate": 1.0},
        {"learning_rate": -1e-3},
        {"weight_decay": 1.5},
        {"temperature": 1e-3},
        {"temperature": 1e6},
    ],
)
def test_a_finite_number_out_of_its_range_is_refused_too(settings):
    """A temperature of 1e-3 or a rate of 1 diverges in the first steps, after the cache was read."""
    (name,) = settings
    with pytest.raises(ConfigurationError, match=f"{flag_of(TrainConfig, name)} must be"):
        TrainConfig(cache="c", output=Path("o"), **settings)
