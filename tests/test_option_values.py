"""Any text as the value of any option of any command: it works, or one line says what is wrong; nothing is written before."""

import dataclasses

import click
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from miniend import cli

VALUES = (
    *(
        "",
        " ",
        "0",
        "-0",
        "-1",
        "1",
        "2",
        "1.5",
        "1e400",
        "-1e400",
        "inf",
        "-inf",
        "nan",
        "1e-400",
        "9" * 5000,
        "١٢٣",
        "1_000",
    ),
    *(
        "0x10",
        "010",
        " 1",
        "1\n",
        "a\nb",
        "\x1b[2J",
        "\ud800",
        "x\udcff",
        "é" * 300,
        "x",
        "--",
        "-x",
        "=",
        "a=b",
        "logits=nan",
        "logits=1e400",
    ),
    *(
        "logits=-1",
        "logits=",
        "=1",
        "a:b",
        ":",
        "::",
        "0:",
        ":0",
        "5:1",
        "1:2:3",
        ",",
        ",,",
        "*",
        "[",
        "../..",
        "/",
        "~",
        "nul\0x",
        "hf:",
    ),
    *(
        "hf:a@",
        "s3://",
        "s3:///x",
        "ftp://x/y",
        "encoder",
        "encoder.self@",
        "encoder.self@-1",
        "encoder.self@99",
        "1L32H",
        "0L32H",
    ),
    *("9" * 30 + "L32H", "9" * 5000 + ":"),
)
LEAST = {
    "dump-teacher": {
        "--teacher": "no/such/model",
        "--corpus": "no-such-file.txt",
        "--cache": "cache",
        "--examples": "8",
    },
    "estimate": {"--teacher": "no/such/model", "--corpus": "no-such-file.txt", "--examples": "8"},
    "train-student": {"--cache": "no-such-cache", "--output": "student"},
    "inspect": {"CACHE": "no-such-cache"},
    "judge-encoder": {"--model": "no/such/model", "--cache": "no-such-cache"},
    "verify": {"CACHE": "no-such-cache"},
    "filters": {"--cache": "no-such-cache", "--teacher": "no/such/model"},
    "prune-teacher": {"--teacher": "no/such/model", "--cache": "no-such-cache", "--output": "sorted"},
    "schedule": {
        "--cache": "no-such-cache",
        "--init": "pruned:no-such-folder",
        "--output": "scheduled",
        "--keep": "0.5,0.3",
        "--target": "0.3",
    },
    "push-cache": {"--cache": "no-such-cache", "USER/NAME": "no/such-name"},
    "evaluate": {"--model": "no/such/model", "--task": "glue/sst2", "--data": "no-such-folder", "--output": "scores"},
    "compare": {"FILE": "no-such-file.yaml", "--output": "compared"},
    "demo": {"--output": "file.txt/x"},
    "completion": {"SHELL": "no-such-shell"},
}
"""What each command needs, all of it missing: so every line ends in a refusal, at the value or at what is not there."""


def _options():
    for name, command in cli.app.commands.items():
        for parameter in command.params:
            entry = command.entries.get(parameter.name)
            if entry is None:  # --help-all
                continue
            flags = (
                (*parameter.opts, *parameter.secondary_opts) if isinstance(parameter, click.Option) else (entry.flag,)
            )
            yield from ((name, flag, isinstance(parameter, click.Option) and parameter.is_flag) for flag in flags)


def _is_flag_of(parameter, flag):
    return flag in parameter.opts if isinstance(parameter, click.Option) else not flag.startswith("--")


OPTIONS = [one for one in _options() if one[:2] != ("demo", "--output")]
"""All options but one: the demo needs nothing that could be missing, so it would run."""


def arguments(command, flag, values):
    given = {key: value for key, value in LEAST[command].items() if key != flag}
    parts = [part for key, value in given.items() for part in ([key, value] if key.startswith("--") else [value])]
    extra = [part for value in values for part in ([f"{flag}={value}"] if flag.startswith("--") else ["--", value])]
    return [command, *parts, *extra]


@pytest.fixture
def refused(tmp_path, monkeypatch, capfd):
    """Run one command line, which must end in one line and write nothing."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file.txt").write_text("x")

    def run(command, flag, values):
        capfd.readouterr()
        status = cli.run(arguments(command, flag, values))
        said = capfd.readouterr()
        assert status == 2, (command, flag, values, said)
        lines = [line for line in said.err.splitlines() if not line.startswith("OMP")]
        assert len(lines) == 1, (command, flag, values, said.err)
        assert lines[0].isprintable()
        assert len(lines[0]) < 2000 + 3 * sum(map(len, values)), (command, flag)
        assert [one.name for one in tmp_path.iterdir()] == ["file.txt"], (command, flag, values)
        return lines[0]

    return run


def test_every_option_is_refused_in_one_line_whatever_its_value(refused):
    """An infinity begins a run and ends it at step 2; 5,000 digits end Python; an empty text is the working directory."""
    count = 0
    for number, (command, flag, is_flag) in enumerate(OPTIONS):
        for value in () if is_flag else (VALUES[number * 7 % len(VALUES)],):
            refused(command, flag, [value])
            count += 1
    print(count, "values")
    assert count > 100


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("", "expected a path, found an empty text"),
        ("a\0b", "expected a path, found a text with a NUL character"),
        ("x\udcff", "expected a path in UTF-8"),
    ],
    ids=["empty", "NUL", "bytes"],
)
def test_every_option_that_takes_a_path_says_what_no_path_can_be(refused, value, said):
    """pathlib takes an empty text for the working directory; the libraries that write tensors cannot open other bytes."""
    paths = [
        (name, flag)
        for name, flag, _ in OPTIONS
        if any(isinstance(one.type, click.Path) and _is_flag_of(one, flag) for one in cli.app.commands[name].params)
    ]
    assert len(paths) > 5
    caches = [("train-student", "--cache"), ("inspect", "CACHE"), ("verify", "CACHE")]  # or a URL, or an empty value
    for command, flag in (*paths, *(caches if value else ())):
        assert said in refused(command, flag, [value]), (command, flag)


@pytest.mark.slow
def test_every_option_of_every_value_is_refused_in_one_line(refused):
    for command, flag, is_flag in OPTIONS:
        for value in () if is_flag else VALUES:
            refused(command, flag, [value])


@settings(max_examples=60)
@given(
    option=st.sampled_from([one for one in OPTIONS if not one[2]]), value=st.text(max_size=12) | st.floats().map(str)
)
def test_arbitrary_text_is_a_configuration_or_one_line(option, value):
    """The command line's own reading, without what the command does then."""
    command, flag, _ = option
    found = cli.app.commands[command]
    try:
        with found.make_context(command, arguments(command, flag, [value])[1:]) as context:
            config = found.configure(context).config
    except (click.ClickException, cli.MiniEndError) as error:
        said = cli._expected(error)
        assert said
        assert flag in said or flag.strip("-").split("-")[0] in said, (flag, value, said)
    else:
        assert dataclasses.is_dataclass(config)
