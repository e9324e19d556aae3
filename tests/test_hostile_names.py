"""Names that are not ours, at every place where one enters: no line of a command and no page that it writes obeys them.

Each name would act somewhere: on a terminal, as a line of ours, in YAML, Markdown or HTML, or as a formula of a picture.
"""

import json
import shutil

import pytest
import yaml
from huggingface_hub import ModelCard
from markdown_it import MarkdownIt

from miniend import cli
from miniend.models.tokenizer import class_tokenizer
from miniend.teacher_dump.corpus import other_readings
from support.damage import copy_of, document_of
from support.mutations import put
from support.tiny_cache import build_tiny_cache
from support.tiny_t5 import tiny_texts

NOT_UTF8 = "\udcff\udc80"
ACTING = {
    "on the terminal": "\x1b[2J\x1b]0;t\x07\x9b31m",
    "as a line": "a\nminiend: c is sound\r\x0b\x85\u2028x",
    "on the direction": "\u202e\u2066b\u200f",
    "in HTML": "<script>alert(1)<!--&lt;<img src=x>",
    "in Markdown": "[a](javascript:b)![c](d)`e`|f|**g**",
    "in YAML": "\n---\n- 'q': \"r\" # {s: &t *t !!u}",
    "in a picture": "$\\frac$ {0} %s _x",
}
EVERYTHING = "".join(ACTING.values())
PLAIN = "plain"
SMALL = {"layers": (1, 1), "heads": 2, "d_kv": 16, "examples": 8, "validation_examples": 2, "calibration_examples": 4}
DUMP = (
    "--examples 8 --validation-examples 2 --calibration-examples 4 --input-length 32 --noise-density 0.3 --device cpu"
)
TRAIN = "--size 1L32H --steps 2 --batch-size 4 --save-every 1 --eval-every 1 --log-every 1 --device cpu"
TUNE = "--task glue/sst2 --seeds 1 --epochs 1 --learning-rate 1e-3 --batch-size 8 --device cpu"


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A teacher and its cache."""
    folder = tmp_path_factory.mktemp("home")
    build_tiny_cache(folder, **SMALL)
    return folder


@pytest.fixture
def says(capfd):
    """says(command, *arguments): the lines of a command. Each can be printed, and none is a line that a name has begun."""

    def run(command, *arguments, status=0):
        capfd.readouterr()
        found = cli.run([*command.split(), *map(str, arguments)])
        out, err = capfd.readouterr()
        assert found == status, f"{command}\n{out}\n{err}"
        lines = (out + err).removesuffix("\n").split("\n")
        assert [line for line in lines if not line.isprintable()] == []
        assert not any(line.startswith(("miniend: c is sound", "- 'q'")) for line in lines)
        return lines

    return run


@pytest.fixture
def world(home, tmp_path):
    """world(name): a folder in which a teacher, a corpus, its fields and a task have that name."""

    def build(name):
        root = tmp_path / name
        shutil.copytree(home / "teacher", root / name)
        rows = [{name: text, f"other {name}{NOT_UTF8}": text} for text in tiny_texts(60)]
        (root / f"{name}{NOT_UTF8}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        (root / "data" / name / "SST-2").mkdir(parents=True)
        lines = ["sentence\tlabel", *(f"ba de {number}\t{number % 2}" for number in range(12))]
        for file in ("train", "dev"):
            (root / "data" / name / "SST-2" / f"{file}.tsv").write_text("\n".join([*lines, ""]))
        return root

    return build


def dumped(says, root, name):
    """The lines of the commands around a dump, by command."""
    teacher, corpus = ("--teacher", root / name), ("--corpus", root / f"{name}{NOT_UTF8}.jsonl")
    cache = ("--cache", root / f"{name}-cache")
    return {
        "wrong field": says(f"dump-teacher {DUMP}", *teacher, *corpus, *cache, status=2),
        "dump": says(f"dump-teacher {DUMP}", *teacher, *corpus, *cache, "--field", name),
        "other dump": says(f"dump-teacher {DUMP} --seed 1", *teacher, *corpus, *cache, "--field", name, status=2),
    }


def read(says, root, name):
    """The lines of the commands that read a cache, by command; then the cache is damaged."""
    cache, student = root / f"{name}-cache", root / f"{name}-student"
    train = (f"train-student {TRAIN}", "--cache", cache, "--output", student)
    lines = {
        "inspect": says("inspect", cache),
        "json": says("inspect --json", cache),
        "verify": says("verify", cache),
        "verify json": says("verify --json", cache),
        "train": says(*train),
        "more steps": says(*train, "--steps", "3"),
        "other training": says(*train, "--seed", "1", status=2),
    }
    (cache / "plan" / f"{name[:99]}").write_bytes(b"x")
    lines["unlisted"] = says("verify", cache, status=1)
    (cache / "plan" / "plan.json").write_bytes(b"x")
    lines["damaged"] = says("inspect", cache, status=2)
    check_card((student / "README.md").read_text("utf-8"))
    return lines


def check_card(text):
    """The front matter is YAML with its own members; the body has neither HTML, nor links of a name, nor pictures."""
    assert [line for line in text.split("\n") if not line.isprintable()] == []
    front, body = text.removeprefix("---\n").split("\n---\n", 1)
    assert set(yaml.safe_load(front)) == {"library_name", "pipeline_tag", "license", "tags", "teacher"}
    assert ModelCard(text).data.to_dict()["library_name"] == "transformers"
    check_markdown(body)


def check_markdown(text):
    tokens = MarkdownIt("gfm-like", {"linkify": False}).parse(text)
    tokens = [token for parent in tokens for token in (parent, *(parent.children or ()))]
    assert not {token.type for token in tokens} & {"html_inline", "html_block", "image", "hr"}
    links = [token.attrs["href"] for token in tokens if token.type == "link_open"]
    assert all(link.startswith("https://arxiv.org/") for link in links), links


def counted(lines):
    """The number of lines by command. What goes on below counts once, because a longer name wraps elsewhere."""
    return {
        command: len(said) if "json" in command else sum(not line.startswith("  ") for line in said)
        for command, said in lines.items()
    }


def test_no_command_obeys_a_name(says, world):
    """What lies in a user's folders: a downloaded teacher, a corpus of others, the fields in it."""
    root = world(EVERYTHING)
    lines = dumped(says, root, EVERYTHING) | read(says, root, EVERYTHING)
    print(sum(counted(lines).values()), "lines of", len(lines), "commands")


@pytest.mark.parametrize("name", [EVERYTHING + "/../</b>"])
def test_no_command_obeys_a_name_in_a_strangers_cache(says, home, tmp_path, name):
    """Documents hold any text, and whoever seals them anew can write what no file is called."""
    cache = copy_of(home / "cache", tmp_path / f"{PLAIN}-cache")
    plan = document_of(cache, "plan")
    plan["teacher"] |= {"name": name, "revision": name}
    plan["corpus"]["fields"] = [name]
    plan["corpus"]["parts"][0] |= {"kind": name, "fields": [name]}
    plan["corpus"]["parts"][0]["files"][0]["name"] = name
    plan["environment"]["versions"][name] = name
    plan["signals"][name] = name
    put(cache, "plan", plan)
    for command in ("inspect", "inspect --json", "verify", "verify --json"):
        says(command, cache)


def comparison(root, name):
    """The file of a comparison in which every file has that name."""
    sizes = root / f"{name}.json"
    sizes.write_text(json.dumps({"num_layers": 1, "d_model": 32, "num_heads": 2, "d_kv": 16, "d_ff": 64}))
    shutil.copy(root / f"{name}{NOT_UTF8}.jsonl", root / f"{name}.jsonl")
    content = {
        "teacher": str(root / name),
        "device": "cpu",
        "dump": {
            "corpus": str(root / f"{name}.jsonl"),
            "field": [name],
            "examples": 8,
            "validation_examples": 2,
            "calibration_examples": 4,
            "input_length": 32,
            "noise_density": 0.3,
        },
        "train": {"steps": 2, "batch_size": 4},
        "sizes": [str(sizes)],
        "rows": {"scratch": None, "logits": None},
        "evaluate": {"data": str(root / "data" / name), "epochs": 1, "batch_size": 8, "learning_rates": 1e-3},
        "tasks": {"glue/sst2": None},
    }
    path = root / f"{name}.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def test_no_comparison_obeys_a_name(says, world):
    """A comparison names the files of everybody who takes part."""
    root = world(EVERYTHING)
    lines = says("compare --plan", comparison(root, EVERYTHING), "--output", root / f"{EVERYTHING}-compared")
    assert any("hours" in line for line in lines)


def renamed(value, names):
    """JSON with other strings in the place of some, also where they are the names of members."""
    if isinstance(value, dict):
        return {names.get(name, name): renamed(one, names) for name, one in value.items()}
    if isinstance(value, list):
        return [renamed(one, names) for one in value]
    return names.get(value, value) if isinstance(value, str) else value


@pytest.fixture
def spoken(home, tmp_path, monkeypatch):
    """spoken(name): a teacher in whose tokenizer everything that a text is made of has that name, and special tokens too.

    The class that transformers picks does not know them.
    """

    def build(name):
        teacher = shutil.copytree(home / "teacher", tmp_path / "teacher")
        described = json.loads((teacher / "tokenizer.json").read_text())
        pieces = [piece for piece, _ in described["model"]["vocab"] if not piece.startswith("<extra_id")]
        longer = [piece for piece in pieces[3:] if len(piece) > 1]
        names = {piece: f"{piece}{name}" for piece in (*pieces[:3], *longer[::2])}
        extra = described["added_tokens"][0] | {"id": len(described["model"]["vocab"]), "content": f"{name}!"}
        described = renamed(described, names)
        described["added_tokens"].append(extra)
        (teacher / "tokenizer.json").write_text(json.dumps(described))
        settings = json.loads((teacher / "tokenizer_config.json").read_text())
        (teacher / "tokenizer_config.json").write_text(json.dumps(renamed(settings, names)))
        plain = class_tokenizer(home / "teacher")
        monkeypatch.setattr(other_readings, "class_tokenizer", lambda *_arguments: plain)
        return teacher

    return build


def check_tokens(says, home, teacher, folder):
    """Dump, look, train and evaluate; the lines of the dump."""
    corpus, student = ("--corpus", home / "corpus.jsonl"), folder / "student"
    lines = says(f"dump-teacher {DUMP}", "--teacher", teacher, *corpus, "--cache", folder / "cache")
    lines += says("inspect", folder / "cache")
    lines += says(f"train-student {TRAIN}", "--cache", folder / "cache", "--output", student)
    check_card((student / "README.md").read_text("utf-8"))
    assert max(map(len, lines)) < 1000
    return lines


def test_no_command_obeys_a_token(says, home, spoken, tmp_path):
    """A tokenizer is a stranger's file too: its tokens are named where the class reads them otherwise, however long they are."""
    lines = check_tokens(says, home, spoken(EVERYTHING + "!" * 10**4), tmp_path)
    assert sum("T5Tokenizer gives" in line and "\\x1b[2J" in line for line in lines) == 1


@pytest.mark.slow
@pytest.mark.parametrize("name", ACTING.values(), ids=ACTING)
def test_no_command_obeys_a_token_of_any_kind(says, home, spoken, tmp_path, name):
    """Each of them apart."""
    check_tokens(says, home, spoken(name), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", [*ACTING.values(), EVERYTHING], ids=[*ACTING, "everywhere"])
def test_each_command_prints_as_many_lines_as_with_a_plain_name(says, world, name):
    """All commands that name what they read, and the picture of a cache."""
    counts = []
    for one in (PLAIN, name):
        root = world(one)
        lines = dumped(says, root, one)
        field = ("--corpus", root / f"{one}{NOT_UTF8}.jsonl", "--field", one)
        lines["estimate"] = says(f"estimate {DUMP}", "--teacher", root / one, *field)
        lines["plot"] = says("inspect", root / f"{one}-cache", "--plot", root / f"{one}.png")
        lines |= read(says, root, one)
        model = ("--model", root / f"{one}-student", "--data", root / "data" / one)
        lines["evaluate"] = says(f"evaluate {TUNE}", *model, "--output", root / f"{one}-scores")
        lines["again"] = says(f"evaluate {TUNE} --seeds 2 --bf16", *model, "--output", root / f"{one}-scores", status=2)
        counts.append(counted(lines))
    assert counts[0] == counts[1]
