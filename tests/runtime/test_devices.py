"""Devices and threads of a run."""

import pytest
import torch

from miniend.errors import ConfigurationError
from miniend.runtime.devices import choose_device, threads_kept


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
