"""mashal.multiprocessing: tensors that go from process to process, and the same function in several processes."""

import gc
import os
import sys

import pytest

import data_tasks
import mashal as torch
from mashal import multiprocessing

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")


# ---------------------------------------------------------------- tensors


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_tensor_given_to_a_process_is_shared(method):
    context = multiprocessing.get_context(method)
    tensor, queue = torch.arange(6.0).reshape(2, 3), context.Queue()
    process = context.Process(target=data_tasks.queue_double, args=(queue,))
    process.start()
    queue.put(tensor)
    process.join()
    assert tensor.tolist() == [[0, 2, 4], [6, 8, 10]]


def test_a_spawned_process_shares_its_arguments():
    context = multiprocessing.get_context("spawn")
    tensor = torch.ones(3)
    process = context.Process(target=data_tasks.double, args=(tensor,))
    process.start()
    process.join()
    assert tensor.tolist() == [2, 2, 2]


def test_queues_work_both_ways():
    context = multiprocessing.get_context("fork")
    inbox, outbox = context.Queue(), context.Queue()
    process = context.Process(target=data_tasks.send_back, args=(inbox, outbox))
    process.start()
    inbox.put(torch.tensor([1, 2, 3]))
    answer = outbox.get(timeout=10)
    inbox.put(None)
    process.join()
    assert answer.tolist() == [2, 3, 4]


@pytest.mark.parametrize(
    "make",
    [
        lambda: torch.arange(6).reshape(2, 3).t(),
        lambda: torch.arange(6)[::2],
        lambda: torch.zeros(0, 3),
        lambda: torch.tensor(2.5),
        lambda: torch.tensor([1.0], dtype=torch.bfloat16),
        lambda: torch.tensor([True, False]),
    ],
)
def test_every_layout_comes_through_a_pipe(make):
    ours, theirs = multiprocessing.Pipe()
    tensor = make()
    theirs.send(tensor)
    received = ours.recv()
    assert received.dtype == tensor.dtype
    assert tuple(received.shape) == tuple(tensor.shape)
    assert received.tolist() == tensor.tolist()


def test_a_tensor_that_was_received_can_be_sent_on():
    ours, theirs = multiprocessing.Pipe()
    first = torch.ones(3)
    theirs.send(first)
    second = ours.recv()
    ours.send(second)
    third = theirs.recv()
    third.add_(1)
    assert first.tolist() == second.tolist() == [2, 2, 2]


def test_a_part_of_a_shared_tensor_shares_its_memory():
    ours, theirs = multiprocessing.Pipe()
    whole = torch.zeros(4)
    theirs.send(whole)
    ours.recv()
    theirs.send(whole[1:3])
    ours.recv().fill_(7)
    assert whole.tolist() == [0, 7, 7, 0]


def test_a_leaf_keeps_requiring_grad():
    ours, theirs = multiprocessing.Pipe()
    theirs.send(torch.ones(2).requires_grad_())
    assert ours.recv().requires_grad


def test_a_parameter_stays_a_parameter():
    ours, theirs = multiprocessing.Pipe()
    theirs.send(torch.nn.Parameter(torch.ones(2)))
    received = ours.recv()
    assert isinstance(received, torch.nn.Parameter)
    assert received.requires_grad
    assert received.tolist() == [1, 1]


def test_a_tensor_with_a_history_cannot_be_sent():
    _, theirs = multiprocessing.Pipe()
    with pytest.raises(RuntimeError, match="detach\\(\\) it first"):
        theirs.send(torch.ones(2).requires_grad_() * 2)


def test_sharing_moves_a_tensor_once():
    tensor = torch.arange(3)
    assert not tensor.is_shared()
    assert tensor.share_memory_() is tensor
    place = tensor.data_ptr()
    tensor.share_memory_()
    assert tensor.is_shared()
    assert (tensor.data_ptr(), tensor.tolist()) == (place, [0, 1, 2])


def test_a_forked_process_writes_into_a_shared_tensor():
    tensor = torch.ones(3).share_memory_()
    process = multiprocessing.get_context("fork").Process(target=data_tasks.double, args=(tensor,))
    process.start()
    process.join()
    assert tensor.tolist() == [2, 2, 2]


@linux
def test_sent_tensors_leave_no_descriptors():
    ours, theirs = multiprocessing.Pipe()
    theirs.send(torch.ones(2))
    ours.recv()
    gc.collect()
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        theirs.send(torch.ones(2))
        ours.recv()
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) <= before


def test_sharing_strategies():
    assert multiprocessing.get_sharing_strategy() in multiprocessing.get_all_sharing_strategies()
    with pytest.raises(AssertionError, match="'telepathy' is no strategy"):
        multiprocessing.set_sharing_strategy("telepathy")
    multiprocessing.set_sharing_strategy("file_system")
    assert multiprocessing.get_sharing_strategy() == "file_system"
    multiprocessing.set_sharing_strategy("file_descriptor")


def test_pythons_names_are_here():
    assert {"Process", "Queue", "Pool", "Lock", "get_context", "cpu_count"} <= set(multiprocessing.__all__)


# ---------------------------------------------------------------- spawn


def test_spawn_runs_a_function_by_index():
    tensor = torch.zeros(2, dtype=torch.int64)
    assert multiprocessing.spawn(data_tasks.fill_place, (tensor,), nprocs=2) is None
    assert tensor.tolist() == [1, 2]


def test_an_exception_ends_all_processes_and_is_raised_with_its_traceback():
    started = multiprocessing.start_processes(data_tasks.fail_in_one, nprocs=2, join=False, start_method="fork")
    with pytest.raises(multiprocessing.ProcessRaisedException, match="process one is tired") as caught:
        while not started.join():
            pass
    assert caught.value.error_index == 1
    assert caught.value.error_pid == started.pids()[1]
    assert not any(process.is_alive() for process in started.processes)


def test_an_exit_code_is_reported():
    with pytest.raises(multiprocessing.ProcessExitedException, match="exited with code 4") as caught:
        multiprocessing.start_processes(data_tasks.leave, (4,), start_method="fork")
    assert caught.value.exit_code == 4


def test_a_killed_process_is_reported_with_its_signal():
    with pytest.raises(multiprocessing.ProcessExitedException, match="SIGKILL") as caught:
        multiprocessing.start_processes(data_tasks.die, start_method="fork")
    assert caught.value.signal_name == "SIGKILL"


def test_join_gives_up_after_its_timeout():
    started = multiprocessing.start_processes(data_tasks.fail_in_one, join=False, start_method="fork")
    assert started.join(timeout=0.1) is False
    started.processes[0].terminate()
    with pytest.raises(multiprocessing.ProcessExitedException, match="SIGTERM"):
        started.join()


def test_spawn_warns_of_other_start_methods():
    with pytest.warns(FutureWarning, match="use start_processes"):
        multiprocessing.spawn(data_tasks.leave, (0,), start_method="fork")
