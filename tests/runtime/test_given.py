"""Options from the command line, a file and a record: one configuration, whichever way each value came."""

from dataclasses import MISSING, fields
from pathlib import Path

import click
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from miniend import cli
from miniend.errors import ConfigurationError
from miniend.evaluation.config import EvaluateConfig
from miniend.runtime.given import MissingOptionsError, Record, read_options_file, settle
from miniend.runtime.options import option_of, options_of, shapes_of
from miniend.runtime.records import as_yaml, record_of
from miniend.runtime.yaml_file import parse_yaml
from miniend.storage.stores.place import place_of
from miniend.student_train.config import TrainConfig, TrainRequest
from miniend.teacher_dump.config import DumpConfig

NASTY = (
    *(
        "no",
        "on",
        "off",
        "null",
        "~",
        "1e-3",
        "1_000",
        "010",
        "1:30",
        "2024-13-45",
        "2024-01-02",
        "0x10",
        ".inf",
        "1.0",
    ),
    *(
        "=",
        "<<",
        "- a",
        "a: b",
        "#x",
        "'",
        '"',
        " x ",
        "a\nb",
        "\t",
        "{a}",
        "[b]",
        "&a",
        "*a",
        "!!int 3",
        "%x",
        "@x",
        "\x85",
        "é漢",
    ),
)
"""Texts that YAML could read as something else."""
TEXTS = st.sampled_from(NASTY) | st.text(
    st.characters(blacklist_categories=("Cs",), blacklist_characters="\0"), min_size=1, max_size=8
)
NEEDED = {
    DumpConfig: {"teacher": "t5", "corpus": ("a.txt",), "cache": "cache", "examples": 100},
    TrainRequest: {"cache": "cache", "output": Path("out")},
    EvaluateConfig: {"model": "student", "tasks": ("glue/sst2",), "output": Path("scores")},
}
COMMAND = {DumpConfig: "dump-teacher", TrainRequest: "train-student", EvaluateConfig: "evaluate"}
VALUES = {
    DumpConfig: {
        "corpus": st.lists(TEXTS, min_size=1, max_size=2).map(tuple),
        "teacher": TEXTS,
        "examples": st.integers(3, 10**6),
        "corpus_weight": st.lists(st.floats(1e-300, 1e300), max_size=2).map(tuple),
        "split": TEXTS,
        "input_length": st.integers(3, 2**20 - 1),
        "noise_density": st.floats(0, 1, exclude_min=True, exclude_max=True),
        "relation_kl": st.floats(5e-324, 1e300),
        "relation_step": st.none() | st.floats(1e-9, 1.0),
        "relation_rank": st.none() | st.integers(1, 10**6),
        "logits": st.sampled_from(["hybrid", "top-k", "none"]),
        "threads": st.none() | st.integers(1, 64),
        "mixed_environment": st.booleans(),
        "teacher_revision": st.none() | TEXTS,
        "seed": st.integers(0, 10**17),
    },
    TrainRequest: {
        "steps": st.integers(1000, 10**9),
        "learning_rate": st.none() | st.floats(1e-12, 0.999),
        "warmup_steps": st.none() | st.integers(0, 1000),
        "size": st.lists(st.sampled_from(["1L32H", "2L64H", "7E3D64H"]), min_size=1, max_size=2, unique=True).map(
            tuple
        ),
        "objective": st.lists(st.sampled_from(["scratch", "minilm"]), min_size=1, max_size=2, unique=True).map(tuple),
        "logits": st.booleans(),
        "weight": st.lists(TEXTS, max_size=2).map(tuple),
        "bf16": st.booleans(),
        "tracker": st.lists(TEXTS, max_size=2).map(tuple),
        "temperature": st.floats(0.1, 100),
        "cache": TEXTS,
    },
    EvaluateConfig: {
        "data": st.none() | TEXTS.map(Path),
        "learning_rates": st.lists(st.floats(1e-9, 0.999), max_size=3).map(tuple),
        "seeds": st.integers(1, 99),
        "train_examples": st.none() | st.integers(1, 10**6),
        "model": TEXTS,
        "bf16": st.booleans(),
        "tasks": st.lists(st.sampled_from(["glue/sst2", "summarize/pairs"]), min_size=1, unique=True).map(tuple),
    },
}


@st.composite
def chosen(draw):
    """A class, some values for its options, and which of them are typed."""
    kind = draw(st.sampled_from(list(VALUES)))
    values = NEEDED[kind] | draw(st.fixed_dictionaries({}, optional=VALUES[kind]))
    return kind, values, draw(st.sets(st.sampled_from(sorted(values))))


def typed(kind, name, value):
    """An option as a shell hands it over; None and what is on unless said otherwise cannot always be typed."""
    entry = cli.app.commands[COMMAND[kind]].entries[name]
    if isinstance(value, bool):
        return [entry.flag] if value else [entry.opposite] if entry.opposite else []
    return [f"{entry.flag}={one!r}" if isinstance(one, float) else f"{entry.flag}={one}" for one in many(value)]


def many(value):
    return () if value is None else value if isinstance(value, tuple) else (value,)


def settled(kind, arguments):
    command = cli.app.commands[COMMAND[kind]]
    with command.make_context(command.name, list(arguments)) as context:
        found = command.configure(context)
    return found.config, {name: values for name, values in found.several.items() if values}


def yaml_of(values):
    plain = {
        name: [*map(_plain, value)] if isinstance(value, tuple) else _plain(value) for name, value in values.items()
    }
    return as_yaml("x", "--y", plain)


def _plain(value):
    return str(value) if isinstance(value, Path) else value


@settings(max_examples=80)
@given(chosen())
def test_options_typed_and_options_in_a_file_give_one_configuration(tmp_path_factory, case):
    """A value must not depend on the way it came: not a float's last bit, nor a text that YAML reads as a number."""
    kind, values, on_the_line = case
    values = {name: value for name, value in values.items() if value not in (None, ()) or name in NEEDED[kind]}
    on_the_line &= values.keys()
    all_typed = settled(kind, [part for name, value in values.items() for part in typed(kind, name, value)])
    path = tmp_path_factory.getbasetemp() / "options.yaml"
    path.write_bytes(yaml_of({name: value for name, value in values.items() if name not in on_the_line}))
    parts = [part for name in on_the_line for part in typed(kind, name, values[name])]
    assert settled(kind, [*parts, "--config", path]) == all_typed


@settings(max_examples=80)
@given(chosen())
def test_a_recorded_configuration_comes_back_as_it_was(case):
    """None, tuples, paths and texts that look like dates: whoever repeats a run repeats this one."""
    kind, values, _ = case
    plain = {name: value[0] if options_of(kind)[name].several else value for name, value in values.items()}
    config = kind(**plain)
    record = record_of(config)
    again = parse_yaml(as_yaml("x", "--y", record, "A note.").decode(), "here")
    assert again == record
    once = {one.name: plain.get(one.name) for one in fields(kind) if option_of(one).once and one.name in plain}
    found = settle(kind, {**once, **again}).config
    assert record_of(found) == record
    for name, value in plain.items():
        if options_of(kind)[name].local is None and value is not None and name != "data":
            assert getattr(found, name) == value
            assert type(getattr(found, name)) is type(value)


def test_every_option_is_recorded_unless_it_is_of_one_command():
    """An option that is left out by mistake has its default when the run is repeated, and nobody sees it."""
    left_out = {
        kind.__name__: {one.name for one in fields(kind)} - set(record_of(kind(**NEEDED[kind])))
        for kind in (DumpConfig, TrainRequest, EvaluateConfig)
    }
    assert left_out == {
        "DumpConfig": {"cache", "shards", "mixed_environment", "force"},
        "TrainRequest": {"output", "dry_run"},
        "EvaluateConfig": {"output"},
    }


def test_a_record_has_the_values_in_force_and_paths_from_the_root(tmp_path, monkeypatch):
    """Another version has other defaults, and a run is repeated from another directory."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t5").mkdir()
    record = record_of(TrainConfig(cache="c", output=Path("o"), init="teacher-layers:t5", steps=500))
    assert (record["learning_rate"], record["warmup_steps"]) == (3e-4, 5) or record["learning_rate"] is not None
    assert record["cache"] == str(tmp_path / "c")
    assert record_of(TrainConfig(cache=place_of("c"), output=Path("o")))["cache"] == record["cache"]
    assert record["init"] == f"teacher-layers:{tmp_path / 't5'}"
    dump = record_of(
        DumpConfig(teacher="google-t5/t5-small", corpus=("wiki/*.txt", "hf:a/b:en"), cache="c", examples=9)
    )
    assert dump["teacher"] == "google-t5/t5-small"
    assert dump["corpus"] == [str(tmp_path / "wiki/*.txt"), "hf:a/b:en"]


@pytest.fixture
def options(tmp_path):
    """A file of options with this text."""

    def write(text):
        path = tmp_path / "options.yaml"
        path.write_text(text)
        return path

    return write


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (
            "batch-size: 4\n",
            r"options.yaml, line 1: unknown option 'batch-size'; did you mean batch_size\? Expected one of",
        ),
        ("steps: 4\nbatchsize: 4\n", r"options.yaml, line 2: unknown option 'batchsize'; did you mean batch_size\?"),
        ("steps: many\n", "options.yaml, line 1: steps should be a whole number, found 'many'"),
        ("bf16: yes please\n", "line 1: bf16 should be true or false"),
        ("cache: c\nsteps: 0\n", "options.yaml, line 2: --steps must be at least 1, not 0"),
        ("objective: best\n", "line 1: --objective 'best': expected one of scratch"),
        ("steps: 4\nsteps: 5\n", "'steps' is given twice"),
        ("- steps\n", "should be a mapping"),
        ("steps: 010\n", "another base"),
        ("output: ''\n", "output should be a path, found ''"),
        ("plugin: 3\n", "plugin should be a text or a list of such, found 3"),
    ],
)
def test_a_wrong_file_is_one_clear_line_with_the_place(options, text, named):
    """The same checks as for the command line, and the line of the file."""
    with pytest.raises(ConfigurationError, match=named):
        settled(TrainRequest, ["--cache=c", "--output=o", "--config", options(text)])


def test_the_command_line_wins_over_the_file_and_the_file_over_the_record(options):
    """Whoever types an option means it."""
    file = read_options_file(options("steps: 20\nbatch_size: 8\n"))
    record = Record(source="the record", values={"cache": "s3://b/c", "steps": 30, "batch_size": 16, "seed": 7})
    found = settle(TrainConfig, {"output": Path("o"), "steps": 10}, file, lambda given: record)
    config = found.config
    assert (config.steps, config.batch_size, config.seed) == (10, 8, 7)
    assert found.taken == {"cache": "s3://b/c", "seed": 7}
    assert found.line() == "as the record says: --cache s3://b/c --seed 7"


def test_options_that_come_from_a_record_are_named_where_none_is_essential():
    """A line that says only how many they are leaves its reader to open the file."""
    least = {"cache": "s3://b/c", "output": Path("o")}
    values = {"seed": 7, "bf16": True, "temperature": 2.0, "weight": ["logits=2", "labels=1"]}
    found = settle(TrainRequest, least, recorded=lambda given: Record(source="the record", values=values))
    named = "--seed 7 --bf16 --temperature 2 --weight logits=2 --weight labels=1"
    assert found.line() == f"as the record says: {named}"
    for more, words in [({"max_grad_norm": 3.0}, "--max-grad-norm 3"), ({"log_every": 7}, "and 2 more options")]:
        values |= more
        record = Record(source="the record", values=dict(values))
        found = settle(TrainRequest, least, recorded=lambda given, record=record: record)
        assert found.line() == f"as the record says: {named} {words}"


def test_what_nothing_says_is_named(options):
    """All at once, and with the reason of the record if it has one."""
    with pytest.raises(MissingOptionsError, match=r"^missing options '--cache' and '--output'$"):
        settle(TrainConfig, {})
    record = Record(
        source="the plan", values={"examples": 9}, unsaid={"teacher": "it knows only its name", "seed": "never"}
    )
    with pytest.raises(
        MissingOptionsError, match=r"^missing options '--corpus' and '--teacher': it knows only its name$"
    ):
        settle(DumpConfig, {"cache": "c"}, recorded=lambda given: record)


def test_a_recorded_path_that_is_lost_names_the_option_to_give(tmp_path):
    """A corpus that has moved is the usual reason why yesterday's command fails."""
    (tmp_path / "wiki.txt").write_text("text")
    lost = Record(source="dump.yaml", values={"corpus": str(tmp_path / "wikj.txt"), "teacher": "a/b", "examples": 9})
    with pytest.raises(ConfigurationError, match=r"did you mean wiki.txt .*; if it has moved, give --corpus"):
        settle(DumpConfig, {"cache": "c"}, recorded=lambda given: lost)
    moved = settle(DumpConfig, {"cache": "c", "corpus": "other.txt"}, recorded=lambda given: lost)
    assert moved.config.corpora == ("other.txt",)


def test_a_record_that_cannot_be_read_says_which_file_to_correct():
    """It was edited, or is of another version."""
    wrong = Record(source="out/train.yaml", values={"steps": "many"})
    with pytest.raises(ConfigurationError, match=r"out/train.yaml: steps should be .* Correct the file, or remove it"):
        settle(TrainConfig, {"cache": "c", "output": Path("o")}, recorded=lambda given: wrong)
    other = Record(source="out/train.yaml", values={"objective": "mine"})
    with pytest.raises(ConfigurationError, match=r"out/train.yaml: --objective 'mine': .*--plugin"):
        settle(TrainConfig, {"cache": "c", "output": Path("o")}, recorded=lambda given: other)


def test_a_recorded_plugin_is_not_run():
    """A cache of somebody else could name a file of theirs. What is missing says `--plugin`."""
    with_plugin = Record(source="x", values={"plugin": ["/nowhere/evil.py"], "cache": "s3://b/c"})
    assert settle(TrainConfig, {"output": Path("o")}, recorded=lambda given: with_plugin).config.cache == "s3://b/c"


def test_python_callers_get_the_same_checks():
    """Lists for tuples, texts for paths; and a wrong type is a line and not a traceback from deep inside."""
    config = settle(EvaluateConfig, {"model": "m", "tasks": ["glue/sst2"], "output": "o"}).config
    assert (config.tasks, config.output) == (("glue/sst2",), Path("o"))
    with pytest.raises(ConfigurationError, match=r"steps should be a whole number, found 1.5"):
        settle(TrainConfig, {"cache": "c", "output": "o", "steps": 1.5})
    with pytest.raises(ConfigurationError, match=r"unknown option 'stepz'; did you mean steps\?"):
        settle(TrainConfig, {"cache": "c", "output": "o", "stepz": 1})


def test_the_values_of_this_test_have_the_shapes_of_their_options():
    """Else the properties above would be about other options."""
    for kind, values in VALUES.items():
        assert set(values) <= set(shapes_of(kind))
        assert {one.name for one in fields(kind) if one.default is MISSING} == set(NEEDED[kind])


def test_a_missing_option_of_the_command_line_points_to_the_help():
    """As for every other mistake of typing."""
    with pytest.raises(click.UsageError, match="missing option '--cache'"):
        settled(TrainRequest, ["--output=o"])
