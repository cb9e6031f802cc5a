"""DataLoader: batches of a dataset, in the order of a sampler, made here or by worker processes."""

from __future__ import annotations

import multiprocessing
import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from itertools import repeat
from multiprocessing.context import BaseContext
from typing import Any, Generic, TypeVar

from mashal.core.generator import Generator
from mashal.utils.data._utils.collate import default_collate, default_convert
from mashal.utils.data._utils.fetch import _DatasetKind
from mashal.utils.data._utils.iterators import (
    _BaseDataLoaderIter,
    _MultiProcessingDataLoaderIter,
    _SingleProcessDataLoaderIter,
)
from mashal.utils.data._utils.worker import get_worker_info
from mashal.utils.data.dataset import Dataset, IterableDataset
from mashal.utils.data.sampler import BatchSampler, RandomSampler, Sampler, SequentialSampler

__all__ = [
    "DataLoader",
    "_BaseDataLoaderIter",
    "_DatasetKind",
    "_MultiProcessingDataLoaderIter",
    "_SingleProcessDataLoaderIter",
    "default_collate",
    "default_convert",
    "get_worker_info",
]

T_co = TypeVar("T_co", covariant=True)
_FIXED = ("batch_size", "batch_sampler", "sampler", "drop_last", "dataset", "persistent_workers")


class _InfiniteConstantSampler(Sampler):
    """None for ever: an iterable dataset needs no indices, only to be asked."""

    def __iter__(self) -> Iterator[None]:
        return repeat(None)


class DataLoader(Generic[T_co]):
    """Iterates over a dataset in batches; each `iter(loader)` is an epoch.

    dataset: map-style (`dataset[i]`, `len`) or an IterableDataset.
    batch_size: items in a batch; None gives the items themselves, unbatched.
    shuffle, sampler, batch_sampler: the order; one of them at most. drop_last leaves an incomplete last batch out.
    collate_fn: from a list of items to a batch; `default_collate` stacks tensors.
    num_workers: processes that make the batches; 0 makes them here. Their tensors come through shared memory.
    prefetch_factor: batches asked for ahead, per worker (2). persistent_workers: keep them for the next epoch.
    timeout: seconds to wait for a batch from a worker; 0 waits for ever.
    worker_init_fn: called with the worker's number in each worker after seeding.
    generator: for the order and the workers' seeds. in_order=False gives batches as they are ready.
    pin_memory: accepted; without an accelerator it has no effect but a warning.

    >>> for batch in DataLoader(range(5), batch_size=2):
    ...     print(batch)
    tensor([0, 1])
    tensor([2, 3])
    tensor([4])
    """

    dataset: Any
    batch_size: int | None
    num_workers: int
    pin_memory: bool
    drop_last: bool
    timeout: float
    sampler: Any
    batch_sampler: Any
    prefetch_factor: int | None

    def __init__(
        self,
        dataset: Dataset[T_co] | Any,
        batch_size: int | None = 1,
        shuffle: bool | None = None,
        sampler: Sampler | Iterable | None = None,
        batch_sampler: Sampler[list] | Iterable[list] | None = None,
        num_workers: int = 0,
        collate_fn: Callable[[list], Any] | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        timeout: float = 0,
        worker_init_fn: Callable[[int], None] | None = None,
        multiprocessing_context: str | BaseContext | None = None,
        generator: Generator | None = None,
        *,
        prefetch_factor: int | None = None,
        persistent_workers: bool = False,
        pin_memory_device: str = "",
        in_order: bool = True,
    ) -> None:
        self._initialized = False
        self.dataset = dataset
        self.num_workers = num_workers
        self.prefetch_factor = 2 if num_workers and prefetch_factor is None else prefetch_factor
        self.pin_memory = pin_memory
        self.pin_memory_device = pin_memory_device
        self.timeout = timeout
        self.worker_init_fn = worker_init_fn
        self.generator = generator
        self.in_order = in_order
        self.persistent_workers = persistent_workers
        self._check_workers()
        self.multiprocessing_context = multiprocessing_context
        self._dataset_kind = _DatasetKind.Iterable if isinstance(dataset, IterableDataset) else _DatasetKind.Map
        self._check_order(batch_size, shuffle, sampler, batch_sampler, drop_last)
        if batch_sampler is not None:
            batch_size, drop_last = None, False
        if sampler is None:
            sampler = self._default_sampler(bool(shuffle))
        if batch_size is not None and batch_sampler is None:
            batch_sampler = BatchSampler(sampler, batch_size, drop_last)
        self.batch_size = batch_size
        self.drop_last = drop_last
        self.sampler = sampler
        self.batch_sampler = batch_sampler
        self.collate_fn = collate_fn or (default_collate if self._auto_collation else default_convert)
        self._IterableDataset_len_called: int | None = None
        self._iterator: _MultiProcessingDataLoaderIter | None = None
        self._initialized = True
        self.check_worker_number_rationality()

    def __iter__(self) -> _BaseDataLoaderIter:
        if self.num_workers == 0:
            return _SingleProcessDataLoaderIter(self)
        if not self.persistent_workers:
            return _MultiProcessingDataLoaderIter(self)
        if self._iterator is None or not self._iterator._crew.is_whole():
            self._iterator = _MultiProcessingDataLoaderIter(self)
        else:
            self._iterator._reset(self)
        return self._iterator

    def __len__(self) -> int:
        """Batches in an epoch; for an IterableDataset what its own length promises."""
        if self._dataset_kind == _DatasetKind.Map:
            return len(self._index_sampler)
        length = self._IterableDataset_len_called = len(self.dataset)
        if self.batch_size is None:
            return length
        return length // self.batch_size if self.drop_last else -(-length // self.batch_size)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _FIXED and getattr(self, "_initialized", False):
            raise ValueError(f"DataLoader: {name} cannot be changed any more; make a new DataLoader")
        super().__setattr__(name, value)

    def __getstate__(self) -> dict:
        return {**vars(self), "_iterator": None}  # the workers of an epoch stay with it

    @property
    def multiprocessing_context(self) -> BaseContext | None:
        """How workers are started; None is the program's choice, or fork."""
        return self._context

    @multiprocessing_context.setter
    def multiprocessing_context(self, context: str | BaseContext | None) -> None:
        self._context = self._checked_context(context)

    @property
    def _auto_collation(self) -> bool:
        return self.batch_sampler is not None

    @property
    def _index_sampler(self) -> Any:
        return self.sampler if self.batch_sampler is None else self.batch_sampler

    def _default_sampler(self, shuffle: bool) -> Sampler:
        if self._dataset_kind == _DatasetKind.Iterable:
            return _InfiniteConstantSampler()
        if shuffle:
            return RandomSampler(self.dataset, generator=self.generator)
        return SequentialSampler(self.dataset)

    def _check_workers(self) -> None:
        workers, prefetch = self.num_workers, self.prefetch_factor
        if not isinstance(workers, int):
            raise TypeError(f"DataLoader: num_workers is {workers!r}; it must be an integer")
        if workers < 0:
            raise ValueError(f"DataLoader: num_workers is {workers}; it must be 0 (no workers) or more")
        if self.timeout < 0:
            raise ValueError(f"DataLoader: timeout is {self.timeout}; it must be 0 (wait for ever) or more seconds")
        if workers == 0 and prefetch is not None:
            raise ValueError(f"DataLoader: prefetch_factor={prefetch} needs num_workers > 0; without workers leave it")
        if prefetch is not None and prefetch < 0:
            raise ValueError(f"DataLoader: prefetch_factor is {prefetch}; it must be 1 or more")
        if self.persistent_workers and workers == 0:
            raise ValueError("DataLoader: persistent_workers=True needs num_workers > 0")

    def _check_order(self, batch_size: Any, shuffle: Any, sampler: Any, batch_sampler: Any, drop_last: bool) -> None:
        if self._dataset_kind == _DatasetKind.Iterable:
            for name, value in (("shuffle", shuffle), ("sampler", sampler), ("batch_sampler", batch_sampler)):
                if value is not None and value is not False:
                    raise ValueError(
                        f"DataLoader: {name}={value} with an IterableDataset, which has no indices to order; leave it"
                    )
        if sampler is not None and shuffle:
            raise ValueError("DataLoader: sampler and shuffle=True both choose the order; give one of them")
        if batch_sampler is not None and (batch_size != 1 or shuffle or sampler is not None or drop_last):
            raise ValueError("DataLoader: batch_sampler excludes batch_size, shuffle, sampler and drop_last")
        if batch_sampler is None and batch_size is None and drop_last:
            raise ValueError("DataLoader: drop_last=True needs batches; batch_size=None makes none")

    def _checked_context(self, context: Any) -> BaseContext | None:
        if context is None:
            return None
        if self.num_workers == 0:
            raise ValueError(f"DataLoader: multiprocessing_context={context!r} needs num_workers > 0")
        if isinstance(context, str):
            methods = multiprocessing.get_all_start_methods()
            if context not in methods:
                raise ValueError(f"DataLoader: multiprocessing_context is {context!r}; this system has {methods}")
            return multiprocessing.get_context(context)
        if not isinstance(context, BaseContext):
            raise TypeError(
                f"DataLoader: multiprocessing_context is a {type(context).__name__}; "
                "it must be a start method's name or a multiprocessing context"
            )
        return context

    def check_worker_number_rationality(self) -> None:
        """Warn where there are more workers than processors to run them on."""
        affinity = getattr(os, "sched_getaffinity", None)
        processors = len(affinity(0)) if affinity else os.cpu_count() or 0
        if processors and self.num_workers > processors:
            warnings.warn(
                f"DataLoader: num_workers={self.num_workers}, but this process may use {processors} processors; "
                "more workers than that only slow each other down",
                stacklevel=3,
            )
