"""The file of a comparison as a stranger, a slip or a generator writes it: it is read, or one line says what and where."""

import copy
import re

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from miniend.errors import ConfigurationError
from miniend.evaluation.config import EvaluateSettings
from miniend.recipes.compare.file.reading import KEYS, read_comparison
from miniend.runtime.options import names_of
from miniend.student_train.config import TrainSettings
from miniend.teacher_dump.config import DumpSettings

BASE = {
    "teacher": "t5",
    "device": "cpu",
    "dump": {"corpus": "texts.txt", "examples": 24},
    "train": {"steps": 4, "batch_size": 4},
    "sizes": ["1L32H"],
    "rows": {"scratch": None, "logits": {"steps": 5}, "calibrated": {"objective": "minilm", "cache": "other"}},
    "caches": {"other": {"relation_temperature": "calibrated"}},
    "assistants": {"middle": {"size": "1L32H", "objective": "minilm"}},
    "pairs": [["scratch", "logits"]],
    "seeds": 2,
    "learning_rates": {"others": [1e-3]},
    "continuation": {"steps": 3},
    "evaluate": {"seeds": 1},
    "tasks": {"glue/sst2": {"train_examples": 16}},
}
NAMES = (
    "\x1b[2J\x07",
    "a\nminiend: sound\r\x85\u2028",
    "\u202e\u2066b",
    "<b>|`*_$",
    "",
    "../../x",
    "1",
    "~",
    "\ud800",
    "\0",
)
SECTIONS = {"dump": DumpSettings, "train": TrainSettings, "evaluate": EvaluateSettings}
PLACES = [(key,) for key in KEYS] + [(key, name) for key, kind in SECTIONS.items() for name in names_of(kind)]
PLACES += [("rows", "logits"), ("rows", "logits", "weight"), ("caches", "other"), ("assistants", "middle", "size")]
PLACES += [("tasks", "glue/sst2"), ("learning_rates", "others"), ("continuation", "steps")]
ODD = [
    *(
        "!!int x",
        "!!float x",
        "!!bool x",
        "!!timestamp x",
        "!!binary x",
        "!!int [1]",
        "!!null x",
        "!!set x",
        "!!python/name:os.system",
    ),
    *(
        "!x y",
        "9" * 5000,
        "1e400",
        ".nan",
        "-.inf",
        "-0.0",
        "0",
        "-1",
        "010",
        "1:30",
        "0x10",
        "1_000",
        "2024-01-01",
        "2024-13-45",
    ),
    *(
        "''",
        "' '",
        "~",
        "yes",
        "[]",
        "{}",
        "[[]]",
        "{1: 2}",
        "{? [1] : 2}",
        "[~]",
        "{a: {b: {c: 1}}}",
        "'x\\ny'",
        '"\\e[31m"',
        "é" * 400,
    ),
    *(
        '"\\ud800"',
        "99999999999999999999",
        "[1e-3, .nan]",
        "'../../x'",
        "[scratch, scratch]",
        "&a [*a]",
        "*missing",
        "1e-3",
        "abc",
    ),
    "[" * 300 + "]" * 300,
]
FILES = [
    *(
        b"",
        b"\xff\xfe\x00",
        b"\xef\xbb\xbfteacher: t5\n",
        b"a:\tb: c\n\t- x",
        b"%YAML 9.9\n---\n",
        b"a: 1\n---\nb: 2\n",
        b"- 1\n",
        b"text",
    ),
    *(
        b"\x00\x01\x02",
        b"[" * 50_000 + b"]" * 50_000,
        b"a: " + b"{a: " * 5_000 + b"}" * 5_000,
        b"teacher: t5\nteacher: t5\n",
        b"? [1]\n: 2\n",
    ),
    *(
        b"a: &a [x,x,x,x,x,x,x,x,x]\n"
        + b"".join(b"%c: &%c [%s]\n" % (98 + n, 98 + n, b",".join([b"*%c" % (97 + n)] * 9)) for n in range(9)),
    ),
    *(
        b"<<: {a: 1}\n",
        b"<<: 3\n",
        b"a: &a {b: *a}\n",
        b"!!binary ====\n",
        b"#" * 2_000_000,
        b"1: 2\n",
        b"preset: [small]\n",
        b"preset: {}\n",
    ),
]


def outcome(path):
    """How reading ended: True, or the one line."""
    try:
        read_comparison(path)
    except ConfigurationError as error:
        said = str(error)
    else:
        return True
    assert said.isprintable()
    assert len(said) < 1200 + len(str(path))
    assert str(path) in said
    return said


def replaced(place, text):
    """The base file as YAML with another text at a place; None leaves the key out."""
    content = copy.deepcopy(BASE)
    holder = content
    for key in place[:-1]:
        holder = holder.setdefault(key, {})
    holder.pop(place[-1], None)
    if text is not None:
        holder[place[-1]] = "PLACE"
    return yaml.safe_dump(content, sort_keys=False).replace("PLACE", text or "")


def test_every_key_missing_or_of_every_odd_value_is_read_or_one_line(tmp_path):
    """Each of these was a value that somebody, or some generator, has written; one or two of them at every key of the schema."""
    path, ended = tmp_path / "file.yaml", {"read": 0, "refused": 0}
    for number, place in enumerate(PLACES):
        for text in (None, ODD[7 * number % len(ODD)])[number % 2 :]:
            path.write_text(replaced(place, text), "utf-8")
            ended["read" if outcome(path) is True else "refused"] += 1
    print(ended)
    assert min(ended.values()) > 20


@pytest.mark.slow
def test_every_key_of_every_odd_value_is_read_or_one_line(tmp_path):
    path = tmp_path / "file.yaml"
    for place in PLACES:
        for text in ODD:
            path.write_text(replaced(place, text), "utf-8")
            outcome(path)


@pytest.mark.parametrize("key", ["1", "2026-12-01", "null", "1.5", "true"])
def test_a_key_that_is_no_text_is_an_unknown_option(tmp_path, key):
    """YAML reads a number or a date where somebody meant a name."""
    path = tmp_path / "file.yaml"
    path.write_text(replaced(("dump",), f"{{? {key} : 2}}"), "utf-8")
    assert "dump: unknown option" in str(outcome(path))


@pytest.mark.parametrize("name", ["é" * 400, "e" * 4000 + ".py", "a." * 900])
def test_a_long_name_of_a_plugin_is_cut_in_its_line(tmp_path, name):
    """A value that a YAML file puts in the wrong place can be a whole text."""
    path = tmp_path / "file.yaml"
    path.write_text(replaced(("plugins",), f"[{name}]"), "utf-8")
    assert "--plugin" in str(outcome(path))


@pytest.mark.parametrize("name", [*NAMES, "x" * 10**4], ids=[*map(ascii, NAMES), "long"])
def test_a_name_of_any_kind_at_any_place_is_read_or_one_line(tmp_path, name):
    """Names of rows become folders and lines of a report; the other keys come back in messages."""
    path, ended = tmp_path / "file.yaml", []
    for place in [
        (),
        ("rows",),
        ("caches",),
        ("assistants",),
        ("tasks",),
        ("learning_rates",),
        *((one,) for one in SECTIONS),
    ]:
        for value in (None, {}, {name: name}, {"size": "1L32H", "objective": "minilm"}):
            content = copy.deepcopy(BASE)
            holder = content[place[0]] if place else content
            holder[name] = value
            path.write_text(yaml.safe_dump(content), "utf-8")
            ended.append(outcome(path))
    for changed in (
        {"pairs": [[name, "logits"]]},
        {"sizes": [name]},
        {"teacher": name},
        {"preset": name},
        {"device": name},
    ):
        path.write_text(yaml.safe_dump(BASE | changed), "utf-8")
        ended.append(outcome(path))
    assert sum(one is not True for one in ended) > 30


@pytest.mark.parametrize("content", FILES, ids=range(len(FILES)))
def test_a_file_that_is_not_a_comparison_is_one_line(tmp_path, content):
    """Nine aliases of nine are a hundred million values; 50,000 brackets end the interpreter of others."""
    path = tmp_path / "file.yaml"
    path.write_bytes(content)
    assert outcome(path) is not True


@pytest.mark.parametrize("content", [content for content in FILES if b"&a" in content], ids=["multiplied", "of itself"])
def test_aliases_that_multiply_are_counted_before_they_are_written_out(tmp_path, content):
    """A message that shows such a value would take the memory of the machine."""
    path = tmp_path / "file.yaml"
    path.write_bytes(content)
    assert "holds more than 100,000 values, or an alias of itself" in outcome(path)


def test_a_key_given_twice_is_refused(tmp_path):
    """YAML takes the last one: whoever added a line above an old one trained with the old one."""
    path = tmp_path / "file.yaml"
    path.write_text(yaml.safe_dump(BASE, sort_keys=False) + "seeds: 3\n")
    assert "'seeds' is given twice" in outcome(path)


@settings(max_examples=60)
@given(content=st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_arbitrary_bytes_are_one_line(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("any") / "file.yaml"
    path.write_bytes(content)
    assert outcome(path) is not True


@pytest.mark.parametrize(
    ("place", "text", "named", "starts"),
    [
        (("train", "steps"), "many", "train: steps should be a whole number, found 'many'", "steps:"),
        (("train", "stepz"), "4", "train: unknown option 'stepz'", "stepz:"),
        (("train", "batch_size"), "0", "rows, scratch: --batch-size must be at least 1", "scratch:"),
        (("dump", "examples"), None, "dump: expected examples, found none", "dump:"),
        (("seeds",), "0", "seeds should be at least 1, not 0", "seeds:"),
        (("seedz",), "0", "seedz: unknown key", "seedz:"),
        (("tasks", "glue/sst2"), "!!int x", "x cannot be read as int", "glue/sst2:"),
    ],
)
def test_a_mistake_is_named_with_its_key_and_line(tmp_path, place, text, named, starts):
    """A file of two hundred lines is searched for a word otherwise."""
    path = tmp_path / "file.yaml"
    path.write_text(replaced(place, text))
    said = outcome(path)
    assert said is not True
    assert named in said
    line = re.search(r"line (\d+)", said)
    assert line is not None
    assert path.read_text().splitlines()[int(line[1]) - 1].strip().startswith(starts)
