"""The command line: every wrong input is a clear line and exit status 2, options change only on purpose, help is instant."""

import errno
import gzip
import json
import re
import shlex
import shutil
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace

import pytest

from miniend import cli, open_cache
from miniend.runtime.options import SECTIONS, flag_of, option, options_of
from support.fork_server import differences
from support.tiny_t5 import build_tiny_t5, tiny_texts, write_texts
from support.tiny_tokenizer import build_tiny_tokenizer

OPTIONS = {
    "dump-teacher": """
        --teacher --teacher-revision --corpus --corpus-weight --shuffle-buffer --drop-duplicates --cache
        --examples --field --split
        --task --encoder-only --input-length --shortest-input-length --prefix --residues --pipeline --target-length
        --noise-density
        --mean-noise-span-length --corpus-epochs --validation-examples --signal --relation-kl --relation-step --relation-rank
        --relation-temperature --hidden-error --hidden-code --logits --top-k --top-p --temperature --draws --logit-step
        --sentinel-order
        --calibration-examples --batch-size
        --shard-examples --dtype --device --codec --threads --shards --seed --mixed-environment --force
    """,
    "estimate": """
        --teacher --teacher-revision --corpus --corpus-weight --shuffle-buffer --drop-duplicates --examples --field --split
        --task --encoder-only --input-length --shortest-input-length --prefix --residues --pipeline --target-length
        --noise-density
        --mean-noise-span-length --corpus-epochs --validation-examples --signal --relation-kl --relation-step --relation-rank
        --relation-temperature --hidden-error --hidden-code --logits --top-k --top-p --temperature --draws --logit-step
        --sentinel-order
        --calibration-examples --batch-size
        --shard-examples --dtype --device --codec --threads --shards --seed --sample-examples --epochs --json
    """,
    "train-student": """
        --cache --output --size --objective --logits --no-logits --temperature --cross-relation --relation-heads --weight --steps
        --batch-size --gradient-accumulation-steps --optimizer --learning-rate --warmup-steps --schedule --weight-decay
        --max-grad-norm --bf16
        --mapping --stacks --teacher-layer --hidden-norm --hidden-scale --hidden-metric --projection --direct-heads --filter-steps
        --gradient-checkpointing --device
        --init --keep --log-every --save-every --eval-every --seed --allow-unfinished --tracker --dry-run --push-to-hub
        --hub-private-repo
    """,
    "inspect": "cache --json --plot",
    "judge-encoder": "--model --cache --examples --batch-size --device --json",
    "verify": "cache --json --repair --teacher --corpus --split --device --mixed-environment",
    "evaluate": """
        --model --task --output --data --protocol --seeds --epochs --learning-rate --batch-size --max-length
        --max-summary-length --optimizer --train-examples --eval-examples --bf16 --device --training --no-training --keep-model
    """,
    "compare": "file --output --plan",
    "filters": "--cache --teacher --filter --filter-width --filter-steps --batch-size --seed --device",
    "prune-teacher": "--teacher --cache --output --examples --importance --device",
    "schedule": """
        --cache --output --objective --logits --no-logits --temperature --cross-relation --relation-heads --weight --steps
        --batch-size --gradient-accumulation-steps --optimizer --learning-rate --warmup-steps --schedule --weight-decay
        --max-grad-norm --bf16
        --mapping --stacks --teacher-layer --hidden-norm --hidden-scale --hidden-metric --projection --direct-heads --filter-steps
        --gradient-checkpointing --device
        --init --keep --target --lambda --score --sandwich-sample --independent --save-all
        --log-every --save-every --eval-every --seed --allow-unfinished --tracker
    """,
    "push-cache": "name --cache --hub-private-repo --verify --no-verify --allow-unfinished",
    "demo": "--output",
    "completion": "shell",
}
DUMP = {
    "examples": 12,
    "validation-examples": 2,
    "calibration-examples": 6,
    "input-length": 32,
    "shard-examples": 4,
    "batch-size": 4,
    "top-k": 8,
    "device": "cpu",
    "threads": 1,
}


@pytest.fixture(scope="module")
def material(tmp_path_factory):
    """A teacher, a corpus and their texts."""
    root = tmp_path_factory.mktemp("cli")
    texts = tiny_texts(100, words=30)
    tokenizer = build_tiny_tokenizer(texts, 220, sentinels=16)
    return SimpleNamespace(
        root=root,
        texts=texts,
        tokenizer=tokenizer,
        corpus=write_texts(root / "corpus.jsonl", texts),
        teacher=build_tiny_t5(root / "teacher", tokenizer, layers=(1, 1)),
    )


@pytest.fixture
def run(monkeypatch, capfd):
    """The command as the shell calls it: (exit status, standard output, standard error)."""

    def run_command(*arguments):
        monkeypatch.setattr(sys, "argv", ["miniend", *map(str, arguments)])
        capfd.readouterr()
        try:
            cli.main()
            status = 0
        except SystemExit as exit_:
            status = exit_.code or 0
        captured = capfd.readouterr()
        return SimpleNamespace(status=status, out=captured.out, err=captured.err)

    return run_command


@pytest.fixture
def dump(run, material, tmp_path):
    """dump-teacher with the usual settings, some of them replaced; underscores stand for hyphens, None leaves one out."""

    def run_dump(**changed):
        settings = {"teacher": material.teacher, "corpus": material.corpus, "cache": tmp_path / "cache"}
        settings |= DUMP | {name.replace("_", "-"): value for name, value in changed.items()}
        arguments = [part for name, value in settings.items() if value is not None for part in (f"--{name}", value)]
        return run("dump-teacher", *arguments)

    return run_dump


def assert_refused(result, *named):
    """One clear line, exit status 2, and nothing of Python's."""
    assert result.status == 2, result.err
    lines = result.err.splitlines()
    assert 1 <= len(lines) <= 2, result.err
    assert lines[0].startswith("miniend: ")
    assert "Traceback" not in result.err + result.out
    for text in named:
        assert str(text) in result.err


def commands():
    return cli.app.commands


def configured(text):
    """The configuration that a command line asks for, and the command that read it."""
    program, name, *arguments = shlex.split(text)
    assert program == "miniend"
    command = commands()[name]
    with command.make_context(name, arguments) as context:
        return command.configure(context).config, command


def test_options_change_only_on_purpose():
    """An option that vanishes breaks scripts; one that appears must be explained in README and tests."""
    found = {
        name: sorted(text for parameter in command.params for text in (*parameter.opts, *parameter.secondary_opts))
        for name, command in commands().items()
    }
    assert found == {
        name: sorted([*text.split(), "--plugin", "--config", "--help-all", "--quiet", "--verbose"])
        for name, text in OPTIONS.items()
    }


@pytest.mark.parametrize("command", sorted(OPTIONS))
def test_every_command_and_every_option_has_help(run, command):
    """An option without a sentence sends the user into the source."""
    shown = run(command, "--help-all")
    assert (shown.status, shown.err) == (0, "")
    flat, found = " ".join(shown.out.split()), commands()[command]
    for entry in found.entries.values():
        assert f"{entry.declared.help} [" in flat, entry.flag
        assert f"{entry.default}]" in flat, entry.flag
        assert (entry.opposite or entry.flag) in shown.out
    assert found.help in flat
    assert max(map(len, shown.out.splitlines())) <= 80


def test_help_and_version_import_nothing_heavy():
    """A second of torch before every typing error, and `--help` that fails where torch does."""
    script = (
        "import sys\nfrom miniend import cli\n"
        f"for arguments in (['--help'], ['--version'], *([name, '--help'] for name in {sorted(OPTIONS)})):\n"
        "    assert cli.run(arguments) == 0\n"
        "heavy = {'torch', 'transformers', 'datasets', 'zarr', 'numpy', 'pyarrow', 'matplotlib', 'tqdm', 'psutil'}\n"
        "print('HEAVY', sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "HEAVY []"
    assert "dump-teacher" in done.stdout


@pytest.mark.parametrize("command", sorted(OPTIONS))
def test_the_command_line_says_nothing_that_the_configuration_does_not(command):
    """Two sets of defaults drift apart, and the same dump from Python would be refused as another."""
    found = commands()[command]
    own = {name for name in options_of(found.kind) if name not in ("mixed_environment",)}
    assert own <= set(found.entries) <= {*options_of(found.kind), "plugin", "config", "quiet", "verbose"}
    for name in own:
        assert found.entries[name].declared is options_of(found.kind)[name]
        assert flag_of(found.kind, name) == found.entries[name].flag
    required = {name: "x" for name, entry in found.entries.items() if entry.required}
    values = {"examples": "3", "shell": "bash", "init": "pruned:x", "keep": "0.5", "target": "0.5"}
    asked = [part for name in required for part in (*_flag(found.entries[name]), values.get(name, "x"))]
    if command != "evaluate":  # which knows its tasks
        with found.make_context(command, asked) as context:
            config = found.configure(context).config
        for one in fields(found.kind):
            assert one.name in required or getattr(config, one.name) == one.default


def _flag(entry):
    return () if entry.declared.positional else (entry.flag,)


@pytest.mark.parametrize("command", sorted(OPTIONS))
def test_help_has_its_sections_in_order_and_two_examples_that_work(run, command):
    """Forty options in one list hide the four that matter; an example that fails is worse than none."""
    shown = run(command, "--help-all").out
    headings = re.findall(r"^([A-Z][a-z]+):$", shown, re.MULTILINE)
    assert headings == [name.capitalize() for name in (*SECTIONS, "examples") if name.capitalize() in headings]
    assert {"Essential", "Advanced", "Examples"} <= set(headings)
    examples = shown.split("Examples:\n")[1].replace("\\\n", " ").splitlines()
    assert len(examples) == 2
    for example in examples:
        config, found = configured(example)
        assert (type(config), found.name) == (found.kind, command)


def test_help_lists_every_task(run):
    """The list is written out, because the tasks themselves need numpy."""
    from miniend.evaluation.tasks.known import TASKS

    shown = run("evaluate", "--help").out
    assert all(re.search(rf"\b{name}\b", shown) for name in TASKS)


@pytest.mark.parametrize(
    ("command", "named"),
    [
        ("demo --outptu x", "no such option '--outptu'"),
        ("demo --output", "requires an argument"),
        ("train-student --cache c", "missing option '--output'"),
        (
            "train-student --cache c --output o --steps many",
            "invalid value for '--steps': 'many' is not a valid integer",
        ),
        ("train-student --cache c --output o --steps 0", "--steps must be at least 1, not 0"),
        ("train-student --cache c --output o --seed -1", "--seed must be at least 0, not -1"),
        (
            "train-student --cache c --output o --schedule sudden",
            "--schedule 'sudden': expected one of linear, cosine, constant, inverse-sqrt",
        ),
        (
            "train-student --cache c --output o --objective best",
            "--objective 'best': expected one of scratch, logits, minilm",
        ),
        (
            "train-student --cache c --output o --objective scratch --objective best",
            "--objective 'best': expected one of scratch",
        ),
        (
            "train-student --cache c --output o --cross-relation vv",
            "--cross-relation 'vv': expected one of qk, qq_kk_vv",
        ),
        ("train-student --cache c --output o --init s --size 2L32H", "--init s is a student with its own size"),
        ("train-student --cache c --output o --init teacher-layers:", "found no source"),
        (
            "train-student --cache c --output o --init pruned:s",
            "--init pruned:s: give the fraction to keep with --keep",
        ),
        ("train-student --cache c --output o --keep 0.5", "--keep 0.5 is for --init pruned:SORTED, which is missing"),
        ("train-student --cache c --output o --keep 0.5 --init s", "--init pruned:SORTED, not for --init s"),
        ("train-student --cache c --output o --init pruned:s --keep 2", "--keep 2: expected a fraction above 0"),
        (
            "train-student --cache c --output o --init pruned:s --keep 0.5 --size 2L32H",
            "--init pruned:s gives the size by --keep: leave --size 2L32H out",
        ),
        (
            "evaluate --model m --output o --task glue/sst2 --protocol both",
            "--protocol 'both': expected one of head, text",
        ),
        ("dump --cache c", "no such command 'dump'"),
    ],
)
def test_a_wrong_command_line_is_one_clear_line(run, command, named):
    """The same message whether click, a choice or a check of the configuration finds it."""
    assert_refused(run(*command.split()), named)


PLUGIN = """
from miniend.student_train.objective import OBJECTIVES
OBJECTIVES.add("mine", OBJECTIVES["minilm"])
"""


@pytest.fixture
def objectives():
    """The registered objectives by name, which are put back."""
    from miniend.student_train.objective import OBJECTIVES

    before = dict(OBJECTIVES)
    yield OBJECTIVES._entries
    OBJECTIVES._entries.clear()
    OBJECTIVES._entries.update(before)
    for name in [name for name in sys.modules if name.startswith("miniend_plugin_")]:
        del sys.modules[name]


def test_a_plugin_registers_before_options_are_checked(run, tmp_path, objectives):
    """Else the objective of a plugin would be refused as unknown."""
    plugin = tmp_path / "my_terms.py"
    plugin.write_text(PLUGIN)
    asked = ["train-student", "--cache", tmp_path / "none", "--output", tmp_path / "out", "--objective", "mine"]
    assert_refused(run(*asked), "--objective 'mine': expected one of scratch")
    assert_refused(run(*asked, "--plugin", plugin), "none is not a MiniEnD cache")
    assert "mine" in objectives


def test_a_plugin_can_be_a_module_or_an_entry_point(run, tmp_path, objectives, monkeypatch):
    """An installed package should need no option."""
    (tmp_path / "my_installed_terms.py").write_text(PLUGIN)
    monkeypatch.syspath_prepend(tmp_path)
    asked = ["train-student", "--cache", tmp_path / "none", "--output", tmp_path / "out", "--objective", "mine"]
    assert_refused(run(*asked, "--plugin", "my_installed_terms"), "none is not a MiniEnD cache")
    objectives.pop("mine")
    sys.modules.pop("my_installed_terms")
    found = tmp_path / "my_package-1.0.dist-info"
    found.mkdir()
    (found / "METADATA").write_text("Metadata-Version: 2.1\nName: my-package\nVersion: 1.0\n")
    (found / "entry_points.txt").write_text("[miniend.plugins]\nterms = my_installed_terms\n")
    assert_refused(run(*asked), "none is not a MiniEnD cache")
    sys.modules.pop("my_installed_terms")


@pytest.mark.parametrize(
    "arguments",
    [
        ["train-student", "--cache", "", "--output", "x"],
        ["train-student", "--cache", "x", "--output", ""],
        ["train-student", "--cache", "x", "--output", "x", "--size", ""],
        ["train-student", "--cache", "x", "--output", "x", "--init", ""],
        ["train-student", "--cache", "x", "--output", "x", "--weight", ""],
        ["dump-teacher", "--teacher", "", "--corpus", "x", "--cache", "x", "--examples", "5"],
        ["dump-teacher", "--teacher", "x", "--corpus", "x", "--cache", "x", "--examples", "5", "--signal", ""],
        ["inspect", ""],
        ["verify", ""],
        ["compare", "", "--output", "x"],
    ],
    ids=" ".join,
)
def test_an_empty_value_is_refused_by_its_option(run, tmp_path, monkeypatch, arguments):
    """What an unset variable of a script gives; an empty path would be the working directory."""
    monkeypatch.chdir(tmp_path)
    assert_refused(run(*arguments), "found an empty text")
    assert list(tmp_path.iterdir()) == []


def test_an_option_without_a_default_that_says_something_needs_words_for_it():
    """`[default: None]` tells a reader nothing."""
    for default in (None, (), ""):
        with pytest.raises(TypeError, match="needs `shown`"):
            option(default, section="essential", help="Something.")
    with pytest.raises(TypeError, match="expected one of essential, corpus"):
        option(1, section="others", help="Something.")


def test_a_dump_and_its_inspection(dump, run, tmp_path):
    """The whole of stage one as the shell sees it: results on standard output, nothing else on standard error."""
    done = dump()
    assert (done.status, done.err) == (0, "")
    assert "dumped 14 of 14 examples (validation included)" in done.out
    shown = run("inspect", tmp_path / "cache")
    assert (shown.status, shown.err) == (0, "")
    assert "12 training and 2 validation examples" in shown.out
    facts = json.loads(run("inspect", tmp_path / "cache", "--json").out)
    assert (facts["complete"], facts["examples"], facts["validation_examples"]) == (True, 12, 2)
    assert {"input", "target"} <= set(facts["tokens"])
    of_the_cache = [p for p in (tmp_path / "cache").rglob("*") if p.is_file() and p.name != "dump.yaml"]
    assert facts["bytes"]["total"] == sum(p.stat().st_size for p in of_the_cache)
    assert set(facts["bytes_per_token"]["relations"]) == {"encoder.self@0", "decoder.self@0", "decoder.cross@0"}
    assert set(facts["bytes_per_token"]["relations"]["decoder.cross@0"]) == {"query", "key_value"}
    assert set(facts["fidelity"]["relation_kl"]["decoder.cross@0"]) == {"query", "key", "value", "query_key"}
    assert {"cross_entropy", "unigram_entropy"} <= set(facts["teacher"])


def test_an_estimate_says_what_a_dump_would_take_and_writes_nothing(run, material, tmp_path, monkeypatch):
    """Asked before a disk is filled, it must leave that disk as it was, and be readable by people and by scripts."""
    monkeypatch.chdir(tmp_path)
    settings = {"teacher": material.teacher, "corpus": material.corpus, **DUMP}
    arguments = [part for name, value in settings.items() for part in (f"--{name}", value)]
    said = run("estimate", *arguments)
    assert (said.status, said.err) == (0, "")
    assert "14 examples (validation included) in 4 shards" in said.out
    assert "students to pay: " in said.out
    facts = json.loads(run("estimate", *arguments, "--sample-examples", 2, "--epochs", 3, "--json").out)
    assert (facts["examples"], facts["sample_examples"], facts["students_to_pay"]["epochs"]) == (14, 2, 3)
    assert list(tmp_path.iterdir()) == []
    assert_refused(run("estimate", *arguments, "--sample-examples", 0), "--sample-examples must be at least 1, not 0")
    assert_refused(run("estimate", *arguments, "--epochs", 0), "--epochs must be positive, not 0")
    assert_refused(run("estimate", *arguments, "--signal", "encoder.cross"), "unknown site 'encoder.cross'")


def test_a_dry_run_says_what_a_student_would_take_and_writes_nothing(dump, run, tmp_path):
    """Asked before hours are spent: lines to read, nothing on the disk, and no quarrel with a run that is there."""
    assert dump().status == 0
    output = tmp_path / "student"
    arguments = ["train-student", "--cache", tmp_path / "cache", "--output", output, "--size", "2L32H", "--steps", 4]
    arguments += ["--batch-size", 4, "--relation-heads", 4, "--device", "cpu"]
    said = run(*arguments, "--dry-run")
    assert (said.status, said.err) == (0, "")
    assert not output.exists()
    lines = [line for line in said.out.splitlines() if not line.startswith(" ")]
    rows = dict(line.split(maxsplit=1) for line in lines[-7:])
    assert list(rows) == ["parameters", "compute", "memory", "on", "steps", "one", "whole"]
    assert rows["steps"] == "4 of 4 examples, 1.33 epochs over 12"

    assert run(*arguments).status == 0
    before = {path: path.read_bytes() for path in output.rglob("*") if path.is_file()}
    again = run(*arguments, "--steps", 9, "--gradient-checkpointing", "--dry-run")
    assert (again.status, again.err) == (0, "")
    assert "9 of 4 examples" in again.out
    assert {path: path.read_bytes() for path in output.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"corpus": "nowhere.jsonl"}, "no file matches the corpus 'nowhere.jsonl'"),
        ({"corpus": "*.nothing"}, "no file matches the corpus"),
        ({"corpus": "/"}, "write a folder as a quoted glob"),
        ({"corpus": "hf:name@"}, "expected hf:NAME[:CONFIG][@REVISION]"),
        ({"corpus-weight": 0}, "expected one positive --corpus-weight for each of 1 --corpus"),
        ({"shuffle-buffer": -1}, "--shuffle-buffer must be at least 0, not -1"),
        ({"teacher-revision": "v1"}, "leave --teacher-revision out"),
        ({"field": "body"}, "no field 'body'"),
        ({"examples": 100_000, "validation-examples": 0}, "too short: expected 100,000 training"),
        ({"validation-examples": 5000}, "validation documents fill"),
        ({"teacher": "/nowhere"}, "/nowhere"),
        ({"signal": "encoder.cross"}, "unknown site 'encoder.cross'; expected one of encoder.self"),
        ({"signal": "encoder.self@1"}, "this model has 1 layers there"),
        ({"signal": "encoder.self@last"}, "all, last:N or uniform:N, found 'last'"),
        ({"signal": "decoder.hidden@1"}, "this model has 1 layers there"),
        ({"hidden-error": 0}, "--hidden-error must be between 0 and 1"),
        ({"hidden-error": 1}, "--hidden-error must be between 0 and 1"),
        ({"hidden-error": "nan"}, "--hidden-error: expected a finite number, found nan"),
        ({"input-length": 4096}, "longest input length that works is"),
        ({"input-length": 2}, "at least 3"),
        ({"noise-density": 1.5}, "--noise-density must be between 0 and 1"),
        ({"mean-noise-span-length": 0.5}, "mean span"),
        ({"examples": 0}, "--examples must be at least 1, not 0"),
        ({"top-k": 0}, "--top-k must be at least 1, not 0"),
        ({"batch-size": 0}, "--batch-size must be at least 1"),
        ({"relation-kl": 0}, "--relation-kl must be positive"),
        ({"relation-step": -1}, "--relation-step must be positive"),
        ({"logit-step": 0}, "--logit-step must be between"),
        ({"logit-step": 1.5}, "--logit-step must be between"),
        ({"draws": 0}, "--draws must be at least 1, not 0"),
        ({"top-p": 0}, "--top-p must be above 0"),
        ({"temperature": 2}, "--temperature belongs to --logits top-k"),
        ({"logits": "top-k", "temperature": 1}, "must be between 0.1 and 100 and not 1"),
        ({"logits": "top-k", "temperature": "nan"}, "--temperature: expected a finite number, found nan"),
        ({"top-p": 1.01}, "--top-p must be above 0 and at most 1"),
        ({"calibration-examples": 2}, "--calibration-examples must be at least 3"),
        ({"examples": 2}, "at least 3"),
        ({"task": "pairs", "field": "text"}, "needs 2 --field"),
        (
            {"task": "pairs", "noise-density": 0.3},
            "--noise-density is an option of --task span-corruption, not of --task pairs",
        ),
        ({"target-length": 9}, "--target-length is an option of --task pairs"),
        ({"prefix": "summarize: "}, "--prefix is an option of --task pairs"),
        ({"task": "pairs"}, "no field 'input'"),
        ({"threads": 2**16}, "--threads must be below 65,536"),
        ({"device": "gpu"}, "unknown device 'gpu'"),
        ({"device": "mps"}, "device 'mps' is not supported"),
        ({"device": "cuda:99"}, "cuda:99"),
    ],
    ids=str,
)
def test_a_wrong_setting_is_one_clear_line(dump, changed, named):
    """A traceback tells a user that the software is broken, and hides which of the settings is."""
    assert_refused(dump(**changed), named)


def test_two_weighted_shuffled_corpora_are_dumped_and_held_to(dump, run, material, tmp_path):
    """Repeated options in the order of the shell; going on with other weights, order or buffer is refused by name."""
    other = write_texts(tmp_path / "other.jsonl", material.texts[::-1])
    settings = {"teacher": material.teacher, "cache": tmp_path / "cache", **DUMP, "signal": "none"}
    always = [part for name, value in settings.items() for part in (f"--{name}", value)]

    def mixed(*corpora, weights=(3, 1), buffer=8):
        repeated = [part for corpus in corpora for part in ("--corpus", corpus)]
        repeated += [part for weight in weights for part in ("--corpus-weight", weight)]
        return run("dump-teacher", *always, *repeated, "--shuffle-buffer", buffer)

    assert mixed(material.corpus, other).status == 0
    parts = json.loads(run("inspect", tmp_path / "cache", "--json").out)["corpus"]["parts"]
    assert [(part["files"][0]["name"], part["weight"]) for part in parts] == [
        ("corpus.jsonl", 3.0),
        ("other.jsonl", 1.0),
    ]
    assert "were already there" in mixed(material.corpus, other).out
    assert_refused(
        mixed(material.corpus, other, weights=(2, 1)), "corpus.parts[1].weight: there 3.0, now 2.0 (--corpus-weight)"
    )
    assert_refused(mixed(other, material.corpus, weights=(1, 3)), "--corpus: the same 2 in another order")
    assert_refused(mixed(material.corpus, other, buffer=9), "--shuffle-buffer: there 8, now 9")
    assert_refused(mixed(material.corpus, other, weights=(1,)), "each of 2 --corpus", "found 1")
    assert_refused(mixed(material.corpus, material.corpus), "its documents would come twice")


def test_an_empty_corpus_is_one_clear_line(dump, tmp_path):
    """An empty file, one of blank lines, and one of empty texts are all nothing to dump."""
    for content, named in (
        ("", "is empty"),
        ("\n\n", "does not have a document with text"),
        ('{"text": " "}\n', "does not have a document with text"),
    ):
        corpus = tmp_path / "empty.jsonl"
        corpus.write_text(content)
        assert_refused(dump(corpus=corpus), named)


def test_a_glob_that_the_shell_has_expanded_is_named(run, material, tmp_path):
    """ "Got unexpected extra argument" does not tell anybody to put the glob into quotes."""
    arguments = ("--teacher", material.teacher, "--cache", tmp_path / "cache", "--examples", 5, "--corpus", "a.jsonl")
    assert_refused(
        run("dump-teacher", *arguments, material.corpus), f"{material.corpus} is a file; put a glob into quotes"
    )
    assert "quotes" not in run("dump-teacher", *arguments, "word").err


def test_what_pairs_lose_is_said_by_dump_and_inspect(dump, run, material, tmp_path):
    """Half of the targets empty, or all cut, ended with exit status 0 and no word; so did a script that is all <unk>."""
    rows = [
        {"input": f"<extra_id_0> {text}", "target": text if n % 4 else " "} for n, text in enumerate(material.texts)
    ]
    corpus = tmp_path / "pairs.jsonl.gz"
    corpus.write_bytes(gzip.compress("".join(json.dumps(row) + "\n" for row in rows).encode(), mtime=0))
    settings = {"corpus": corpus, "task": "pairs", "target-length": 8, "prefix": "漢字 "}
    settings |= {"examples": 40, "validation-examples": 5, "signal": "none"}
    done = dump(**settings)
    assert done.status == 0, done.err
    shown = run("inspect", tmp_path / "cache").out
    found = json.loads(run("inspect", tmp_path / "cache", "--json").out)
    counts = found["packing"]
    assert counts["blank"] > 0
    assert counts["cut_targets"] == 45
    assert counts["unknown"] >= 45
    for text in (done.out, shown):
        assert f"{counts['blank']} pairs were left out" in text
        assert "45 targets at --target-length" in text
        assert "of the corpus's tokens are <unk>" in text
    assert found["objective"]["prefix"] == "漢字 "
    sentinel = material.tokenizer.convert_tokens_to_ids("<extra_id_0>")
    assert all(sentinel in example.input_ids for example in open_cache(tmp_path / "cache"))
    assert_refused(dump(**settings | {"prefix": "other "}), "--prefix: there 漢字, now other")


def test_each_corpus_may_have_its_own_field(dump, run, material, tmp_path):
    """Corpora from two places seldom call their text alike. A repair reads the fields from the plan."""
    other = tmp_path / "other.csv"
    other.write_text("id,body\n" + "".join(f"{n},{text}\n" for n, text in enumerate(material.texts[::-1])))
    arguments = ["--corpus", material.corpus, "--corpus", other, "--field", "text", "--field", "body"]
    settings = {"teacher": material.teacher, "cache": tmp_path / "cache", **DUMP, "signal": "none"}
    done = run("dump-teacher", *arguments, *(part for name, value in settings.items() for part in (f"--{name}", value)))
    assert done.status == 0, done.err
    corpus = json.loads(run("inspect", tmp_path / "cache", "--json").out)["corpus"]
    assert (corpus["fields"], corpus["parts"][1]["fields"]) == (["text"], ["body"])
    assert "fields" not in corpus["parts"][0]
    shutil.rmtree(tmp_path / "cache" / "segments" / "train-000000")
    repaired = run("verify", tmp_path / "cache", "--repair", "--teacher", material.teacher, *arguments[:4])
    assert repaired.status == 0, repaired.err + repaired.out


def test_a_corpus_that_is_no_json_names_file_and_line(dump, tmp_path):
    """In a corpus of a billion lines the place is the whole message."""
    corpus = tmp_path / "broken.jsonl"
    corpus.write_text('{"text": "a b c"}\nnot json\n')
    assert_refused(dump(corpus=corpus), "broken.jsonl, line 2")


def test_a_mistake_mended_is_not_held_against_the_next_run(dump, tmp_path):
    """A plan published before the mistake is found would refuse the right settings as 'begun with other settings'."""
    assert_refused(dump(field="body"), "no field 'body'")
    assert_refused(dump(teacher="/nowhere"), "/nowhere")
    assert_refused(dump(signal="encoder.cross"), "unknown site")
    assert dump().status == 0


def test_a_model_that_is_no_t5_is_refused_by_its_name(dump, material, tmp_path):
    """The family must be named even where the tokenizer, which has no sentinels, would be refused as well."""
    bert = tmp_path / "bert"
    build_tiny_tokenizer(material.texts, 200, sentinels=0).save_pretrained(bert)
    (bert / "config.json").write_text('{"model_type": "bert", "architectures": ["BertForMaskedLM"]}')
    assert_refused(dump(teacher=bert), "not a T5-family model", "'bert'", "BertForMaskedLM")


@pytest.mark.parametrize(
    ("member", "value"),
    [("d_model", "x"), ("num_layers", [1]), ("pad_token_id", "x"), ("vocab_size", None), ("dropout_rate", {})],
)
def test_a_member_of_config_json_of_another_type_is_blamed_on_config_json(dump, material, tmp_path, member, value):
    """The tokenizer is loaded by the same folder, and was blamed for what transformers said of the config."""
    teacher = shutil.copytree(material.teacher, tmp_path / "odd")
    stated = json.loads((teacher / "config.json").read_text())
    (teacher / "config.json").write_text(json.dumps(stated | {member: value}))
    said = dump(teacher=teacher)
    assert_refused(said, f"config.json says {member} {value!r}", "correct the file")
    assert "tokenizer" not in said.err


def test_a_tokenizer_without_sentinels_is_refused(dump, material, tmp_path):
    """Span corruption would have nothing to mark the holes with; pairs do not need them."""
    tokenizer = build_tiny_tokenizer(material.texts, 200, sentinels=0)
    assert_refused(
        dump(teacher=build_tiny_t5(tmp_path / "none", tokenizer, layers=(1, 1))), "the sentinels <extra_id_0>"
    )


def test_a_tokenizer_with_more_entries_than_the_teacher_has_rows_is_refused(dump, material, tmp_path):
    """Its last ids, the sentinels, would index past the embedding."""
    teacher = build_tiny_t5(tmp_path / "few", material.tokenizer, layers=(1, 1), spare_rows=-1)
    assert_refused(dump(teacher=teacher), "220 entries", "219 rows")


def test_a_folder_without_tokenizer_is_refused(dump, material, tmp_path):
    """Checkpoints are often copied without it."""
    teacher = shutil.copytree(material.teacher, tmp_path / "bare")
    for path in teacher.glob("*token*"):
        path.unlink()
    assert_refused(dump(teacher=teacher), "no tokenizer can be loaded")


def test_an_output_directory_that_holds_something_else_is_refused(dump, tmp_path):
    """Another dump, other files, or a file where a directory should be."""
    assert dump().status == 0
    assert_refused(dump(seed=3), "seed: there 0, now 3")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("notes")
    assert_refused(dump(cache=tmp_path / "mine"), "notes.txt")
    assert_refused(dump(cache=tmp_path / "mine" / "notes.txt"), "is a file")


@pytest.mark.parametrize("kind", ["missing", "empty", "stranger", "file"])
def test_inspecting_what_is_no_cache_says_so(run, tmp_path, kind):
    """The wrong folder is the most frequent mistake."""
    path = tmp_path / "thing"
    if kind != "missing":
        path.mkdir()
    if kind == "stranger":
        (path / "notes.txt").write_text("notes")
    if kind == "file":
        path.rmdir()
        path.write_text("notes")
    for options in ([], ["--json"]):
        assert_refused(run("inspect", path, *options), "thing is not a MiniEnD cache")


def test_an_unfinished_cache_is_said_to_be_unfinished(dump, run, tmp_path):
    """Half a dump that looks like a whole one would train a student on half of the data."""
    assert dump().status == 0
    shutil.rmtree(tmp_path / "cache" / "shards" / "train-000001")
    shown = run("inspect", tmp_path / "cache")
    assert shown.status == 0
    assert "unfinished (12 examples planned)" in shown.out
    assert json.loads(run("inspect", tmp_path / "cache", "--json").out)["complete"] is False
    train = ["train-student", "--cache", tmp_path / "cache", "--output", tmp_path / "out", "--size", "1L32H"]
    assert_refused(run(*train), "unfinished", "--allow-unfinished")
    for lost in ("shards", "calibration"):
        shutil.rmtree(tmp_path / "cache" / lost)
    assert_refused(run("inspect", tmp_path / "cache"), "unfinished", "run dump-teacher again")


@pytest.mark.parametrize(
    "document", ["plan/plan.json", "calibration/calibration.json", "shards/train-000000/marker.json"]
)
def test_inspecting_a_damaged_cache_names_the_file(dump, run, tmp_path, document):
    """One flipped byte in a document that nobody checks would be read as a setting."""
    assert dump().status == 0
    path = tmp_path / "cache" / document
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    assert_refused(run("inspect", tmp_path / "cache"), path)


def test_the_installed_command_ends_with_the_line_alone(tmp_path):
    """What tests see in one process may look otherwise in a shell: warnings, progress bars, tracebacks at exit."""
    done = subprocess.run(
        [Path(sys.executable).with_name("miniend"), "inspect", tmp_path], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == (
        f"miniend: {tmp_path} is not a MiniEnD cache: it is an empty folder; make a cache with `miniend dump-teacher --cache "
        f"{tmp_path}`, or name another folder\n"
    )


@contextmanager
def small_disk(path, size):
    """A file system of that many kilobytes at `path`; yields a function that enlarges it."""
    path.mkdir()
    mounted = shutil.which("mount") and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}k", "tmpfs", path], capture_output=True, check=False
    )
    if not mounted or mounted.returncode:
        pytest.skip("mounting a small file system needs root")
    try:
        yield lambda: subprocess.run(["mount", "-o", "remount,size=65536k", path], capture_output=True, check=True)
    finally:
        subprocess.run(["umount", path], capture_output=True, check=True)


@pytest.mark.parametrize("size", [4, 40, 100, 220, 300])
def test_a_full_disk_is_one_clear_line_and_the_next_run_goes_on(dump, run, tmp_path, size):
    """A real small disk, full at the plan, in the segments, in the calibration and among the shards."""
    assert dump().status == 0
    with small_disk(tmp_path / "disk", size) as enlarge:
        cache = tmp_path / "disk" / "cache"
        assert_refused(dump(cache=cache), "the disk is full", "run the same command again")
        enlarge()
        assert dump(cache=cache).status == 0
        assert differences(cache, tmp_path / "cache") == []


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("document", ["plan.json", "calibration.json", "extent.json", "train-000001"])
def test_a_disk_that_fills_while_a_document_is_written(dump, tmp_path, monkeypatch, document, number):
    """The same without root: the document is written last, so everything else of its folder is there already."""
    real = Path.write_bytes

    def full(self, data):
        if document in str(self) and self.name.endswith(".json") and self.parent.name.startswith(".staging-"):
            raise OSError(number, "no room")
        return real(self, data)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_bytes", full)
        assert_refused(dump(), "the disk is full", "run the same command again")
    assert not list((tmp_path / "cache").rglob(".staging*"))
    assert dump().status == 0
    assert open_cache(tmp_path / "cache").complete
