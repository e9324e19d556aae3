"""Devices and threads of a run."""

import pytest
import torch

from miniend.errors import ConfigurationError
from miniend.runtime.devices import choose_device, threads_kept, timed


def test_a_process_has_its_own_threads_again_after_a_dump_has_set_others():
    before = torch.get_num_threads()

    def dump():
        torch.set_num_threads(before + 1)
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="disk"), threads_kept():
        dump()
    assert torch.get_num_threads() == before


@pytest.mark.parametrize(("name", "message"), [("gpu", "unknown device"), ("meta", "is not supported")])
def test_a_device_that_cannot_be_is_refused(name, message):
    with pytest.raises(ConfigurationError, match=message):
        choose_device(name)


def test_work_is_timed_until_its_device_has_done_it(monkeypatch):
    """A GPU works on after the call has returned; here it takes four seconds more, and the CPU none."""
    clock = [10.0]
    monkeypatch.setattr("miniend.runtime.devices.perf_counter", lambda: clock[0])
    monkeypatch.setattr(torch.cuda, "synchronize", lambda _device: clock.__setitem__(0, clock[0] + 4))

    def work():
        clock[0] += 1
        return "done"

    assert timed(torch.device("cpu"), work) == ("done", 1.0)
    assert timed(torch.device("cuda"), work) == ("done", 5.0)
