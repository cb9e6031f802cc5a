"""Futures, streams and events, choices and loops."""

import threading

import pytest

import mashal as torch
from mashal.futures import Future, collect_all, wait_all


def test_a_future_waits_for_another_thread():
    future = Future()
    threading.Timer(0.01, future.set_result, (3,)).start()
    assert future.wait() == 3


def test_an_error_takes_the_place_of_a_result():
    future = Future()
    following = future.then(lambda done: done.value())
    future.set_exception(ValueError("no"))
    with pytest.raises(ValueError, match="no"):
        following.wait()


def test_a_result_is_set_once():
    future = Future()
    future.set_result(1)
    with pytest.raises(RuntimeError, match="set before"):
        future.set_result(2)


def test_several_futures_are_waited_for_together():
    futures = [Future() for _ in range(3)]
    together = collect_all(futures)
    for i, future in enumerate(futures):
        assert not together.done()
        future.set_result(i)
    assert wait_all(futures) == [0, 1, 2]


def test_an_event_knows_the_time_to_another():
    stream = torch.Stream()
    one, two = stream.record_event(), stream.record_event()
    assert one.elapsed_time(two) >= 0
    with pytest.raises(RuntimeError, match="recorded"):
        one.elapsed_time(torch.Event())


def test_a_condition_must_be_one_element():
    with pytest.raises(RuntimeError, match=r"of shape \(2,\)"):
        torch.cond(torch.ones(2), lambda: 1, lambda: 2)


def test_a_loop_carries_as_many_as_it_was_given():
    with pytest.raises(RuntimeError, match="2 results for 1 inputs"):
        torch.while_loop(lambda i: i < 2, lambda i: (i + 1, i), (torch.tensor(0),))


def test_modules_of_devices():
    assert torch.get_device_module("cuda:1") is torch.cuda
    assert torch.get_device_module() is torch.cpu
