"""DataLoader without workers: orders, lengths, arguments."""

import pickle
import warnings

import pytest

import mashal as torch
from mashal.utils.data import DataLoader, IterableDataset, SequentialSampler, TensorDataset


class Stream(IterableDataset):
    def __init__(self, count, promised=None):
        self.count, self.promised = count, promised

    def __iter__(self):
        return iter(range(self.count))

    def __len__(self):
        if self.promised is None:
            raise TypeError("a stream without a length")
        return self.promised


def epochs(count, times, own_seed=None, shuffle=True, **options):
    """All items of several epochs after manual_seed(123)."""
    torch.manual_seed(123)
    generator = None if own_seed is None else torch.Generator().manual_seed(own_seed)
    loader = DataLoader(range(count), shuffle=shuffle, generator=generator, **options)
    return [item for _ in range(times) for batch in loader for item in batch.tolist()]


@pytest.mark.parametrize(
    "count, own_seed, options, expected",
    [
        (5, None, {"batch_size": 2}, [3, 1, 0, 2, 4, 0, 2, 3, 1, 4, 1, 3, 4, 2, 0]),
        (5, 99, {"batch_size": 2}, [1, 0, 3, 2, 4, 0, 4, 1, 2, 3, 1, 4, 0, 3, 2]),
        (6, None, {"batch_size": 2}, [0, 3, 2, 5, 4, 1, 3, 2, 1, 5, 4, 0, 4, 5, 1, 0, 2, 3]),
        (6, 99, {"batch_size": 2}, [5, 1, 3, 0, 4, 2, 5, 4, 3, 2, 0, 1, 4, 5, 2, 3, 1, 0]),
        (5, None, {"batch_size": 2, "drop_last": True}, [3, 1, 0, 2, 0, 2, 3, 1, 1, 3, 4, 2]),
        (5, 99, {"batch_size": 2, "drop_last": True}, [1, 0, 3, 2, 0, 4, 1, 2, 1, 4, 0, 3]),
        (7, None, {"batch_size": 3}, [1, 5, 3, 0, 2, 4, 6, 0, 6, 1, 3, 5, 2, 4, 3, 0, 6, 4, 5, 2, 1]),
        (7, 99, {"batch_size": 3}, [1, 3, 0, 2, 6, 5, 4, 5, 1, 4, 6, 2, 3, 0, 2, 0, 6, 1, 3, 4, 5]),
    ],
)
def test_a_seed_gives_the_recorded_epochs(count, own_seed, options, expected):
    assert epochs(count, 3, own_seed, **options) == expected


def test_an_epoch_without_shuffle_still_draws_a_base_seed():
    assert epochs(4, 2, shuffle=False, batch_size=2) == [0, 1, 2, 3, 0, 1, 2, 3]
    assert torch.rand(2).tolist() == [0.07397246360778809, 0.866521954536438]


def test_making_a_loader_and_asking_its_length_draw_nothing():
    torch.manual_seed(123)
    before = torch.get_rng_state().tolist()
    assert len(DataLoader(range(5), batch_size=2, shuffle=True)) == 3
    assert torch.get_rng_state().tolist() == before


def test_with_its_own_generator_the_default_one_is_left_alone():
    torch.manual_seed(123)
    before = torch.get_rng_state().tolist()
    list(DataLoader(range(5), shuffle=True, generator=torch.Generator()))
    assert torch.get_rng_state().tolist() == before


@pytest.mark.parametrize(
    "options, expected",
    [
        ({}, [[0], [1], [2]]),
        ({"batch_size": 2}, [[0, 1], [2]]),
        ({"batch_size": 2, "drop_last": True}, [[0, 1]]),
        ({"batch_size": 5}, [[0, 1, 2]]),
        ({"sampler": [2, 0], "batch_size": 2}, [[2, 0]]),
        ({"batch_sampler": [[2], [0, 1]]}, [[2], [0, 1]]),
    ],
)
def test_batches(options, expected):
    loader = DataLoader(range(3), **options)
    assert [batch.tolist() for batch in loader] == expected
    assert len(loader) == len(expected)


def test_batch_size_none_gives_the_items_converted():
    assert list(DataLoader([1, "a"], batch_size=None)) == [1, "a"]


def test_collate_fn_gets_the_list_of_items():
    assert list(DataLoader("abc", batch_size=2, collate_fn="".join)) == ["ab", "c"]


def test_an_empty_dataset_has_no_batches():
    assert list(DataLoader([])) == []
    assert len(DataLoader([])) == 0


def test_shuffling_an_empty_dataset_is_refused():
    with pytest.raises(ValueError, match="the dataset is empty"):
        DataLoader([], shuffle=True)


def test_batches_are_of_their_own_memory():
    rows = torch.zeros(4, 2)
    (batch,) = next(iter(DataLoader(TensorDataset(rows), batch_size=4)))
    batch += 1
    assert rows.tolist() == [[0.0, 0.0]] * 4


@pytest.mark.parametrize(
    "options, expected",
    [
        ({"batch_size": 2}, [[0, 1], [2, 3], [4]]),
        ({"batch_size": 2, "drop_last": True}, [[0, 1], [2, 3]]),
        ({"batch_size": 5}, [[0, 1, 2, 3, 4]]),
        ({"batch_size": None}, [0, 1, 2, 3, 4]),
    ],
)
def test_batches_of_a_stream(options, expected):
    loader = DataLoader(Stream(5, promised=5), **options)
    assert [batch if isinstance(batch, int) else batch.tolist() for batch in loader] == expected
    assert len(loader) == len(expected)


def test_a_stream_without_a_length_gives_the_loader_none():
    with pytest.raises(TypeError, match="without a length"):
        len(DataLoader(Stream(5)))


def test_more_batches_than_promised_are_warned_of():
    loader = DataLoader(Stream(5, promised=4), batch_size=1)
    len(loader)
    with pytest.warns(UserWarning, match="promised 4 batches of Stream, this is number 5"):
        list(loader)


def test_a_length_that_nobody_asked_for_promises_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in DataLoader(Stream(5, promised=4)):  # list() would ask for it
            pass


@pytest.mark.parametrize(
    "options, error, text",
    [
        ({"batch_size": 0}, ValueError, "batch_size must be a positive integer, not 0"),
        ({"num_workers": -1}, ValueError, "num_workers is -1"),
        ({"num_workers": 1.5}, TypeError, "num_workers is 1.5; it must be an integer"),
        ({"timeout": -1}, ValueError, "timeout is -1"),
        ({"prefetch_factor": 2}, ValueError, "prefetch_factor=2 needs num_workers > 0"),
        ({"prefetch_factor": -2, "num_workers": 1}, ValueError, "prefetch_factor is -2"),
        ({"persistent_workers": True}, ValueError, "persistent_workers=True needs num_workers"),
        ({"sampler": [0], "shuffle": True}, ValueError, "sampler and shuffle=True both"),
        ({"batch_sampler": [[0]], "batch_size": 2}, ValueError, "batch_sampler excludes"),
        ({"batch_sampler": [[0]], "drop_last": True}, ValueError, "batch_sampler excludes"),
        ({"batch_size": None, "drop_last": True}, ValueError, "drop_last=True needs batches"),
        ({"multiprocessing_context": "fork"}, ValueError, "needs num_workers > 0"),
        ({"multiprocessing_context": "teleport", "num_workers": 1}, ValueError, "is 'teleport'; this system has"),
        ({"multiprocessing_context": 3, "num_workers": 1}, TypeError, "is a int; it must be"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(options, error, text):
    with pytest.raises(error, match=text):
        DataLoader(range(3), **options)


@pytest.mark.parametrize("options", [{"shuffle": True}, {"sampler": [0]}, {"batch_sampler": [[0]]}])
def test_a_stream_has_no_order_to_choose(options):
    with pytest.raises(ValueError, match="with an IterableDataset, which has no indices to order"):
        DataLoader(Stream(3), **options)


@pytest.mark.parametrize("options", [{"timeout": 5}, {"num_workers": 1, "prefetch_factor": 0}])
def test_options_that_no_epoch_can_have_are_refused_at_the_epoch(options):
    with pytest.raises(AssertionError, match="DataLoader: "):
        iter(DataLoader(range(3), **options))


@pytest.mark.parametrize(
    "name", ["batch_size", "batch_sampler", "sampler", "drop_last", "dataset", "persistent_workers"]
)
def test_what_the_order_depends_on_is_fixed(name):
    with pytest.raises(ValueError, match=f"{name} cannot be changed any more"):
        setattr(DataLoader(range(3)), name, None)


def test_the_attributes_of_a_loader():
    loader = DataLoader("abc", batch_size=2)
    assert (loader.batch_size, loader.num_workers, loader.drop_last, loader.timeout) == (2, 0, False, 0)
    assert isinstance(loader.sampler, SequentialSampler)
    assert loader.batch_sampler.batch_size == 2
    assert loader.multiprocessing_context is None


def test_pin_memory_warns_that_it_has_no_effect():
    with pytest.warns(UserWarning, match="pin_memory=True has no effect"):
        list(DataLoader(range(3), pin_memory=True))


def test_pin_memory_device_is_deprecated():
    with pytest.warns(UserWarning, match="pin_memory_device is deprecated"):
        list(DataLoader(range(3), pin_memory=True, pin_memory_device="cuda"))


def test_more_workers_than_processors_are_warned_of():
    with pytest.warns(UserWarning, match="num_workers=9999, but this process may use"):
        DataLoader(range(3), num_workers=9999)


def test_two_epochs_run_side_by_side():
    loader = DataLoader(range(2))
    assert [(a.item(), b.item()) for a in loader for b in loader] == [(0, 0), (0, 1), (1, 0), (1, 1)]


def test_a_loader_is_picklable_but_an_epoch_is_not():
    loader = pickle.loads(pickle.dumps(DataLoader(range(3), batch_size=2)))
    assert [batch.tolist() for batch in loader] == [[0, 1], [2]]
    with pytest.raises(NotImplementedError, match="pickle the DataLoader"):
        pickle.dumps(iter(loader))
