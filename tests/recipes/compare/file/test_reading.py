"""The file of a comparison: what it may say, what its preset adds, and how mistakes are told."""

import sys
from pathlib import Path

import pytest
import yaml

from miniend.errors import ConfigurationError
from miniend.recipes.compare.file.reading import read_comparison
from miniend.recipes.compare.file.settings import MAIN, known_rows
from miniend.recipes.compare.file.yaml_file import PRESETS
from miniend.recipes.filters.config import FilterSettings
from miniend.runtime.options import changed_from_defaults

OF_THE_PAPER = (
    *("scratch", "logits", "minilm", "implicit", "miniend-d", "miniend-e"),
    *("miniend-d-no-logits", "miniend-e-no-logits"),
)
IN_EVERY_PRESET = ("scratch", "logits", "miniend-d", "miniend-e")
STATES = ["encoder.hidden@all", "decoder.hidden@all"]


@pytest.fixture
def with_filters(settings):
    """with_filters(value): the options of a dump of hidden states, with `filters` as the value."""
    return lambda value: settings()["dump"] | {"signals": STATES, "filters": value}


def test_every_row_of_the_paper_is_known_by_its_name_alone(written, with_filters):
    found = read_comparison(written(rows=dict.fromkeys(known_rows()), dump=with_filters({})))
    options = {student.name: changed_from_defaults(student.settings) for student in found.students}
    assert set(OF_THE_PAPER) < set(options)
    assert options["miniend-d-no-logits"]["objective"] == "miniend-d"
    assert options["miniend-d-no-logits"]["logits"] is False
    assert "logits" not in options["miniend-d"]


def test_rows_are_trained_in_every_size_with_the_common_options_and_their_own(written):
    rows = {"scratch": None, "slow": {"objective": "minilm", "max_grad_norm": 5, "steps": 8}}
    found = read_comparison(written(rows=rows, sizes=["1L32H", "2L64H"]))
    labels = [student.label for student in found.students]
    assert labels == ["1L32H scratch", "1L32H slow", "2L64H scratch", "2L64H slow"]
    config = found.train(found.students[3], Path("cache"), Path("out"), 0.1, 5)
    assert (config.size, config.objective, config.max_grad_norm, config.steps, config.batch_size) == (
        "2L64H",
        "minilm",
        5.0,
        8,
        4,
    )
    assert (config.learning_rate, config.seed, config.device, config.output) == (0.1, 5, "cpu", Path("out"))


def test_rows_and_assistants_try_the_learning_rates_under_their_name_or_those_of_the_others(written):
    rates = {"others": [1e-3, 3e-3], "scratch": [1e-4, 1e-3], "middle": 1e-2, "logits": [1e-5]}
    rows, assistants = (
        {"scratch": None, "minilm": None, "logits": False},
        {"middle": {"size": "1L32H", "objective": "minilm"}},
    )
    found = read_comparison(written(rows=rows, assistants=assistants, learning_rates=rates))
    assert found.assistants["middle"].learning_rates == (1e-2,)
    assert [student.learning_rates for student in found.students] == [(1e-4, 1e-3), (1e-3, 3e-3)]
    assert found.learning_rates == (1e-4, 1e-3, 3e-3, 1e-2)


def test_a_list_of_learning_rates_replaces_those_that_a_preset_has_by_row(tmp_path):
    file = tmp_path / "mine.yaml"
    own = {"preset": "small", "teacher": "t5", "dump": {"corpus": "texts.txt"}, "learning_rates": [3e-4, 1e-3]}
    file.write_text(yaml.safe_dump(own))
    assert {student.learning_rates for student in read_comparison(file).everyone} == {(3e-4, 1e-3)}


def test_another_cache_has_the_options_of_the_first_but_for_its_own(written):
    rows = {"scratch": None, "miniend-e": {"cache": "calibrated"}}
    found = read_comparison(written(rows=rows, caches={"calibrated": {"relation_temperature": "calibrated"}}))
    main, other = (found.dump(name, "teacher", Path("cache")) for name in (MAIN, "calibrated"))
    assert (main.relation_temperature, other.relation_temperature) == ("published", "calibrated")
    assert main.examples == other.examples == 24


def test_a_task_has_the_common_options_but_for_its_own(written):
    found = read_comparison(written(tasks={"glue/sst2": {"train_examples": 16}, "glue/rte": None}))
    sst2, rte = (found.evaluate(task, "model", Path("out")) for task in ("glue/sst2", "glue/rte"))
    assert (sst2.train_examples, rte.train_examples) == (16, None)
    assert sst2.seeds == rte.seeds == 1


@pytest.mark.parametrize("name", sorted(path.stem for path in PRESETS.glob("*.yaml")))
def test_every_preset_is_whole_but_for_what_only_a_user_knows(name, tmp_path):
    file = tmp_path / "mine.yaml"
    own = {"preset": name, "teacher": "t5", "dump": {"corpus": "texts.txt"}, "evaluate": {"data": "d"}}
    sizes = {"sizes": ["2L64H"]} if name == "ted" else {}  # of the teacher's width
    file.write_text(yaml.safe_dump(own | sizes))
    found = read_comparison(file)
    names = [student.name for student in found.students]
    assert set(OF_THE_PAPER if name in ("paper", "small") else IN_EVERY_PRESET) <= set(names)
    assert {name for pair in found.pairs for name in pair} <= set(names)
    assert found.seeds == 3
    assert all(len(student.learning_rates) == (2 if name == "analysis" else 3) for student in found.everyone)
    assert found.dump(MAIN, "t5", Path("cache")).corpus == "texts.txt"


def test_false_leaves_out_what_a_preset_has(tmp_path):
    file = tmp_path / "mine.yaml"
    changes = {
        "rows": {"minilm": False, "miniend-e-assisted": False},
        "caches": {"assisted": False},
        "assistants": {"assistant": False},
    }
    own = {"preset": "small", "teacher": "t5", "dump": {"corpus": "texts.txt"}, "tasks": {"glue/rte": False}}
    file.write_text(yaml.safe_dump(own | changes))
    found = read_comparison(file)
    assert "minilm" not in {student.name for student in found.students}
    assert set(found.caches) == {MAIN, "calibrated"}
    assert not found.assistants
    assert "glue/rte" not in found.tasks
    assert ("miniend-e-assisted", "miniend-e") not in found.pairs


def test_without_pairs_every_row_is_held_against_the_first(written):
    found = read_comparison(written(rows=dict.fromkeys(["scratch", "logits", "minilm"])))
    assert found.pairs == (("logits", "scratch"), ("minilm", "scratch"))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"teachers": "x"}, "teachers: unknown key"),
        ({"plugins": "nowhere.py", "dump": None}, "--plugin nowhere.py: expected a Python file, found none"),
        ({"teacher": None}, "do not say teacher"),
        ({"rows": {"scratched": None}}, "scratched needs an objective"),
        ({"rows": {"a/b": {"objective": "scratch"}}}, "should be a name"),
        (
            {"rows": {"mine": {"objective": "nothing"}}},
            "rows, mine: objective should be one of scratch, .*, found 'nothing'$",
        ),
        ({"rows": {"mine": {"learning_rate": 1}}}, "unknown option 'learning_rate'"),
        (
            {"rows": {"mine": {"objective": "scratch", "cache": "other"}}},
            "unknown cache other; expected one of main",
        ),
        ({"rows": ["scratch"]}, "rows should be a mapping from options"),
        ({"train": {"steps": 0}}, "--steps must be at least 1"),
        ({"seeds": 0}, "seeds should be at least 1"),
        ({"seeds": "three"}, "seeds should be a whole number"),
        ({"learning_rates": [1e-3, 1e-3]}, "each given once"),
        ({"learning_rates": [2]}, "between 0 and 1"),
        ({"learning_rates": "fast"}, "line [0-9]+: learning_rates should be"),
        (
            {"learning_rates": {"others": [1e-3], "scratch": [2]}},
            r"line \d+: learning_rates, scratch should be between",
        ),
        ({"learning_rates": {"others": 1e-3, "scratch": "fast"}}, "line [0-9]+: learning_rates, scratch should be"),
        ({"learning_rates": {"others": []}}, "line [0-9]+: learning_rates, others: expected at least one"),
        ({"learning_rates": {"scratch": 1e-3}}, "none for miniend-e; add miniend-e or others"),
        (
            {"learning_rates": {"others": 1e-3, "scartch": 1e-3}},
            "unknown row or assistant 'scartch'; expected others or one of",
        ),
        ({"tasks": {"glue/sst3": None}}, "unknown task 'glue/sst3'"),
        ({"evaluate": {"model": "x"}}, "unknown option 'model'"),
        ({"pairs": [["scratch"]]}, "should be a list of two rows"),
        ({"caches": {"c": {"teacher": "nobody"}}}, "unknown assistant nobody; expected one of none"),
        ({"rows": {"x" * 101: {"objective": "scratch"}}}, "rows: 'x+.* should be a name of at most 100 letters"),
        ({"rows": {"../../x": {"objective": "scratch"}}}, "rows: '../../x' should be a name of at most 100 letters"),
        ({"pairs": 5}, "pairs: expected a list of pairs of rows, found 5"),
        ({"pairs": [["scratch", "scratch"]]}, "pairs: .* compares a row with itself"),
        (
            {"caches": {"c": {"draws": 5}}},
            "caches, c: no row and no assistant has `cache: c`, and it would be dumped for nothing",
        ),
        (
            {"train": {"steps": 4, "batch_size": 25}},
            "scratch: batch_size 25 is larger than the 24 examples of the dump",
        ),
        ({"train": {"max_grad_norm": ".inf"}}, "max_grad_norm"),
        (
            {"train": {"weight": "labels=1e40"}},
            "scratch: --weight 'labels=1e40': expected TERM=NUMBER above 0 and at most",
        ),
        ({"sizes": []}, "do not say sizes"),
        ({"sizes": ["1L32H", "1L33H"]}, "scratch: size 1L33H: d_model 33 is not a multiple"),
        ({"sizes": ["1L32H", "1L32H"]}, "share the folder name"),
        ({"learning_rates": []}, "learning_rates: expected at least one"),
        ({"rows": {"scratch": False}}, "rows: expected at least one"),
        ({"tasks": {"glue/sst2": False}}, "tasks: expected at least one"),
        ({"pairs": [["scratch", "scartch"]]}, "unknown row 'scartch'; expected two of scratch, miniend-e"),
        (
            {"rows": {"mine": {"objective": "scratch", "init": "there"}}},
            "rows, mine: --init there is a student with its own size: leave --size 1L32H out",
        ),
        ({"rows": {"mine": {"objective": "scratch", "size": "1L32H"}}}, "unknown option 'size'"),
        (
            {"train": {"schedule": "sudden"}},
            "train: schedule should be one of linear, .*, found 'sudden'$",
        ),
        ({"evaluate": {"seeds": 0}}, "tasks, glue/sst2: --seeds must be at least 1"),
        (
            {"evaluate": {"seeds": "two"}},
            "evaluate: seeds should be a whole number, found 'two' .Fine-tunings per task",
        ),
        ({"dump": {"examples": 24}}, "dump: expected corpus, found none; add that"),
        ({"plugins": 3}, "plugins should be a text or a list of such"),
        ({"plugins": "nowhere.py"}, "--plugin nowhere.py: expected a Python file, found none"),
        ({"rows": {"mine": {"cache": "main"}}}, "mine needs an objective"),
        ({"caches": {"longer": {"input_length": 64}}}, "longer: unknown option 'input_length'"),
    ],
)
def test_a_mistake_is_told_with_its_place(written, changed, message):
    with pytest.raises(ConfigurationError, match=message):
        read_comparison(written(**changed))


def test_a_dump_without_validation_examples_is_refused(written, settings):
    with pytest.raises(ConfigurationError, match="validation_examples should be at least 1"):
        read_comparison(written(dump=settings()["dump"] | {"validation_examples": 0}))


def test_a_row_known_by_its_name_keeps_its_objective_beside_options_of_its_own(written):
    rows = {
        "scratch": {"max_grad_norm": 5},
        "miniend-e-no-logits": {"relation_heads": 8},
        "minilm": {"objective": "logits"},
    }
    found = [student.settings for student in read_comparison(written(rows=rows)).students]
    assert [settings.objective for settings in found] == ["scratch", "miniend-e", "logits"]
    assert found[0].max_grad_norm == 5
    assert (found[1].logits, found[1].relation_heads) == (False, 8)


def test_logits_of_an_assistant_whose_head_is_not_trained_are_refused(written):
    changed = {
        "rows": {"assisted": {"objective": "miniend-e", "cache": "of-it"}},
        "caches": {"of-it": {"teacher": "it"}},
        "assistants": {"it": {"size": "2L32H", "objective": "minilm"}},
    }
    with pytest.raises(
        ConfigurationError, match="assisted learns the logits of it, but the objective of it does not train"
    ):
        read_comparison(written(**changed))
    changed["rows"]["assisted"]["logits"] = False
    assert len(read_comparison(written(**changed)).students) == 1


def test_two_sizes_whose_folders_have_one_name_are_refused(written, tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder / "tiny").mkdir(parents=True)
        (tmp_path / folder / "tiny" / "config.json").write_text("{}")
    with pytest.raises(ConfigurationError, match="share the folder name tiny-scratch"):
        read_comparison(written(sizes=[str(tmp_path / folder / "tiny" / "config.json") for folder in ("a", "b")]))


def test_assistants_that_teach_each_other_are_refused(written):
    assistants = {
        name: {"size": "1L32H", "objective": "minilm", "cache": f"of-{other}"}
        for name, other in (("a", "b"), ("b", "a"))
    }
    with pytest.raises(ConfigurationError, match="its teachers form a circle"):
        read_comparison(written(assistants=assistants, caches={"of-a": {"teacher": "a"}, "of-b": {"teacher": "b"}}))


def test_an_assistant_may_not_have_the_name_of_a_row_of_its_size(written):
    with pytest.raises(ConfigurationError, match="share the folder name"):
        read_comparison(written(assistants={"scratch": {"size": "1L32H", "objective": "scratch"}}))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1, 2]", "should be a mapping from keys"),
        ("a: [", "is not valid YAML"),
        ("seeds: 010", "is not valid YAML: YAML reads 010 in another base; write a plain decimal number"),
        ("train: {steps: 1:30}", "YAML reads 1:30 in another base"),
        ("train: {max_grad_norm: 1:30.5}", "YAML reads 1:30.5 in another base"),
        ("seeds: !!int x", "is not valid YAML: x cannot be read as int in .* line 1"),
        ("seeds: !!float x", "is not valid YAML: x cannot be read as float"),
        ("seeds: " + "1" * 5000, "cannot be read as int"),
        ("seeds: 2024-02-31", "2024-02-31 cannot be read as timestamp in .* line 1"),
        ("[" * 20000, "is nested too deeply"),
        ("seeds: 1\nseeds: 2", "is not valid YAML: 'seeds' is given twice in .* line 2"),
        ("rows:\n  scratch: {steps: 3}\n  scratch:", "'scratch' is given twice"),
        ("preset: tiny", "unknown preset 'tiny'; expected one of analysis, paper, small, ted"),
    ],
)
def test_a_file_that_holds_something_else_is_refused(tmp_path, text, message):
    file = tmp_path / "comparison.yaml"
    file.write_text(text)
    with pytest.raises(ConfigurationError, match=message):
        read_comparison(file)


def test_steps_on_hard_labels_have_the_options_of_training_but_for_their_own(written):
    found = read_comparison(written(continuation={"steps": 7, "learning_rate": 0.1}))
    config = found.continued(Path("cache"), Path("out"), 3, init="student")
    assert (config.steps, config.learning_rate, config.batch_size) == (7, 0.1, 4)
    assert (config.objective, config.init, config.seed) == ("scratch", "student", 3)
    assert read_comparison(written()).continuation is None
    with pytest.raises(ConfigurationError, match="continuation: unknown option 'objective'"):
        read_comparison(written(continuation={"objective": "logits"}))
    with pytest.raises(ConfigurationError, match="--steps must be at least 1"):
        read_comparison(written(continuation={"steps": 0}))


def test_rows_may_share_options_by_anchors(written, tmp_path):
    rows = "rows:\n  scratch: &s {max_grad_norm: 2}\n"
    rows += "  minilm: &m {<<: *s, max_grad_norm: 5, steps: 3}\n  logits: {<<: *m, steps: 2}"
    file = tmp_path / "anchored.yaml"
    file.write_text(written(rows={}).read_text().replace("rows: {}", rows))
    found = [(student.settings.max_grad_norm, student.settings.steps) for student in read_comparison(file).students]
    assert found == [(2.0, 4), (5.0, 3), (5.0, 2)]


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(ConfigurationError, match=r"none[.]yaml is not the file of a comparison: it is missing"):
        read_comparison(tmp_path / "none.yaml")


def test_a_row_can_start_from_layers_of_its_teacher(written):
    rows = {"scratch": None, "sliced": {"objective": "minilm", "init": "teacher-layers:there"}}
    found = read_comparison(written(rows=rows)).students
    assert [student.settings.init for student in found] == [None, "teacher-layers:there"]


def test_a_start_from_layers_without_a_source_is_from_layers_of_the_comparisons_teacher(written, settings):
    found = read_comparison(written(train=settings()["train"] | {"init": "teacher-layers"}))
    assert {student.settings.init for student in found.students} == {f"teacher-layers:{found.teacher}"}


def test_a_size_can_be_a_part_of_a_sorted_teacher(written, settings):
    assistants = {"half": {"size": "keep-0.50", "objective": "logits"}}
    train = settings()["train"] | {"init": "pruned:sorted"}
    found = read_comparison(written(sizes=["keep-0.25", "keep-1"], train=train, assistants=assistants))
    assert found.sizes == ("keep-0.25", "keep-1")
    assert [one.settings.keep for one in found.everyone] == [0.25, 0.25, 1.0, 1.0, 0.5]
    assert {(one.settings.size, one.settings.init) for one in found.everyone} == {(None, "pruned:sorted")}
    assert found.assistants["half"].label == "keep-0.5 half"
    assert found.shape("keep-0.25") == {"init": "pruned:sorted", "keep": 0.25}
    config = found.continued(Path("cache"), Path("out"), 0, **found.shape("keep-0.5"))
    assert (config.init, config.keep, config.size) == ("pruned:sorted", 0.5, None)


@pytest.mark.parametrize(
    ("size", "init", "message"),
    [
        ("1L32H", "pruned:a", "init pruned:a needs sizes such as keep-0.3, .*; found 1L32H$"),
        ("keep-half", "pruned:a", "init pruned:a needs sizes such as keep-0.3, .*; found keep-half$"),
        ("keep-0.3", None, "rows, scratch: size keep-0.3 is a part of a sorted teacher, .* found none"),
        ("keep-0.3", "teacher-layers:a", "found teacher-layers:a. Make SORTED with miniend prune-teacher"),
        ("keep-1.5", "pruned:a", "--keep 1.5: expected a fraction above 0 and at most 1"),
        ("keep-nan", "pruned:a", "--keep: expected a finite number, found nan"),
        ("keep-half", None, "keep-half"),
    ],
)
def test_a_size_and_a_start_that_do_not_belong_together_are_told(written, settings, size, init, message):
    with pytest.raises(ConfigurationError, match=message):
        read_comparison(written(sizes=[size], train=settings()["train"] | {"init": init}))


def test_the_preset_ted_gives_all_rows_one_start_and_one_cache(tmp_path):
    file = tmp_path / "mine.yaml"
    own = {"preset": "ted", "teacher": "t5", "dump": {"corpus": "a.txt"}, "evaluate": {"data": "d"}, "sizes": ["2L64H"]}
    file.write_text(yaml.safe_dump(own))
    found = read_comparison(file)
    assert {(one.settings.init, one.cache, one.settings.steps) for one in found.students} == {
        ("teacher-layers:t5", MAIN, 600)
    }
    assert found.caches[MAIN].filters.filter_steps == 200
    stages = {one.name: one.settings.filter_steps for one in found.students if one.settings.objective == "ted"}
    assert stages == {"ted": 200, "ted-no-stage-1": 0}
    assert {("ted", "lwd"), ("ted", "hidden"), ("ted", "logits"), ("ted", "miniend-e")} <= set(found.pairs)


def test_a_cache_has_the_filters_of_the_first_unless_it_states_its_own(written, with_filters):
    names = ("same", "narrow", "without")
    rows = {"ted": None} | {name: {"objective": "lwd", "cache": name} for name in names}
    caches = {"same": {"hidden_error": 0.1}, "narrow": {"filters": {"filter_width": 4}}, "without": {"filters": False}}
    found = read_comparison(written(rows=rows, caches=caches, dump=with_filters({"filter_steps": 3})))
    configs = {name: found.filters(name, "t5", Path("c")) for name in (MAIN, *names)}
    assert configs["without"] is None
    assert {name: (one.filter_steps, one.filter_width) for name, one in configs.items() if one} == {
        MAIN: (3, None),
        "same": (3, None),
        "narrow": (500, 4),
    }
    assert (configs[MAIN].teacher, configs[MAIN].cache, configs[MAIN].device) == ("t5", Path("c"), "cpu")
    assert read_comparison(written(dump=with_filters(None))).caches[MAIN].filters == FilterSettings()


@pytest.mark.parametrize(
    ("filters", "changed", "message"),
    [
        ({"filter_step": 3}, {}, "dump, filters: unknown option 'filter_step'"),
        ({"filter_steps": -1}, {}, "dump, filters: --filter-steps must be at least 0"),
        (7, {}, "dump, filters should be a mapping"),
        (True, {}, "dump, filters should be a mapping"),
        ({}, {"signals": ["encoder.self"]}, "dump: filters need hidden states, and its signals are encoder.self; add"),
        ({}, {"signals": "encoder.self@1,decoder.self"}, "its signals are encoder.self, decoder.self; add"),
        ({}, {"signals": "none", "logits": "top-k"}, "its signals are none; add"),
        (False, {"rows": {"ted": None}}, "ted: objective ted needs filters, .* add `filters:` below dump$"),
        (
            {},
            {"rows": {"ted": {"cache": "b"}}, "caches": {"b": {"filters": False}}},
            "ted: objective ted needs filters, and the cache b gets none; add `filters:` below caches, b",
        ),
    ],
)
def test_filters_that_cannot_be_or_are_missing_are_told_before_anything_is_done(
    written, with_filters, filters, changed, message
):
    of_dump = {name: changed[name] for name in changed if name in ("signals", "logits")}
    dump = with_filters(filters) | of_dump
    rest = {name: value for name, value in changed.items() if name not in of_dump}
    with pytest.raises(ConfigurationError, match=message):
        read_comparison(written(dump=dump, **rest))


@pytest.mark.parametrize(
    "signals",
    ["encoder.self@1,decoder.hidden", "encoder.hidden@all,decoder.self", ["encoder.self", "decoder.hidden@0"]],
)
def test_filters_take_hidden_states_wherever_the_signals_name_them(written, with_filters, signals):
    """A list with commas is one value of --signal."""
    read_comparison(written(dump=with_filters({}) | {"signals": signals}))


def test_filters_need_signals_that_are_named_or_logits_of_states(written, with_filters):
    """The signals of a dump that names none are relations."""
    unnamed = {name: value for name, value in with_filters({}).items() if name != "signals"}
    with pytest.raises(ConfigurationError, match=r"its signals are encoder\.self, decoder\.self, decoder\.cross; add"):
        read_comparison(written(dump=unnamed))
    read_comparison(written(dump=unnamed | {"logits": "from-hidden"}))


def test_plugins_are_imported_before_rows_are_read(written, tmp_path, monkeypatch):
    from miniend.student_train.objective import OBJECTIVES

    monkeypatch.setattr(OBJECTIVES, "_entries", dict(OBJECTIVES))  # put back at the end
    plugin = tmp_path / "mine.py"
    plugin.write_text(
        "from miniend.student_train.objective import OBJECTIVES\nOBJECTIVES.add('mine', OBJECTIVES['minilm'])\n"
    )
    monkeypatch.delitem(sys.modules, "miniend_plugin_mine", raising=False)
    found = read_comparison(written(plugins=str(plugin), rows={"scratch": None, "mine": None})).students
    assert [student.settings.objective for student in found] == ["scratch", "mine"]


@pytest.mark.parametrize(
    ("off", "caches", "assistants"),
    [
        ([], ["main", "calibrated", "assisted"], ["assistant"]),
        (["miniend-e-assisted"], ["main", "calibrated"], []),
        (["miniend-e-assisted", "miniend-e-no-logits-calibrated"], ["main"], []),
    ],
)
def test_a_row_of_the_preset_that_is_switched_off_takes_its_cache_and_assistant_with_it(
    tmp_path, off, caches, assistants
):
    """They were dumped, trained and planned for nobody, or the file was refused."""
    path = tmp_path / "comparison.yaml"
    path.write_text(
        yaml.safe_dump(
            {
                "preset": "small",
                "teacher": "t",
                "dump": {"corpus": "c.jsonl"},
                "rows": dict.fromkeys(off, False),
                "evaluate": {"data": "d"},
            }
        )
    )
    found = read_comparison(path)
    assert (list(found.caches), list(found.assistants)) == (caches, assistants)
