"""A comparison from its file to its report, and what is not done twice."""

import json
import shutil
import sys
from time import sleep

import pytest
import torch
import yaml
from safetensors.torch import load_file

from miniend import cli
from miniend.errors import ConfigurationError, MiniEndError, RunMismatchError
from miniend.recipes.compare.compare import _Run, compare
from miniend.recipes.compare.file.paths import Paths
from miniend.recipes.compare.file.reading import read_comparison
from miniend.recipes.prune.config import PruneConfig
from miniend.recipes.prune.prune import prune_teacher
from miniend.runtime.claims import Claims
from miniend.teacher_dump.dump import dump_teacher

CHAIN = {
    "rows": {
        "scratch": None,
        "implicit": None,
        "miniend-e": None,
        "assisted": {"objective": "miniend-e", "cache": "of-assistant"},
    },
    "caches": {"of-assistant": {"teacher": "assistant"}},
    "assistants": {"assistant": {"size": "2L32H", "objective": "miniend-e"}},
    "pairs": [["miniend-e", "scratch"], ["assisted", "miniend-e"]],
    "continuation": {"steps": 2, "learning_rate": 1e-3},
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory, settings):
    """(file, output, lines) of a whole comparison with an assistant."""
    folder, lines = tmp_path_factory.mktemp("compared"), []
    file = folder / "comparison.yaml"
    file.write_text(yaml.safe_dump(settings(**CHAIN), sort_keys=False))
    compare(file, folder / "out", False, lines.append)
    return file, folder / "out", lines


def document(output):
    return json.loads((output / "comparison.json").read_text())


def test_every_row_seed_and_bound_is_trained_and_evaluated(finished):
    found = document(finished[1])
    assert [student["name"] for student in found["students"]] == list(CHAIN["rows"])
    for student in found["students"]:
        assert set(student["seeds"]) == {"0", "1"}
        assert all(seed["evaluated"]["results"]["score"] >= 0 for seed in student["seeds"].values())
    assert found["teacher"]["results"].keys() == {"sst2 accuracy", "score"}
    assert found["teacher"]["cross_entropy"] != found["untrained"]["1L32H"]["cross_entropy"] > 0
    assert set(found["untrained"]) == {"1L32H"}
    assert found["assistants"][0]["seeds"]["0"]["evaluated"]


def test_every_student_goes_on_with_the_same_steps_of_hard_labels(finished):
    output = finished[1]
    for student in document(output)["students"]:
        for seed, one in student["seeds"].items():
            run = json.loads((output / "continued" / one["output"] / "run.json").read_text())
            assert run["init"].endswith(f"students/{one['output']}")
            assert (run["objective"], run["steps"], run["seed"]) == ("scratch", 2, int(seed))
            assert run["peak_learning_rate"] == 1e-3
            assert 0 < one["continued"] < 20
    assert "validation, continued" in (output / "report.md").read_text()
    assert any("steps on hard labels: 8 runs" in line for line in finished[2])


def test_the_learning_rate_with_the_lowest_loss_of_the_own_objective_is_taken(finished):
    for student in document(finished[1])["students"]:
        losses = {float(rate): loss for rate, loss in student["losses"].items()}
        assert len(losses) == 2
        assert student["learning_rate"] == min(losses, key=lambda rate: losses[rate])
        assert student["seeds"]["1"]["output"].endswith(f"lr-{student['learning_rate']:g}-seed-1")


def test_the_assistants_cache_is_dumped_from_the_assistant(finished):
    plan = json.loads((finished[1] / "caches" / "of-assistant" / "plan" / "plan.json").read_text())
    assert "2L32H-assistant" in plan["teacher"]["name"]


def test_the_hours_are_said_before_anything_else_is_done(finished):
    lines = finished[2]
    total = next(i for i, line in enumerate(lines) if "in total for one process, from timings on this machine" in line)
    assert not any("evaluating" in line and "fine-tunings" not in line for line in lines[:total])


def test_the_report_holds_every_row_and_its_pictures(finished):
    output = finished[1]
    markdown, html = (output / "report.md").read_text(), (output / "report.html").read_text()
    for name in (*CHAIN["rows"], "teacher", "untrained", "2L32H assistant"):
        assert name in markdown
        assert name in html
    assert html.count("data:image/png;base64,") == 4
    for picture in ("scores", "losses", "objectives", "gradients"):
        assert (output / f"{picture}.png").read_bytes().startswith(b"\x89PNG")
        assert f"({picture}.png)" in markdown


def test_the_report_opens_with_the_decision_and_says_how_the_run_was(finished):
    """And what the teacher and the students wrote: the rows whose objective trains the head."""
    output = finished[1]
    lines = (output / "report.md").read_text().splitlines()
    assert lines[2].startswith(("**Take ", "**These seeds do not show a difference"))
    assert lines[2].strip("*") == document(output)["decision"]["says"]
    spent = json.loads((output / "spent.json").read_text())["seconds"]
    assert set(spent) == {"plan", "dump", "training", "continuation", "evaluation", "sample outputs"}
    text = "\n".join(lines)
    for fact in ("- date: 20", "- versions: miniend ", "- machine: ", "- command: ", "- time: ", "- on disk: caches "):
        assert fact in text
    samples = text.partition("### Validation example 1")[2].partition("###")[0]
    for name in ("input", "target", "teacher", "1L32H scratch", "1L32H miniend-e"):
        assert f"- {name}: `" in samples
    assert "### glue/sst2, example 2" in text


def test_what_is_finished_is_not_done_again(finished, monkeypatch):
    file, output, _ = finished
    before = {
        path: path.stat().st_mtime_ns for path in output.rglob("*") if path.name in ("model.safetensors", "seed-0.json")
    }
    lines = []
    compare(file, output, False, lines.append)
    assert before == {path: path.stat().st_mtime_ns for path in before}
    assert not any(line.startswith("evaluating ") for line in lines)
    assert sum("is complete" in line for line in lines) == 2  # of two caches, each looked at once
    assert any("training: 0 runs" in line for line in lines)
    assert any("evaluation: 0 fine-tunings" in line for line in lines)


def test_a_kill_before_the_results_were_summed_up_leaves_no_hole(finished, tmp_path):
    file, output, _ = finished
    copy = shutil.copytree(output, tmp_path / "copy")
    wanted = document(output)["students"][0]["seeds"]["0"]
    (copy / "evaluated" / wanted["output"] / "results.json").unlink()
    compare(file, copy, False, lambda _line: None)
    assert document(copy)["students"][0]["seeds"]["0"] == wanted


def test_a_row_and_a_learning_rate_that_are_added_later_are_made_and_evaluated(finished, settings, tmp_path):
    copy, file = shutil.copytree(finished[1], tmp_path / "copy"), tmp_path / "more.yaml"
    more = {"rows": {"scratch": None, "miniend-e": None, "logits": None}, "learning_rates": [1e-3, 3e-3, 1e-2]}
    file.write_text(yaml.safe_dump(settings(**more), sort_keys=False))
    compare(file, copy, False, lambda _line: None)
    for student in document(copy)["students"]:
        assert len(student["losses"]) == 3
        for one in student["seeds"].values():
            model = json.loads((copy / "evaluated" / one["output"] / "model.json").read_text())
            assert model["model"].endswith(one["output"])  # that of the rate which is the best now
            assert one["evaluated"]["results"]["score"] >= 0


def test_settings_that_changed_are_refused_before_anything_is_done(finished, settings, tmp_path):
    file = tmp_path / "other.yaml"
    file.write_text(yaml.safe_dump(settings(**CHAIN, train=settings()["train"] | {"steps": 6}), sort_keys=False))
    with pytest.raises(RunMismatchError, match="steps: there 4, now 6"):
        compare(file, finished[1], False, pytest.fail)


def test_a_plan_does_no_more_than_time_a_little(written, tmp_path):
    lines = []
    compare(written(), tmp_path / "out", True, lines.append)
    assert any(
        "training: 6 runs" in line for line in lines
    )  # 2 rows: 2 rates with the first seed and one with the second
    assert not list((tmp_path / "out" / "students").glob("*seed*"))
    assert not (tmp_path / "out" / "evaluated").exists()


def test_what_a_trial_refuses_is_told_with_the_student(written, tmp_path):
    with pytest.raises(
        ConfigurationError, match=r"^1L32H minilm: this objective gives the student's encoder no gradient"
    ):
        compare(written(rows={"minilm": None}), tmp_path / "out", True, lambda _line: None)


TED = {"rows": {"ted": None}, "seeds": 1, "learning_rates": [1e-3]}


def test_filters_are_planned_made_after_the_dump_and_made_by_the_next_start_after_a_kill(
    written, settings, tmp_path, monkeypatch
):
    """The rows of ted learn from them, and a start without a source is from layers of the comparison's teacher."""
    states = {"signals": ["encoder.hidden@all", "decoder.hidden@all"], "filters": {"filter_steps": 2, "batch_size": 4}}
    train = settings()["train"] | {"init": "teacher-layers", "filter_steps": 1}
    file, output = written(**TED, dump=settings()["dump"] | states, train=train), tmp_path / "out"
    filters, lines = output / "caches" / "main" / "filters" / "filters.json", []

    def kill(_config, _log):
        assert (output / "caches" / "main" / "shards" / "train-000002").is_dir()  # the last one
        raise KeyboardInterrupt

    with monkeypatch.context() as killed:
        killed.setattr("miniend.recipes.compare.compare.add_filters", kill)
        with pytest.raises(KeyboardInterrupt):
            compare(file, output, False, lines.append)
    assert any(line.endswith("  filters of 1 caches") for line in lines)
    assert json.loads((output / "pace.json").read_text())["filters"]["main"] > 0
    assert not filters.exists()
    assert not (output / "trial-caches").exists()

    compare(file, output, False, lines.append)
    assert json.loads(filters.read_text())["steps"] == 2
    for student in document(output)["students"]:
        assert student["seeds"]["0"]["evaluated"]["results"]["score"] >= 0
    run = json.loads((output / "students" / "1L32H-ted-lr-0.001-seed-0" / "run.json").read_text())
    assert run["init"] == f"teacher-layers:{settings()['teacher']}"
    assert "filters" in json.loads((output / "spent.json").read_text())["seconds"]

    compare(file, output, True, lines.append)
    assert any(line.endswith("  filters of 0 caches") for line in lines)


@pytest.mark.slow
def test_every_row_of_the_preset_ted_is_trained_from_layers_of_the_teacher_and_evaluated(settings, tmp_path):
    """At two steps, on one task: the rows, their objectives, the start and the filters are the preset's."""
    own = {
        **{name: settings()[name] for name in ("teacher", "device")},
        "preset": "ted",
        "dump": settings()["dump"] | {"filters": {"filter_steps": 1, "batch_size": 4}},
        "train": settings()["train"] | {"steps": 2, "warmup_steps": 1, "filter_steps": 1},
        "sizes": ["1L32H"],
        "seeds": 1,
        "learning_rates": [1e-3],
        "evaluate": settings()["evaluate"],
        "tasks": {"glue/sst2": {"train_examples": 8}, "glue/mrpc": False, "summarize/scitldr": False},
    }
    file = tmp_path / "comparison.yaml"
    file.write_text(yaml.safe_dump(own))
    compare(file, tmp_path / "out", False, lambda _line: None)
    students = {one["name"]: one["seeds"]["0"] for one in document(tmp_path / "out")["students"]}
    assert len(students) == 9
    for one in students.values():
        assert one["evaluated"]["results"]["score"] >= 0
        run = json.loads((tmp_path / "out" / "students" / one["output"] / "run.json").read_text())
        assert run["init"] == f"teacher-layers:{own['teacher']}"


@pytest.mark.slow
def test_every_pruned_assistant_can_be_tried_for_a_student_that_is_a_part_of_the_sorted_teacher(
    written, settings, tmp_path
):
    """MaxiDisc: a cache of each assistant, and a row from each. All of them are parts of one sorted teacher."""
    source, output = str(tmp_path / "sorted"), tmp_path / "out"
    dump_teacher(read_comparison(written()).dump("main", settings()["teacher"], tmp_path / "cache"), lambda _line: None)
    sort = {"teacher": settings()["teacher"], "cache": tmp_path / "cache", "output": tmp_path / "sorted"}
    prune_teacher(PruneConfig(**sort, importance="gradient", examples=8, device="cpu"), lambda _line: None)
    keeps = {"all": "keep-1", "half": "keep-0.5"}
    file = written(
        train=settings()["train"] | {"init": f"pruned:{source}"},
        sizes=["keep-0.25"],
        assistants={name: {"size": size, "objective": "logits"} for name, size in keeps.items()},
        caches={f"of-{name}": {"teacher": name} for name in keeps},
        rows={"logits": None} | {f"by-{name}": {"objective": "logits", "cache": f"of-{name}"} for name in keeps},
        continuation={"steps": 2},
        seeds=1,
        learning_rates=[1e-3],
    )
    compare(file, output, False, lambda _line: None)
    found = document(output)
    assert [one["size"] for one in found["assistants"]] == list(keeps.values())
    heads = {}
    for one in (*found["students"], *found["assistants"]):
        assert one["seeds"]["0"]["evaluated"]["results"]["score"] >= 0
        model = output / "students" / one["seeds"]["0"]["output"]
        heads[one["name"]] = json.loads((model / "config.json").read_text())["num_heads"]
        assert json.loads((model / "run.json").read_text())["init"] == f"pruned:{source}"
    assert heads == {"logits": 1, "by-all": 1, "by-half": 1, "all": 4, "half": 2}
    random = output / "students" / "keep-0.25-untrained"
    assert json.loads((random / "config.json").read_text())["num_heads"] == 1
    embeddings = [load_file(folder / "model.safetensors")["shared.weight"] for folder in (random, tmp_path / "sorted")]
    assert not torch.allclose(*embeddings, atol=0.1)


@pytest.fixture
def started(written, commands, tmp_path):
    """started(): a process at the comparison in tmp_path/out; killed at the end where it still runs."""
    file = written(learning_rates=[1e-3])
    processes = []

    def start():
        processes.append(commands.start("compare", file, "--output", tmp_path / "out"))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()


def require_whole(output):
    for student in document(output)["students"]:
        assert set(student["seeds"]) == {"0", "1"}
        assert all(seed["evaluated"]["results"]["score"] >= 0 for seed in student["seeds"].values())


def test_two_processes_on_one_output_share_the_work_and_do_none_of_it_twice(started, tmp_path):
    both = [started(), started()]
    printed = [process.communicate(timeout=300)[0] for process in both]
    printed = [out.replace("\n  ", " ") for out in printed]  # a long line goes on with an indent
    assert [process.returncode for process in both] == [0, 0], printed
    assert all("report: " in out for out in printed)
    for what, count in (
        ("evaluating ", 6),
        ("wrote ", 4),
    ):  # teacher, random weights, four students; two rows, two seeds
        lines = [[line for line in out.splitlines() if line.startswith(what)] for out in printed]
        assert len(set(lines[0] + lines[1])) == len(lines[0] + lines[1]) == count, printed
    evaluated = [[line for line in out.splitlines() if line.startswith("evaluating ")] for out in printed]
    assert all(evaluated), f"one of them evaluated nothing: {printed}"
    require_whole(tmp_path / "out")


@pytest.mark.slow
def test_what_a_killed_process_was_at_is_done_by_the_other(started, tmp_path):
    first = started()
    while "\nevaluating " not in first.written()[0] and first.poll() is None:
        sleep(0.01)
    second = started()
    sleep(1.0)
    first.kill()
    out, _ = second.communicate(timeout=300)
    assert second.returncode == 0, out
    require_whole(tmp_path / "out")


def test_the_threads_that_a_dump_sets_are_not_those_of_what_follows(written, tmp_path, monkeypatch):
    before = torch.get_num_threads()

    def dump(_config, _log):
        torch.set_num_threads(before + 1)
        raise OSError("the disk is full")

    monkeypatch.setattr("miniend.recipes.compare.compare.dump_teacher", dump)
    file, paths = written(), Paths(tmp_path / "out")
    with Claims(paths.root) as claims, pytest.raises(OSError, match="full"):
        _Run(file, read_comparison(file), paths, claims, print)._make_cache("main")
    assert torch.get_num_threads() == before


def test_under_torchrun_it_is_refused(written, tmp_path, monkeypatch):
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigurationError, match="without torchrun"):
        compare(written(), tmp_path / "out", True, pytest.fail)


@pytest.mark.parametrize("library", ["scipy", "sklearn.metrics"])
def test_a_library_that_is_missing_is_told_before_anything_is_done(written, tmp_path, monkeypatch, library):
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ConfigurationError, match=r"pip install 'miniend\[eval\]'"):
        compare(written(), tmp_path / "out", True, pytest.fail)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"train": {"steps": 4, "batch_size": 4, "tracker": "abacus"}}, "--tracker 'abacus' is not installed"),
        ({"continuation": {"steps": 2, "tracker": ["abacus"]}}, "--tracker 'abacus' is not installed"),
        ({"device": "cuda:7"}, "cuda:7"),
        ({"evaluate": {"data": "nowhere"}}, "nowhere"),
    ],
)
def test_what_the_last_hour_needs_is_asked_for_before_the_first(written, tmp_path, changed, message):
    """The whole dump was made, and then the tracker was not installed."""
    with pytest.raises(MiniEndError, match=message):
        compare(written(**changed), tmp_path / "out", False, pytest.fail)
    assert not (tmp_path / "out").exists()


def test_a_mistake_in_the_file_is_a_line_of_the_command(written, tmp_path, capsys):
    assert cli.run(["compare", str(written(rows={"sratch": None})), "--output", str(tmp_path / "out")]) == 2
    said = capsys.readouterr()
    assert "sratch" in said.err
    assert "Traceback" not in said.err + said.out
