"""What can go wrong with workers, each with real processes: exceptions, deaths, time limits, interruptions, the end."""

import gc
import os
import signal
import sys
import threading
import time

import pytest

from mashal.utils.data import DataLoader, Dataset, IterableDataset

pytestmark = pytest.mark.filterwarnings("ignore:DataLoader. num_workers")
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")


class Computed(Dataset):
    """Item i is whatever a function makes of it."""

    def __init__(self, function, count=4):
        self.function, self.count = function, count

    def __getitem__(self, index):
        return self.function(index)

    def __len__(self):
        return self.count


class Loud(Exception):
    """An exception that cannot be made of a text alone."""

    def __init__(self, first, second):
        super().__init__(first, second)


def failing(error, at=1):
    def item(index):
        if index == at:
            raise error
        return index

    return Computed(item)


def is_running(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until(condition, seconds=10):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


# ---------------------------------------------------------------- exceptions in a worker


@pytest.mark.parametrize("error", [ValueError("bad item"), KeyError("bad item"), ZeroDivisionError("bad item")])
def test_an_exception_keeps_its_class_and_brings_its_traceback(error):
    iterator = iter(DataLoader(failing(error), num_workers=2))
    next(iterator)
    with pytest.raises(type(error)) as caught:
        next(iterator)
    text = str(caught.value)
    assert f"{type(error).__name__} in worker 1 (pid " in text
    assert "at index [1]" in text
    assert "raise error\n" in text
    assert "bad item" in text


def test_the_epoch_goes_on_after_an_exception():
    iterator = iter(DataLoader(failing(ValueError("bad item")), num_workers=2))
    seen = []
    for _ in range(4):
        try:
            seen.append(next(iterator).item())
        except ValueError:
            seen.append("error")
    assert seen == [0, "error", 2, 3]
    with pytest.raises(StopIteration):
        next(iterator)


def test_an_exception_that_no_text_makes_becomes_a_runtime_error():
    with pytest.raises(RuntimeError, match="Loud in worker 0"):
        list(DataLoader(failing(Loud("a", "b")), num_workers=1))


def test_an_exception_of_a_class_that_cannot_be_pickled_becomes_a_runtime_error():
    class Local(Exception):
        pass

    with pytest.raises(RuntimeError, match="Local in worker 0"):
        list(DataLoader(failing(Local("here")), num_workers=1))


def test_a_stop_iteration_of_an_item_does_not_end_the_epoch_in_silence():
    with pytest.raises(RuntimeError, match="StopIteration in worker 0"):
        list(DataLoader(failing(StopIteration()), num_workers=1))


def test_an_exception_in_worker_init_fn_meets_the_first_batch():
    def begin(worker):
        raise OSError(f"no licence for {worker}")

    with pytest.raises(OSError, match="no licence for 0"):
        list(DataLoader(range(3), num_workers=1, worker_init_fn=begin))


def test_an_exception_in_iter_of_a_stream_meets_the_first_batch():
    class Broken(IterableDataset):
        def __iter__(self):
            raise LookupError("no file")

    with pytest.raises(LookupError, match="no file"):
        list(DataLoader(Broken(), num_workers=1))


def test_an_exception_in_collate_fn_is_shown():
    def collate(items):
        raise ArithmeticError("no sum")

    with pytest.raises(ArithmeticError, match="no sum"):
        list(DataLoader(range(3), num_workers=1, collate_fn=collate))


def test_a_batch_that_cannot_be_pickled_is_an_error_not_a_hang():
    with pytest.raises(Exception, match="in worker 0"):
        list(DataLoader(Computed(lambda i: lambda: i), num_workers=1, batch_size=None))


def test_an_exception_of_the_sampler_is_raised_here():
    def order():
        yield 0
        raise LookupError("lost")

    with pytest.raises(LookupError, match="lost"):
        list(DataLoader(range(3), sampler=order(), num_workers=1))


class Unreadable:
    """Pickles well, but cannot be made again."""

    def __reduce__(self):
        return int, ("no number",)


def test_a_batch_that_cannot_be_read_here_is_an_error_and_the_epoch_goes_on():
    iterator = iter(DataLoader(Computed(lambda i: Unreadable() if i == 0 else i), num_workers=1, batch_size=None))
    with pytest.raises(ValueError, match="no number"):
        next(iterator)
    assert list(iterator) == [1, 2, 3]


# ---------------------------------------------------------------- a worker dies


@pytest.mark.parametrize("number, name", [(signal.SIGKILL, "SIGKILL"), (signal.SIGTERM, "SIGTERM")])
def test_a_killed_worker_is_reported_with_its_pid_and_the_signal(number, name):
    def item(index):
        if index == 1:
            os.kill(os.getpid(), number)
        return os.getpid()

    iterator = iter(DataLoader(Computed(item), num_workers=1, batch_size=None))
    pid = next(iterator)
    with pytest.raises(RuntimeError, match=rf"worker 0 \(pid {pid}\) was killed by signal {int(number)} \({name}\)"):
        next(iterator)


def test_a_worker_that_exits_is_reported_with_its_code():
    with pytest.raises(RuntimeError, match="exited unexpectedly with code 3"):
        list(DataLoader(Computed(lambda i: os._exit(3)), num_workers=1))


def test_a_worker_killed_between_batches_is_reported_when_its_batch_is_due():
    iterator = iter(DataLoader(Computed(lambda i: os.getpid(), 100), num_workers=2, batch_size=None))
    first, second = next(iterator), next(iterator)
    os.kill(second, signal.SIGKILL)
    with pytest.raises(RuntimeError, match=f"pid {second}"):
        for pid in iterator:
            assert pid in (first, second)


def test_a_worker_killed_out_of_order_is_reported():
    loader = DataLoader(
        Computed(lambda i: os.kill(os.getpid(), signal.SIGKILL)), num_workers=2, batch_size=None, in_order=False
    )
    with pytest.raises(RuntimeError, match="SIGKILL"):
        list(loader)


def test_a_worker_that_leaves_a_child_with_its_socket_is_still_found_dead():
    def item(index):
        if os.fork() == 0:
            time.sleep(5)
            os._exit(0)
        os._exit(5)

    with pytest.raises(RuntimeError, match="with code 5"):
        list(DataLoader(Computed(item, 1), num_workers=1))


def test_staying_workers_of_which_one_died_are_replaced_in_the_next_epoch():
    loader = DataLoader(Computed(lambda i: os.getpid()), num_workers=2, batch_size=None, persistent_workers=True)
    first = list(loader)
    os.kill(first[0], signal.SIGKILL)
    wait_until(lambda: not is_running(first[0]))
    second = list(loader)
    assert not set(first) & set(second)


# ---------------------------------------------------------------- time limits


def test_a_batch_that_takes_too_long_is_an_error():
    iterator = iter(
        DataLoader(Computed(lambda i: time.sleep(1.5 * (i == 1))), num_workers=1, batch_size=None, timeout=0.5)
    )
    assert next(iterator) is None
    with pytest.raises(RuntimeError, match=r"no batch came within 0\.5 seconds"):
        next(iterator)


def test_a_timeout_without_order_is_an_error():
    loader = DataLoader(Computed(lambda i: time.sleep(1)), num_workers=1, timeout=0.2, in_order=False)
    with pytest.raises(RuntimeError, match=r"no batch came within 0\.2 seconds"):
        next(iter(loader))


# ---------------------------------------------------------------- the end


def test_workers_end_with_the_epoch():
    pids = list(DataLoader(Computed(lambda i: os.getpid()), num_workers=2, batch_size=None))
    assert not any(is_running(pid) for pid in pids)


def test_an_iterator_dropped_midway_ends_its_workers():
    iterator = iter(DataLoader(Computed(lambda i: os.getpid(), 100), num_workers=2, batch_size=None))
    pids = [next(iterator), next(iterator)]
    assert all(is_running(pid) for pid in pids)
    start = time.monotonic()
    del iterator
    gc.collect()
    assert time.monotonic() - start < 2
    assert not any(is_running(pid) for pid in pids)


def test_breaking_out_of_an_epoch_ends_its_workers():
    for pid in DataLoader(Computed(lambda i: os.getpid(), 100), num_workers=1, batch_size=None):  # noqa: B007
        break
    gc.collect()
    assert not is_running(pid)


def test_a_loader_with_staying_workers_ends_them_when_it_is_dropped():
    loader = DataLoader(Computed(lambda i: os.getpid()), num_workers=1, batch_size=None, persistent_workers=True)
    (pid, *_) = loader
    assert is_running(pid)
    del loader
    gc.collect()
    assert not is_running(pid)


def test_an_epoch_asked_for_more_after_its_end_stays_ended():
    iterator = iter(DataLoader(range(1), num_workers=1))
    list(iterator)
    for _ in range(2):
        with pytest.raises(StopIteration):
            next(iterator)


@linux
def test_nothing_is_left_behind_by_many_epochs():
    loader = DataLoader(range(8), num_workers=2)
    list(loader)
    before, segments = (len(os.listdir("/proc/self/fd")), threading.active_count()), set(os.listdir("/dev/shm"))
    for _ in range(5):
        list(loader)
        next(iter(loader))
    gc.collect()
    assert (len(os.listdir("/proc/self/fd")), threading.active_count()) == before
    assert set(os.listdir("/dev/shm")) <= segments


# ---------------------------------------------------------------- whole programs

PROGRAM = """
    import os, sys, time
    import mashal as torch
    from mashal.utils.data import DataLoader, Dataset

    class Items(Dataset):
        def __getitem__(self, index):
            os.write(1, b"%d\\n" % os.getpid())  # in one piece
            {work}
            return torch.ones(1000)

        def __len__(self):
            return 100

    if __name__ == "__main__":
        for batch in DataLoader(Items(), num_workers=2{options}):
            {use}
"""


def program(work="pass", use="pass", options=""):
    return PROGRAM.format(work=work, use=use, options=options)


def workers_of(process, count=2):
    """The pids that the workers print."""
    pids = set()
    while len(pids) < count:
        line = process.stdout.readline()
        assert line, process.stderr.read()
        pids.add(int(line))
    return pids


@linux
@pytest.mark.parametrize("work, use", [("time.sleep(60)", "pass"), ("pass", "time.sleep(60)")])
def test_ctrl_c_ends_everything_with_one_traceback(script, work, use):
    process = script(program(work, use))
    pids = workers_of(process)
    time.sleep(0.2)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=10)
    assert process.returncode == -signal.SIGINT
    assert errors.count("Traceback") == 1
    assert errors.strip().endswith("KeyboardInterrupt")
    wait_until(lambda: not any(is_running(pid) for pid in pids))


@linux
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_workers_end_when_their_parent_is_killed(script, number):
    process = script(program(use="time.sleep(60)"))
    pids = workers_of(process)
    process.send_signal(number)
    process.wait(timeout=10)
    wait_until(lambda: not any(is_running(pid) for pid in pids))
    assert process.stderr.read() == ""


@linux
@pytest.mark.parametrize("end", ["sys.exit(3)", "raise ValueError('enough')"])
def test_a_program_may_end_in_the_middle_of_an_epoch(script, end):
    process = script(program(use=end, options=", persistent_workers=True"))
    pids = workers_of(process)
    _, errors = process.communicate(timeout=10)
    assert process.returncode in (1, 3)
    assert "Exception ignored" not in errors
    assert "resource_tracker" not in errors
    assert not any(is_running(pid) for pid in pids)


@linux
def test_a_killed_worker_leaves_no_memory_and_no_noise(script):
    before = set(os.listdir("/dev/shm"))
    process = script(program(work="len(os.sched_getaffinity(0)) and os.kill(os.getpid(), 9)"))
    _, errors = process.communicate(timeout=20)
    assert "was killed by signal 9 (SIGKILL)" in errors.strip().splitlines()[-1]
    assert "resource_tracker" not in errors
    assert set(os.listdir("/dev/shm")) == before


@linux
def test_a_process_forked_in_the_middle_of_an_epoch_harms_nothing(script):
    process = script(
        """
        import gc, os
        import mashal as torch
        from mashal.utils.data import DataLoader

        iterator = iter(DataLoader(range(40), num_workers=2))
        first = next(iterator)
        child = os.fork()
        if child == 0:
            held = first
            del iterator
            gc.collect()
            os._exit(held.item())
        del first
        rest = [batch.item() for batch in iterator]
        assert rest == list(range(1, 40)), rest
        assert os.waitpid(child, 0)[1] == 0
        print("done")
        """
    )
    out, errors = process.communicate(timeout=20)
    assert out == "done\n", errors
