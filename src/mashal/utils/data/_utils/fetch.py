"""Which items make a batch: by their indices from a map-style dataset, or the next ones of an iterable one."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import Any

from mashal.utils.data._utils.collate import default_collate


class _MapDatasetFetcher:
    """Batches of a map-style dataset: `fetch([3, 1])` is what collate makes of its items 3 and 1.

    auto_collation: whether `fetch` is given a list of indices, or one index whose item is the result.
    """

    def __init__(self, dataset: Any, auto_collation: bool, collate_fn: Callable, drop_last: bool) -> None:
        self.dataset = dataset
        self.auto_collation = auto_collation
        self.collate_fn = collate_fn
        together = getattr(dataset, "__getitems__", None)
        self.together = together if callable(together) else None
        self.at_once = getattr(dataset, "_batch", None) if collate_fn is default_collate else None

    def fetch(self, index: Any) -> Any:
        """The batch at a list of indices, or the item at one index."""
        if not self.auto_collation:
            return self.collate_fn(self.dataset[index])
        if self.at_once is not None:
            batch = self.at_once(index)
            if batch is not None:
                return batch
        if self.together is not None:
            return self.collate_fn(self.together(index))
        dataset = self.dataset
        return self.collate_fn([dataset[each] for each in index])


class _IterableDatasetFetcher:
    """Batches of an iterable dataset, which is iterated over once; StopIteration when it is exhausted."""

    def __init__(self, dataset: Any, auto_collation: bool, collate_fn: Callable, drop_last: bool) -> None:
        self.dataset_iter = iter(dataset)
        self.auto_collation = auto_collation
        self.collate_fn = collate_fn
        self.drop_last = drop_last
        self.ended = False

    def fetch(self, index: Any) -> Any:
        """The next items: as many as index is long, or one where the loader makes no batches."""
        if self.ended:
            raise StopIteration
        if not self.auto_collation:
            return self.collate_fn(next(self.dataset_iter))
        items = list(islice(self.dataset_iter, len(index)))
        self.ended = len(items) < len(index)
        if not items or self.ended and self.drop_last:
            raise StopIteration
        return self.collate_fn(items)


class _DatasetKind:
    """The two kinds of datasets."""

    Map = 0
    Iterable = 1

    @staticmethod
    def create_fetcher(kind: int, dataset: Any, auto_collation: bool, collate_fn: Callable, drop_last: bool) -> Any:
        """What fetches from a dataset of this kind."""
        fetcher = _MapDatasetFetcher if kind == _DatasetKind.Map else _IterableDatasetFetcher
        return fetcher(dataset, auto_collation, collate_fn, drop_last)
