"""Datasets: where the items of a DataLoader come from.

A map-style dataset answers `dataset[index]` and `len(dataset)`; an iterable one gives an iterator. The rest of the
file combines datasets. Where a dataset can make a whole batch in one operation (rows of tensors), it says so in
`_batch`, which the loader asks before it goes item by item.
"""

from __future__ import annotations

import math
import warnings
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from typing import Any, Generic, TypeVar

from mashal.core.generator import default_generator
from mashal.ops import randperm, tensor

T_co = TypeVar("T_co", covariant=True)
T = TypeVar("T")


class Dataset(Generic[T_co]):
    """A map from indices (or keys) to items; subclasses write `__getitem__` and usually `__len__`.

    A subclass may also write `__getitems__(indices) -> list of items`, which the loader then calls once a batch.

    >>> class Squares(Dataset):
    ...     def __getitem__(self, index):
    ...         return index**2
    >>> Squares()[3]
    9
    """

    def __getitem__(self, index: Any) -> T_co:
        raise NotImplementedError(f"{type(self).__name__}: a dataset needs a __getitem__(self, index) of its own")

    def __add__(self, other: Dataset) -> Any:
        return ConcatDataset([self, other])


class IterableDataset(Dataset[T_co]):
    """A stream of items; subclasses write `__iter__`. With several workers each one iterates over its own copy.

    >>> class Counter(IterableDataset):
    ...     def __iter__(self):
    ...         return iter(range(3))
    >>> list(Counter())
    [0, 1, 2]
    """

    def __iter__(self) -> Iterator[T_co]:
        raise NotImplementedError(f"{type(self).__name__}: an iterable dataset needs an __iter__(self) of its own")

    def __add__(self, other: Dataset) -> Any:
        return ChainDataset([self, other])


class TensorDataset(Dataset[tuple]):
    """Item i is the tuple of row i of every tensor; all tensors have the same size in dimension 0.

    >>> TensorDataset(tensor([[1, 2], [3, 4]]), tensor([5, 6]))[1]
    (tensor([3, 4]), tensor(6))
    """

    def __init__(self, *tensors: Any) -> None:
        sizes = [each.size(0) for each in tensors]
        if len(set(sizes)) > 1:
            raise AssertionError(f"TensorDataset: the tensors have {sizes} rows; they must all have the same number")
        self.tensors = tensors

    def __getitem__(self, index: Any) -> tuple:
        return tuple(each[index] for each in self.tensors)

    def __len__(self) -> int:
        return self.tensors[0].size(0)

    def _batch(self, indices: Sequence[int]) -> list | None:
        """What default_collate makes of the items at indices, by one operation a tensor; None where it is not that."""
        if type(self) is not TensorDataset or not self.tensors or not indices:
            return None
        if any(each.requires_grad for each in self.tensors) or set(map(type, indices)) != {int}:
            return None
        rows = tensor(indices)
        return [each[rows] for each in self.tensors]


class StackDataset(Dataset):
    """Items of several datasets of one length, side by side: a tuple, or a dict when they are given by name.

    >>> StackDataset(range(3), "abc")[1]
    (1, 'b')
    >>> StackDataset(number=range(3), letter="abc")[2]
    {'number': 2, 'letter': 'c'}
    """

    datasets: tuple | dict

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if args and kwargs:
            raise ValueError("StackDataset: give the datasets by position or by name, not both")
        if not args and not kwargs:
            raise ValueError("StackDataset: at least one dataset is needed")
        self.datasets = args or kwargs
        lengths = [len(each) for each in args or kwargs.values()]
        if len(set(lengths)) > 1:
            raise ValueError(f"StackDataset: the datasets have {lengths} items; they must all have the same number")
        self._length = lengths[0]

    def __getitem__(self, index: Any) -> tuple | dict:
        if isinstance(self.datasets, dict):
            return {name: each[index] for name, each in self.datasets.items()}
        return tuple(each[index] for each in self.datasets)

    def __getitems__(self, indices: Sequence) -> list:
        if isinstance(self.datasets, dict):
            columns = [_items(each, indices) for each in self.datasets.values()]
            return [dict(zip(self.datasets, row)) for row in zip(*columns)]
        return list(zip(*(_items(each, indices) for each in self.datasets)))

    def __len__(self) -> int:
        return self._length


class ConcatDataset(Dataset[T_co]):
    """The items of several map-style datasets, one dataset after another.

    >>> ConcatDataset([[1, 2], [3]])[2]
    3
    """

    datasets: list
    cumulative_sizes: list[int]

    @staticmethod
    def cumsum(sequence: Iterable) -> list[int]:
        """Where each dataset ends, counted in items from the beginning."""
        return list(accumulate(len(each) for each in sequence))

    def __init__(self, datasets: Iterable) -> None:
        self.datasets = list(datasets)
        if not self.datasets:
            raise AssertionError("ConcatDataset: at least one dataset is needed")
        for position, each in enumerate(self.datasets):
            if isinstance(each, IterableDataset):
                raise AssertionError(
                    f"ConcatDataset: dataset {position} is a {type(each).__name__}, an IterableDataset; "
                    "those are joined by ChainDataset"
                )
        self.cumulative_sizes = self.cumsum(self.datasets)

    def __len__(self) -> int:
        return self.cumulative_sizes[-1]

    def __getitem__(self, idx: int) -> T_co:
        if idx < 0:
            if -idx > len(self):
                raise ValueError(f"ConcatDataset: index {idx} is outside the {len(self)} items")
            idx += len(self)
        elif idx >= len(self):
            raise IndexError(f"ConcatDataset: index {idx} is outside the {len(self)} items")
        position = bisect_right(self.cumulative_sizes, idx)
        start = self.cumulative_sizes[position - 1] if position else 0
        return self.datasets[position][idx - start]


class ChainDataset(IterableDataset):
    """The items of several iterable datasets, one dataset after another."""

    def __init__(self, datasets: Iterable) -> None:
        self.datasets = datasets

    def __iter__(self) -> Iterator:
        for each in self.datasets:
            self._check(each)
            yield from each

    def __len__(self) -> int:
        total = 0
        for each in self.datasets:
            self._check(each)
            total += len(each)  # an IterableDataset without a length says so itself
        return total

    def _check(self, dataset: Any) -> None:
        if not isinstance(dataset, IterableDataset):
            raise AssertionError(
                f"ChainDataset: a {type(dataset).__name__} is no IterableDataset; others are joined by ConcatDataset"
            )


class Subset(Dataset[T_co]):
    """The items of a dataset at chosen indices.

    >>> Subset("abcd", [3, 0])[0]
    'd'
    """

    def __init__(self, dataset: Any, indices: Sequence[int]) -> None:
        self.dataset = dataset
        self.indices = indices

    def __getitem__(self, idx: Any) -> T_co:
        if isinstance(idx, list):
            return self.dataset[[self.indices[each] for each in idx]]
        return self.dataset[self.indices[idx]]

    def __getitems__(self, indices: list[int]) -> list[T_co]:
        if type(self).__getitem__ is not Subset.__getitem__ and type(self).__getitems__ is Subset.__getitems__:
            raise NotImplementedError(
                f"{type(self).__name__}: it has its own __getitem__ but Subset's __getitems__, which would pass it by; "
                "add: def __getitems__(self, indices): return [self[index] for index in indices]"
            )
        return _items(self.dataset, [self.indices[each] for each in indices])

    def __len__(self) -> int:
        return len(self.indices)

    def _batch(self, indices: Sequence[int]) -> list | None:
        inner = getattr(self.dataset, "_batch", None)
        if type(self) is not Subset or inner is None:
            return None
        return inner([self.indices[each] for each in indices])


def _items(dataset: Any, indices: Sequence) -> list:
    """The items of a dataset at indices, through its own `__getitems__` where it has one."""
    together: Any = getattr(dataset, "__getitems__", None)
    if together is None:
        return [dataset[index] for index in indices]
    items: Any = together(indices)
    if len(items) != len(indices):
        raise ValueError(
            f"{type(dataset).__name__}.__getitems__ gave {len(items)} items for {len(indices)} indices; "
            "it must give one for each"
        )
    return items


def _lengths_of_fractions(count: int, fractions: Sequence[float]) -> list[int]:
    """Whole numbers for fractions of count; what rounding down leaves goes one by one to the first ones."""
    for position, fraction in enumerate(fractions):
        if fraction < 0 or fraction > 1:
            raise ValueError(f"random_split: fraction {position} is {fraction}; it must lie between 0 and 1")
    lengths = [math.floor(count * fraction) for fraction in fractions]
    for extra in range(count - sum(lengths)):
        lengths[extra % len(lengths)] += 1
    for position, length in enumerate(lengths):
        if length == 0:
            warnings.warn(f"random_split: part {position} is empty ({fractions[position]} of {count})", stacklevel=3)
    return lengths


def random_split(dataset: Any, lengths: Sequence[int | float], generator: Any = default_generator) -> list[Subset]:
    """Subsets of a dataset that share its items out at random: by numbers of items, or by fractions that sum to 1.

    One `randperm(len(dataset))` is drawn from the generator, at the call.

    >>> [len(part) for part in random_split(range(10), [0.75, 0.25])]
    [8, 2]
    """
    total = sum(lengths)
    if math.isclose(total, 1) and total <= 1:
        lengths = _lengths_of_fractions(len(dataset), lengths)
    if sum(lengths) != len(dataset):
        raise ValueError(
            f"random_split: lengths {list(lengths)} sum to {sum(lengths)}; the dataset has {len(dataset)} items"
        )
    order = randperm(sum(lengths), generator=generator).tolist()
    ends = accumulate(lengths)
    return [Subset(dataset, order[end - length : end]) for end, length in zip(ends, lengths)]
