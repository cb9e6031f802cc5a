"""DataLoader with worker processes: the same batches, seeds, shared memory, order, and staying workers."""

import gc
import os
import random
import threading
import time
import warnings
from collections import namedtuple

import numpy
import pytest

import mashal as torch
from mashal.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset, get_worker_info
from mashal.utils.data._utils.worker import _generate_state

Point = namedtuple("Point", "x y")
pytestmark = pytest.mark.filterwarnings("ignore:DataLoader. num_workers")


class Computed(Dataset):
    """Item i is whatever a function makes of it (functions need no pickling where workers are forked)."""

    def __init__(self, function, count=8):
        self.function, self.count = function, count

    def __getitem__(self, index):
        return self.function(index)

    def __len__(self):
        return self.count


class Shares(IterableDataset):
    """Worker w gives counts[w] numbers, from 100 w on."""

    def __init__(self, *counts):
        self.counts = counts

    def __iter__(self):
        worker = get_worker_info().id
        return iter(range(100 * worker, 100 * worker + self.counts[worker]))


def values(loader):
    return [batch.tolist() for batch in loader]


@pytest.mark.parametrize("workers", [1, 2, 3])
@pytest.mark.parametrize("options", [{}, {"drop_last": True}, {"prefetch_factor": 1}, {"prefetch_factor": 5}])
def test_workers_give_the_batches_that_no_workers_give(workers, options):
    torch.manual_seed(7)
    alone = values(DataLoader(range(11), 4, shuffle=True, drop_last="drop_last" in options))
    torch.manual_seed(7)
    assert values(DataLoader(range(11), 4, shuffle=True, num_workers=workers, **options)) == alone


def test_workers_draw_as_much_as_none():
    torch.manual_seed(123)
    loader = DataLoader(range(5), batch_size=2, shuffle=True, num_workers=2)
    epochs = [item for _ in range(3) for batch in loader for item in batch.tolist()]
    assert epochs == [3, 1, 0, 2, 4, 0, 2, 3, 1, 4, 1, 3, 4, 2, 0]


def test_structures_come_through():
    def item(index):
        return {"t": torch.full((2,), index), "p": Point(index, [0.5 * index]), "s": f"number {index}"}

    first, second = DataLoader(Computed(item, 4), batch_size=2, num_workers=1)
    assert second["t"].tolist() == [[2, 2], [3, 3]]
    assert type(second["p"]) is Point
    assert second["p"].y[0].tolist() == [1.0, 1.5]
    assert first["s"] == ["number 0", "number 1"]


@pytest.mark.parametrize(
    "name", ["float64", "float32", "float16", "bfloat16", "int64", "int16", "uint8", "bool", "complex64"]
)
def test_every_dtype_comes_through(name):
    dtype = getattr(torch, name)
    (batch,) = DataLoader(Computed(lambda i: torch.ones(3).to(dtype), 2), batch_size=2, num_workers=1)
    assert batch.dtype == dtype
    assert batch.to(torch.complex64).real.tolist() == [[1.0] * 3] * 2


@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (2, 3)])
def test_every_shape_comes_through(shape):
    (item,) = DataLoader(Computed(lambda i: torch.zeros(shape), 1), batch_size=None, num_workers=1)
    assert tuple(item.shape) == shape


def test_dense_strides_are_kept_and_others_made_contiguous():
    def item(index):
        return [torch.arange(6.0).reshape(2, 3).t(), torch.arange(6.0)[::2], torch.tensor([1.0]).expand(3)]

    ((transposed, stepped, expanded),) = DataLoader(Computed(item, 1), batch_size=None, num_workers=1)
    assert tuple(transposed.stride()) == (1, 3)
    assert transposed.tolist() == [[0.0, 3.0], [1.0, 4.0], [2.0, 5.0]]
    assert (stepped.tolist(), tuple(stepped.stride())) == ([0.0, 2.0, 4.0], (1,))
    assert expanded.tolist() == [1.0, 1.0, 1.0]


def test_arrays_come_through_a_collate_fn_without_a_copy():
    (batch,) = DataLoader(range(2), 2, num_workers=1, collate_fn=lambda items: [numpy.array(items), numpy.eye(100)])
    assert batch[0].tolist() == [0, 1]
    assert (batch[1] == numpy.eye(100)).all()
    assert not batch[1].flags.owndata
    batch[1][0, 0] = 5


def test_large_python_objects_come_through():
    texts = list(DataLoader(Computed(lambda i: "x" * 3_000_000 + str(i), 4), batch_size=None, num_workers=2))
    assert [text[-1] for text in texts] == list("0123")


def test_long_lists_of_indices_and_of_results_do_not_hold_each_other_up():
    loader = DataLoader(
        range(600_000), batch_size=200_000, num_workers=1, prefetch_factor=3, collate_fn=lambda items: items
    )
    assert [len(batch) for batch in loader] == [200_000] * 3


def test_a_batch_stays_what_it_is_while_it_is_held():
    batches = list(DataLoader(Computed(lambda i: torch.full((1000,), i), 40), batch_size=2, num_workers=2))
    gc.collect()
    assert [batch[:, 7].tolist() for batch in batches] == [[i, i + 1] for i in range(0, 40, 2)]


def test_a_view_of_a_batch_keeps_its_memory():
    rows = [batch[1, 10:20] for batch in DataLoader(Computed(lambda i: torch.full((1000,), i), 40), 2, num_workers=2)]
    assert [row.tolist() for row in rows] == [[i] * 10 for i in range(1, 40, 2)]


def test_an_array_of_a_batch_keeps_its_memory():
    arrays = [batch.numpy() for batch in DataLoader(Computed(lambda i: torch.full((9,), i), 40), 2, num_workers=2)]
    gc.collect()
    assert [array[0, 0] for array in arrays] == list(range(0, 40, 2))


def test_batches_outlive_their_workers():
    loader = DataLoader(Computed(lambda i: torch.full((1000,), i), 4), num_workers=1)
    kept = list(loader)
    del loader
    gc.collect()
    assert [batch[0, 0].item() for batch in kept] == [0, 1, 2, 3]


def test_memory_is_used_again():
    loader = DataLoader(Computed(lambda i: torch.zeros(10_000), 64), num_workers=1)
    iterator, places = iter(loader), set()
    for batch in iterator:
        places.add(batch.data_ptr())
        del batch
    assert len(places) <= 6


def test_growing_batches_are_held():
    batches = list(DataLoader(Computed(lambda i: torch.full((10 ** (i % 6),), i), 12), num_workers=1))
    assert [(batch.numel(), batch[0, -1].item()) for batch in batches] == [(10 ** (i % 6), i) for i in range(12)]


def test_thousands_of_held_batches_need_no_descriptors():
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    iterator = iter(DataLoader(Computed(lambda i: torch.tensor(i), 1500), num_workers=1))
    held = list(iterator)
    assert len(held) == 1500
    if before:
        assert len(os.listdir("/proc/self/fd")) <= before + 4


def test_a_leaf_that_requires_grad_still_does():
    (item,) = DataLoader(Computed(lambda i: torch.ones(2).requires_grad_(), 1), batch_size=None, num_workers=1)
    assert item.requires_grad


def test_a_tensor_with_a_history_is_refused():
    loader = DataLoader(Computed(lambda i: torch.ones(2).requires_grad_() * 2, 1), batch_size=None, num_workers=1)
    with pytest.raises(RuntimeError, match="detach\\(\\) it"):
        next(iter(loader))


@pytest.mark.parametrize(
    "counts, batch_size, expected",
    [
        ((5, 1), 1, [[0], [100], [1], [2], [3], [4]]),
        ((1, 5), 2, [[0], [100, 101], [102, 103], [104]]),
        ((0, 7), 2, [[100, 101], [102, 103], [104, 105], [106]]),
        ((3, 3, 9), 2, [[0, 1], [100, 101], [200, 201], [2], [102], [202, 203], [204, 205], [206, 207], [208]]),
        ((4, 0, 2), 1, [[0], [200], [1], [201], [2], [3]]),
    ],
)
@pytest.mark.parametrize("ahead", [1, 2, 3])
@pytest.mark.parametrize("staying", [False, True])
def test_exhausted_workers_are_passed_over(counts, batch_size, expected, ahead, staying):
    loader = DataLoader(
        Shares(*counts), batch_size, num_workers=len(counts), prefetch_factor=ahead, persistent_workers=staying
    )
    assert values(loader) == expected
    assert values(loader) == expected


@pytest.mark.parametrize(
    "worker, expected",
    [
        (0, [1581064307, 1462852162, 3872505020, 1367484949]),
        (1, [1357609703, 2368283313, 2089855688, 680959552]),
        (7, [2368882358, 3729846143, 4114303715, 4016810633]),
    ],
)
def test_the_recorded_seeds_of_numpy(worker, expected):
    assert list(_generate_state(3624216819017203053, worker)) == expected


def test_workers_are_seeded_with_the_base_seed_and_their_number():
    def draw(index):
        info = get_worker_info()
        return info.id, info.seed, torch.initial_seed(), random.random(), numpy.random.random()

    torch.manual_seed(5)
    base = torch.empty((), dtype=torch.int64).random_().item()
    torch.manual_seed(5)
    loader = DataLoader(Computed(draw, 2), num_workers=2, batch_size=None)
    for worker, (number, seed, initial, drawn, from_numpy) in enumerate(loader):
        assert (number, seed, initial) == (worker, base + worker, base + worker)
        assert drawn == random.Random(base + worker).random()
        assert from_numpy == numpy.random.RandomState(_generate_state(base, worker)).random_sample()


def test_worker_info():
    def look(index):
        info = get_worker_info()
        try:
            info.id = 3
        except AttributeError:
            return [info.num_workers, type(info.dataset).__name__]

    assert get_worker_info() is None
    assert list(DataLoader(Computed(look, 1), num_workers=1, batch_size=None)) == [[1, "Computed"]]


def test_worker_init_fn_is_called_after_seeding():
    def begin(worker):
        get_worker_info().dataset.start = 100 * worker + (torch.initial_seed() == get_worker_info().seed)

    dataset = Computed(lambda i: get_worker_info().dataset.start, 2)
    assert list(DataLoader(dataset, num_workers=2, batch_size=None, worker_init_fn=begin)) == [1, 101]


def test_workers_stay_for_the_next_epoch_when_asked_to():
    loader = DataLoader(Computed(lambda i: os.getpid(), 2), num_workers=2, batch_size=None, persistent_workers=True)
    assert list(loader) == list(loader)


def test_workers_are_new_in_every_epoch_otherwise():
    loader = DataLoader(Computed(lambda i: os.getpid(), 1), num_workers=1, batch_size=None)
    assert list(loader) != list(loader)


def test_staying_workers_draw_the_base_seed_once():
    torch.manual_seed(123)
    loader = DataLoader(range(5), 2, shuffle=True, num_workers=1, persistent_workers=True)
    list(loader)
    list(loader)
    after = torch.get_rng_state().tolist()
    torch.manual_seed(123)
    torch.empty(3, dtype=torch.int64).random_()  # a base seed, and an order's seed for each epoch
    assert torch.get_rng_state().tolist() == after


def test_a_left_epoch_of_staying_workers_does_not_leak_into_the_next():
    loader = DataLoader(range(20), 2, num_workers=2, persistent_workers=True, prefetch_factor=3)
    for _ in range(3):
        iterator = iter(loader)
        next(iterator)
    assert values(loader) == [[i, i + 1] for i in range(0, 20, 2)]


def test_without_in_order_ready_batches_come_first():
    def slow(index):
        time.sleep(0.5 if index == 0 else 0)
        return index

    loader = DataLoader(Computed(slow, 6), num_workers=2, batch_size=None, in_order=False)
    order = list(loader)
    assert sorted(order) == list(range(6))
    assert order[0] != 0
    assert list(DataLoader(Computed(slow, 6), num_workers=2, batch_size=None)) == list(range(6))


@pytest.mark.parametrize("counts", [(5, 1), (0, 7), (3, 3, 9), (0, 0)])
def test_without_in_order_streams_end_too(counts):
    loader = DataLoader(Shares(*counts), None, num_workers=len(counts), in_order=False, persistent_workers=True)
    expected = [100 * worker + item for worker, count in enumerate(counts) for item in range(count)]
    assert sorted(loader) == expected
    assert sorted(loader) == expected


def test_two_epochs_with_workers_run_side_by_side():
    loader = DataLoader(range(2), num_workers=1)
    assert [(a.item(), b.item()) for a in loader for b in loader] == [(0, 0), (0, 1), (1, 0), (1, 1)]


def test_workers_start_while_other_threads_compute():
    done = threading.Event()

    def compute():
        x = torch.ones(200, 200)
        while not done.is_set():
            x = (x @ x).clamp(0, 1)

    thread = threading.Thread(target=compute)
    thread.start()
    try:
        for _ in range(3):
            loader = DataLoader(Computed(lambda i: torch.ones(100, 100) @ torch.ones(100, 100), 4), num_workers=2)
            assert [batch.sum().item() for batch in loader] == [1e6] * 4
    finally:
        done.set()
        thread.join()


def test_a_loader_in_a_thread():
    result = []
    thread = threading.Thread(target=lambda: result.extend(values(DataLoader(range(4), 2, num_workers=1))))
    thread.start()
    thread.join()
    assert result == [[0, 1], [2, 3]]


@pytest.mark.parametrize("context", ["spawn", "forkserver"])
def test_other_ways_to_start_workers(context):
    dataset = TensorDataset(torch.arange(6).reshape(3, 2))
    loader = DataLoader(dataset, batch_size=2, num_workers=1, multiprocessing_context=context)
    assert [rows.tolist() for (rows,) in loader] == [[[0, 1], [2, 3]], [[4, 5]]]


def test_warnings_are_silent_when_all_is_well():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", category=DeprecationWarning, message=".*multi-threaded.*fork")
        assert values(DataLoader(range(2), 2, num_workers=1)) == [[0, 1]]
