"""Threads sleep while they wait if the machine is shared, wait awake if it is quiet, and a run says when that changes."""

import os
import subprocess
import sys
from types import SimpleNamespace

import psutil
import pytest

from miniend.cli import COMMANDS
from miniend.runtime import cores
from miniend.runtime.cores import CHOSEN_BY_THE_USER, WAIT_POLICY, SharedCores, choose_waiting

CPU = SimpleNamespace(type="cpu")
SUM = """
import sys
from miniend.runtime.cores import choose_waiting
from miniend.runtime import cores
cores._busy_cores = lambda _seconds: float(sys.argv[1])
choose_waiting(lambda line: None)
import torch
torch.manual_seed(0)
weight = torch.randn(300, 300, requires_grad=True)
for _ in range(3):
    (torch.randn(200, 300) @ weight).relu().logsumexp(1).sum().backward()
print(torch.get_num_threads(), weight.grad.double().sum().item().hex())
"""
REACH = """
import sys
import click
from miniend import cli
from miniend.runtime import commands

reached = []

def choose(say):
    reached.append("torch" in sys.modules)
    raise click.exceptions.Exit(0)

commands.choose_waiting = choose
for name in sys.argv[1:]:
    required = [one for one in cli.app.commands[name].params if one.required]
    words = [word for one in required for word in ([*one.opts[:1], "1"] if one.param_type_name == "option" else ["1"])]
    assert cli.run([name, *words]) == 0, name
assert reached == [False] * len(sys.argv[1:]), reached
"""


@pytest.fixture
def machine(monkeypatch):
    """machine(busy): four cores, so many of them in use by others; a process that has not loaded torch."""
    for name in (*CHOSEN_BY_THE_USER, "OMP_NUM_THREADS", "LOCAL_WORLD_SIZE"):
        monkeypatch.setenv(name, "")  # so that the end of the test restores it
        monkeypatch.delenv(name)
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    monkeypatch.setattr(cores, "_own_cores", lambda: [0, 2, 4, 6])

    def build(busy):
        shares = [100 * busy / 4 if core in (0, 2, 4, 6) else 100.0 for core in range(8)]
        monkeypatch.setattr(psutil, "cpu_percent", lambda interval, percpu: shares)

    return build


def chosen():
    said = []
    choose_waiting(said.append)
    return os.environ.get(WAIT_POLICY), said


def test_threads_sleep_on_a_shared_machine_and_a_line_says_so(machine):
    """A demo took 74 minutes beside other work instead of 4. What runs on cores that are not ours does not count."""
    machine(busy=1.4)
    policy, said = chosen()
    assert policy == "passive"
    assert said == [
        "the machine does other work (1.4 of 4 cores): OpenMP's threads sleep while they wait for each other; "
        "set OMP_WAIT_POLICY to choose yourself"
    ]


def test_threads_wait_awake_on_a_quiet_machine(machine):
    """Sleeping would make every step 1.6 times slower."""
    machine(busy=0.2)
    assert chosen() == (None, [])


def test_fewer_threads_leave_cores_to_others(machine, monkeypatch):
    """Two threads on four cores do not meet the two processes beside them."""
    machine(busy=2.0)
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert chosen() == (None, [])
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert chosen()[0] == "passive", "the other rank has two threads too"


@pytest.mark.parametrize("name", CHOSEN_BY_THE_USER)
def test_the_user_has_the_last_word(machine, monkeypatch, name):
    """Also in the words of Intel's library."""
    machine(busy=4.0)
    monkeypatch.setenv(name, "active")
    assert chosen() == (os.environ.get(WAIT_POLICY), [])


def test_nothing_is_said_or_set_when_it_is_too_late_or_does_not_matter(machine, monkeypatch):
    """OpenMP has read its environment when torch is loaded; one thread waits for nobody."""
    machine(busy=4.0)
    with monkeypatch.context() as patched:
        patched.setenv("OMP_NUM_THREADS", "1")
        assert chosen() == (None, [])
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace())
    assert chosen() == (None, [])


def test_a_run_whose_cores_turn_out_to_be_shared_says_so_once(machine, monkeypatch):
    """The load at the start was that of one moment; what others do later costs hours."""
    clock, others = [0.0], [0.0]
    monkeypatch.setattr(cores, "monotonic", lambda: clock[0])
    monkeypatch.setattr(cores, "_seconds_of_others", lambda: others[0])
    said = []
    watch = SharedCores(said.append, CPU)
    for seconds, busy in ((30, 0.1), (5, 2.0), (30, 2.0), (30, 2.0)):
        clock[0] += seconds
        others[0] += busy * seconds
        watch.look()
        assert len(said) == (clock[0] > 60), "not by a short look, not when quiet, and once"
    assert said[0].startswith("hint: other processes use 2.0 of 4 cores")
    monkeypatch.setenv(WAIT_POLICY, "PASSIVE")
    asleep = SharedCores(pytest.fail, CPU)
    monkeypatch.delenv(WAIT_POLICY)
    on_a_gpu = SharedCores(pytest.fail, SimpleNamespace(type="cuda"))
    clock[0], others[0] = 200.0, 500.0
    for watch in (asleep, on_a_gpu):
        watch.look()


def test_our_own_work_is_not_taken_for_that_of_others(machine, monkeypatch):
    """A training uses all cores itself."""
    monkeypatch.setattr(cores, "_own_cores", lambda: [0])
    times = SimpleNamespace(idle=50.0, iowait=10.0)

    class Times(tuple):
        idle, iowait = times.idle, times.iowait

    monkeypatch.setattr(psutil, "cpu_times", lambda percpu: [Times((30.0, 5.0, 50.0, 10.0))])
    monkeypatch.setattr(cores, "process_time", lambda: 33.0)
    assert cores._seconds_of_others() == pytest.approx(2.0)


def test_every_command_that_computes_chooses_before_torch_is_loaded():
    """Once torch is loaded the choice has no effect, and no line says so."""
    subprocess.run([sys.executable, "-c", REACH, *(one.name for one in COMMANDS if one.computes)], check=True)


@pytest.mark.slow
def test_the_choice_does_not_change_a_bit():
    """The dump's bytes and the training's weights must not depend on who else uses the machine."""
    environment = {name: value for name, value in os.environ.items() if name not in CHOSEN_BY_THE_USER}
    environment |= {"OMP_NUM_THREADS": "2", "MKL_NUM_THREADS": "2"}
    commands = [[sys.executable, "-c", SUM, busy] for busy in ("0", "64")]
    sums = [subprocess.check_output(command, env=environment, text=True) for command in commands]
    assert sums[0].startswith("2 ")
    assert sums[0] == sums[1]
