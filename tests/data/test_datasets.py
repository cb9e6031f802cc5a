"""Datasets and their combinations."""

import warnings

import pytest

import mashal as torch
from mashal.utils.data import (
    ChainDataset,
    ConcatDataset,
    DataLoader,
    Dataset,
    IterableDataset,
    StackDataset,
    Subset,
    TensorDataset,
    random_split,
)


class Stream(IterableDataset):
    def __init__(self, *items):
        self.items = items

    def __iter__(self):
        return iter(self.items)

    def __len__(self):
        return len(self.items)


class Together(Dataset):
    """Answers whole batches; `missing` items are left out of each."""

    def __init__(self, missing=0):
        self.missing = missing

    def __getitems__(self, indices):
        return [10 * index for index in indices][self.missing :]

    def __len__(self):
        return 4


def test_a_dataset_without_getitem_says_so():
    with pytest.raises(NotImplementedError, match="Dataset: a dataset needs a __getitem__"):
        Dataset()[0]


def test_an_iterable_dataset_without_iter_says_so():
    with pytest.raises(NotImplementedError, match="needs an __iter__"):
        iter(IterableDataset())


def test_adding_datasets_concatenates_them():
    class Items(list, Dataset):
        pass

    both = Dataset.__add__(Items([1, 2]), Items([3]))
    assert isinstance(both, ConcatDataset)
    assert [both[i] for i in range(3)] == [1, 2, 3]


def test_adding_iterable_datasets_chains_them():
    both = Stream(1, 2) + Stream(3)
    assert isinstance(both, ChainDataset)
    assert list(both) == [1, 2, 3]
    assert len(both) == 3


def test_tensor_dataset_gives_rows_of_every_tensor():
    row, label = TensorDataset(torch.tensor([[1, 2], [3, 4]]), torch.tensor([5, 6]))[1]
    assert row.tolist() == [3, 4]
    assert label.item() == 6


def test_tensor_dataset_names_the_sizes_that_differ():
    with pytest.raises(AssertionError, match=r"\[2, 3\] rows"):
        TensorDataset(torch.zeros(2), torch.zeros(3))


def test_tensor_dataset_gives_the_same_batches_at_once_as_item_by_item():
    dataset = TensorDataset(torch.arange(12.0).reshape(6, 2), torch.arange(6))
    at_once = list(DataLoader(dataset, batch_size=4))
    one_by_one = list(DataLoader([dataset[i] for i in range(6)], batch_size=4))
    assert [[part.tolist() for part in batch] for batch in at_once] == [
        [part.tolist() for part in batch] for batch in one_by_one
    ]
    assert [type(batch) for batch in at_once] == [list, list]


def test_a_subclass_of_tensor_dataset_is_asked_item_by_item():
    class Doubled(TensorDataset):
        def __getitem__(self, index):
            return super().__getitem__(index)[0] * 2

    batch = next(iter(DataLoader(Doubled(torch.arange(3)), batch_size=3)))
    assert batch.tolist() == [0, 2, 4]


def test_tensor_dataset_index_out_of_range_is_an_index_error():
    loader = DataLoader(TensorDataset(torch.arange(3)), batch_size=2, sampler=[0, 7])
    with pytest.raises(IndexError):
        list(loader)


def test_stack_dataset_by_position_gives_tuples():
    assert StackDataset([1, 2], "ab")[1] == (2, "b")


def test_stack_dataset_by_name_gives_dicts():
    stacked = StackDataset(number=[1, 2], letter="ab")
    assert stacked.__getitems__([1, 0]) == [{"number": 2, "letter": "b"}, {"number": 1, "letter": "a"}]


@pytest.mark.parametrize(
    "arguments, named, text",
    [
        (([1],), {"b": [1]}, "not both"),
        ((), {}, "at least one"),
        (([1], [1, 2]), {}, r"\[1, 2\] items"),
    ],
)
def test_stack_dataset_refuses_what_cannot_be_stacked(arguments, named, text):
    with pytest.raises(ValueError, match=text):
        StackDataset(*arguments, **named)


def test_stack_dataset_checks_what_getitems_gives():
    with pytest.raises(ValueError, match="gave 1 items for 2 indices"):
        StackDataset(Together(missing=1)).__getitems__([0, 1])


def test_concat_dataset_takes_negative_indices():
    both = ConcatDataset([[1, 2], [3]])
    assert both[-1] == 3
    assert both[-3] == 1
    assert both.cumulative_sizes == [2, 3]


def test_concat_dataset_refuses_indices_outside():
    both = ConcatDataset([[1, 2], [3]])
    with pytest.raises(ValueError, match="index -4 is outside the 3 items"):
        both[-4]
    with pytest.raises(IndexError, match="index 3 is outside the 3 items"):
        both[3]


def test_concat_dataset_needs_a_dataset():
    with pytest.raises(AssertionError, match="at least one"):
        ConcatDataset([])


def test_concat_dataset_refuses_streams():
    with pytest.raises(AssertionError, match="dataset 1 is a Stream"):
        ConcatDataset([[1], Stream(2)])


def test_chain_dataset_refuses_what_is_no_stream():
    with pytest.raises(AssertionError, match="a list is no IterableDataset"):
        list(ChainDataset([[1]]))


def test_subset_asks_the_dataset_at_its_indices():
    subset = Subset("abcd", [3, 1])
    assert (subset[0], subset[1], len(subset)) == ("d", "b", 2)
    assert subset.__getitems__([1, 0]) == ["b", "d"]


def test_subset_passes_whole_batches_on():
    assert Subset(Together(), [3, 1]).__getitems__([0, 1]) == [30, 10]


def test_a_subset_with_its_own_getitem_needs_its_own_getitems():
    class Loud(Subset):
        def __getitem__(self, index):
            return super().__getitem__(index).upper()

    with pytest.raises(NotImplementedError, match="Loud: it has its own __getitem__"):
        list(DataLoader(Loud("abc", [0, 1])))


def test_the_loader_asks_getitems_once_a_batch():
    assert [batch.tolist() for batch in DataLoader(Together(), batch_size=3)] == [[0, 10, 20], [30]]


@pytest.mark.parametrize(
    "seed, lengths, expected",
    [
        (1, [3, 7], [5, 6, 1, 2, 0, 8, 9, 3, 7, 4]),
        (1, [0.5, 0.5], [5, 6, 1, 2, 0, 8, 9, 3, 7, 4]),
        (1, [0.33, 0.33, 0.34], [5, 6, 1, 2, 0, 8, 9, 3, 7, 4]),
    ],
)
def test_random_split_gives_the_recorded_order(seed, lengths, expected):
    torch.manual_seed(seed)
    assert [index for part in random_split(range(10), lengths) for index in part.indices] == expected


def test_random_split_of_fractions_deals_the_rest_from_the_first_on():
    assert [len(part) for part in random_split(range(11), [0.34, 0.33, 0.33])] == [4, 4, 3]


def test_random_split_draws_from_the_given_generator():
    generator = torch.Generator()
    generator.manual_seed(1)
    torch.manual_seed(5)
    before = torch.get_rng_state().tolist()
    assert list(random_split(range(10), [3, 7], generator=generator)[0].indices) == [5, 6, 1]
    assert torch.get_rng_state().tolist() == before


def test_random_split_names_the_sum_that_is_wrong():
    with pytest.raises(ValueError, match=r"lengths \[1, 2\] sum to 3; the dataset has 10 items"):
        random_split(range(10), [1, 2])


def test_random_split_refuses_negative_fractions():
    with pytest.raises(ValueError, match=r"fraction 0 is 1.5"):
        random_split(range(10), [1.5, -0.5])


def test_random_split_warns_of_empty_parts():
    with pytest.warns(UserWarning, match="part 1 is empty"):
        random_split(range(2), [0.9, 0.1])


def test_random_split_of_whole_numbers_does_not_warn():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        random_split(range(2), [2, 0])
