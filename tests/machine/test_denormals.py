"""Numbers too small for their format count as 0 where that is asked for, in every thread that computes."""

import threading

import pytest

import mashal as torch
from mashal.machine.host import HOST

pytestmark = pytest.mark.skipif(HOST.arm, reason="x86 alone has the switch")
SMALL = torch.full((1_000_000,), 1e-310, dtype=torch.float64)


@pytest.fixture
def flushing():
    assert torch.set_flush_denormal(True)
    yield
    assert torch.set_flush_denormal(False)


def nonzero():
    """How many results of a product are not 0, asked as numbers of bits, which no mode changes."""
    return int((SMALL * 1).view(torch.int64).count_nonzero())


def test_denormals_are_kept_by_default():
    assert nonzero() == SMALL.numel()


def test_all_threads_flush(flushing):
    assert nonzero() == 0
    assert (torch.tensor([1e-40]) * 1).tolist() == [0.0]


def test_another_thread_of_python_does_not(flushing):
    found = []
    thread = threading.Thread(target=lambda: (torch.set_flush_denormal(False), found.append(nonzero())))
    thread.start()
    thread.join()
    assert found == [SMALL.numel()] and nonzero() == 0


def test_the_switch_is_a_bool():
    with pytest.raises(TypeError, match="expects a bool"):
        torch.set_flush_denormal(1)
