"""The environment of launchers: their settings never reach a run, their ranks only the commands that share work."""

import os
import re
from pathlib import Path

import accelerate
import pytest
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st

from miniend.cli import COMMANDS, exit_status, run
from miniend.errors import ConfigurationError
from miniend.runtime.cores import choose_waiting
from miniend.runtime.launcher import SETTINGS, SIZES, options_decide, require_one_process
from miniend.student_train.run.processes import Processes
from miniend.teacher_dump.worker import Worker
from support.launchers import WANTED

NAMED = re.compile(r"""environ(?:\.get\(|\[)\s*f?["']([A-Z][A-Z0-9_]+)|_from_env\(\s*["']([A-Z][A-Z0-9_]+)""")
NOT_SETTINGS = {
    *("LOCAL_RANK", "RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "TORCHELASTIC_RUN_ID"),
    *("NCCL_P2P_DISABLE", "NCCL_IB_DISABLE", "DEEPSPEED_USE_HPU", "PT_HPU_LAZY_MODE", "PYTORCH_ENABLE_MPS_FALLBACK"),
}
"""The variables of ranks, their network and drivers, which the launcher or the machine must decide."""


def test_every_setting_that_accelerate_and_trainer_read_is_taken_away():
    """Their next release may read one more: then this fails instead of a run that is not what its record says."""
    folder = Path(accelerate.__file__).parent
    files = [folder / name for name in ("state.py", "accelerator.py", "parallelism_config.py")]
    files.append(Path(transformers.__file__).parent / "training_args.py")
    names = {a or b for file in files for a, b in NAMED.findall(file.read_text())}
    assert len(names) > 15
    unknown = {name for name in names - NOT_SETTINGS if not name.startswith(SETTINGS)}
    assert {name for name in unknown if not name.startswith(("XLA_", "SMDATAPARALLEL", "SM_"))} == set()


def test_the_environment_is_as_before_at_the_end(monkeypatch):
    """What the block adds, as Trainer does, is gone; what was there is back."""
    for name, value in WANTED.items():
        monkeypatch.setenv(name, value)
    before = dict(os.environ)
    with options_decide(ranks=True) as missed:
        assert not [name for name in os.environ if name.startswith(SETTINGS)]
        os.environ["ACCELERATE_MIXED_PRECISION"] = "fp8"
        os.environ["ACCELERATE_NEW"] = "1"
    assert dict(os.environ) == before
    assert "ACCELERATE_MIXED_PRECISION=bf16" in missed
    assert "ACCELERATE_DEBUG_MODE=true" not in missed


def test_what_a_launcher_writes_in_any_case_is_not_mentioned(monkeypatch):
    """`accelerate launch` without a config writes these; a warning at every start is read by nobody."""
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "no")
    monkeypatch.setenv("ACCELERATE_DYNAMO_BACKEND", "NO")
    monkeypatch.setenv("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "1")
    monkeypatch.setenv("ACCELERATE_USE_CPU", "False")
    with options_decide(ranks=False) as missed:
        assert missed == []


def test_ranks_are_seen_only_by_what_shares_work(monkeypatch):
    """`torchrun --nproc-per-node 1` would make Trainer start a process group for one."""
    monkeypatch.setenv("LOCAL_RANK", "0")
    with options_decide(ranks=True):
        assert os.environ["LOCAL_RANK"] == "0"
    with options_decide(ranks=False):
        assert "LOCAL_RANK" not in os.environ


@pytest.mark.parametrize("name", SIZES)
def test_one_of_several_processes_is_refused_where_one_works(monkeypatch, name):
    """Two ranks of `evaluate` wrote the same files, each with another batch size than was asked for."""
    require_one_process("miniend evaluate")
    monkeypatch.setenv(name, "2")
    with pytest.raises(ConfigurationError, match=f"miniend evaluate works in one process, .* several .{name}=2."):
        require_one_process("miniend evaluate")


def test_every_command_that_ranks_do_not_share_is_refused_under_a_launcher(monkeypatch, capsys):
    """The command line knows for each command; a new one is for one process until it says otherwise."""
    shared = [one.name for one in COMMANDS if one.ranks]
    assert shared == ["dump-teacher", "train-student", "schedule"]
    monkeypatch.setenv("WORLD_SIZE", "2")
    asked = {
        "estimate": ["--teacher", "x", "--corpus", "x", "--examples", "5"],
        "inspect": ["x"],
        "judge-encoder": ["--model", "x", "--cache", "x"],
        "verify": ["x"],
        "evaluate": ["--model", "x", "--task", "glue/sst2", "--output", "x"],
        "compare": ["x.yaml", "--output", "x"],
        "demo": [],
        "completion": ["bash"],
        "filters": ["--cache", "x", "--teacher", "x"],
        "prune-teacher": ["--teacher", "x", "--cache", "x", "--output", "x"],
        "push-cache": ["--cache", "x", "me/x"],
    }
    assert {*asked, *shared} == {one.name for one in COMMANDS}
    for name, arguments in asked.items():
        assert_refused(name, arguments, capsys)


def assert_refused(name, arguments, capsys):
    assert exit_status(lambda: run([name, *arguments])) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"miniend: miniend {name} works in one process")
    assert said.count("\n") == 1


VALUES = st.one_of(
    st.sampled_from(
        ["", " ", "-1", "0", "1", "2", "08", "+1", "1.0", "x", "None", "99999999999999999999", "١", "²", "1\n2"]
    ),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8),
)
RANKED = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MASTER_PORT")
OTHERS = ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "SLURM_PROCID", "SLURM_NTASKS", "COLUMNS", "NO_COLOR", "LANG")
CASES = 400


@given(st.dictionaries(st.sampled_from(RANKED + OTHERS), VALUES))
@settings(max_examples=CASES)
def test_any_environment_of_launchers_works_or_is_refused_in_one_line(environment):
    """accelerate and torch stop with a traceback at an empty LOCAL_RANK, which a job script leaves behind."""
    with pytest.MonkeyPatch.context() as patched:
        for name in (*RANKED, *OTHERS):
            patched.delenv(name, raising=False)
        for name, value in environment.items():
            patched.setenv(name, value)
        choose_waiting(lambda _line: None)
        for asked in (Worker.from_environment, lambda: require_one_process("miniend evaluate")):
            worker, said = None, ""
            try:
                worker = asked()
            except ConfigurationError as error:
                said = str(error)
            assert "\n" not in said
            if worker is not None:
                assert 0 <= worker.rank < worker.size
                assert worker.local_rank is None or worker.local_rank >= 0


@pytest.mark.parametrize(
    ("name", "value"), [("LOCAL_RANK", ""), ("RANK", "x"), ("WORLD_SIZE", "-1"), ("MASTER_PORT", "a")]
)
def test_a_training_refuses_ranks_that_cannot_be(monkeypatch, name, value):
    """The same variables, before accelerate reads them."""
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError, match=f"{name}={value!r}; expected whole numbers"):
        Processes("cpu")
