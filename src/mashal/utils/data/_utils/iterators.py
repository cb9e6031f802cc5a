"""An epoch of a DataLoader: in this process, or with workers.

Both draw the epoch's base seed when they are made, and ask the sampler for indices batch by batch. With workers,
prefetch_factor batches a worker are asked for ahead, in turn, and their answers given in the order of asking.
"""

from __future__ import annotations

import multiprocessing
import sys
import time
import warnings
import weakref
from collections import deque
from collections.abc import Iterator
from typing import Any

from mashal.core.interop import numpy
from mashal.utils.data._utils import parcel
from mashal.utils.data._utils.crew import Crew, Worker
from mashal.utils.data._utils.fetch import _DatasetKind
from mashal.utils.data._utils.worker import Job, raise_described
from mashal.utils.data.sampler import drawn_seed


class _BaseDataLoaderIter:
    """What both kinds of epochs share: the seed, the sampler's iterator, and the count that a length promised."""

    def __init__(self, loader: Any) -> None:
        self._loader = loader
        self._dataset = loader.dataset
        self._timeout = loader.timeout
        self._base_seed = drawn_seed(loader.generator)
        self._sampler_iter = iter(loader._index_sampler)
        self._num_yielded = 0
        if loader.pin_memory:
            _warn_about_pinning(loader)

    def __iter__(self) -> Iterator:
        return self

    def __next__(self) -> Any:
        data = self._next_data()
        self._num_yielded += 1
        if self._loader._IterableDataset_len_called is not None:
            self._check_length(self._loader._IterableDataset_len_called)
        return data

    def _next_data(self) -> Any:
        raise NotImplementedError

    def __len__(self) -> int:
        return len(self._loader._index_sampler)

    def __getstate__(self) -> Any:
        raise NotImplementedError(f"{type(self).__name__}: an epoch under way cannot be pickled; pickle the DataLoader")

    def _check_length(self, promised: int) -> None:
        if self._num_yielded > promised:
            advice = "; with workers, each must give its own part of the data (see get_worker_info)"
            warnings.warn(
                f"DataLoader: len() promised {promised} batches of {type(self._dataset).__name__}, "
                f"this is number {self._num_yielded}{advice if self._loader.num_workers else ''}",
                stacklevel=3,
            )


def _warn_about_pinning(loader: Any) -> None:
    if loader.pin_memory_device:
        warnings.warn(
            f"DataLoader: pin_memory_device is deprecated and has no effect (it is {loader.pin_memory_device!r})",
            stacklevel=5,
        )
    warnings.warn("DataLoader: pin_memory=True has no effect, as there is no accelerator to pin for", stacklevel=5)


class _SingleProcessDataLoaderIter(_BaseDataLoaderIter):
    """An epoch whose batches are made here, when they are asked for."""

    def __init__(self, loader: Any) -> None:
        super().__init__(loader)
        if loader.timeout != 0:
            raise AssertionError(f"DataLoader: timeout={loader.timeout} needs workers; without them it must be 0")
        fetcher = _DatasetKind.create_fetcher(
            loader._dataset_kind, loader.dataset, loader._auto_collation, loader.collate_fn, loader.drop_last
        )
        self._fetch = fetcher.fetch

    def _next_data(self) -> Any:
        return self._fetch(next(self._sampler_iter))


class _MultiProcessingDataLoaderIter(_BaseDataLoaderIter):
    """An epoch whose batches are made by worker processes; they end with it, or stay for the next (`_reset`)."""

    def __init__(self, loader: Any) -> None:
        super().__init__(loader)
        if loader.prefetch_factor <= 0:
            raise AssertionError(
                f"DataLoader: prefetch_factor is {loader.prefetch_factor}; with workers it must be 1 or more"
            )
        numpy.random  # noqa: B018  loaded once, before the workers are forked, that all seed it
        self._persistent_workers = loader.persistent_workers
        self._crew = Crew(_context_of(loader), self._jobs())
        self._finalizer = weakref.finalize(self, self._crew.close)
        self._begin()

    def _jobs(self) -> list[Job]:
        loader = self._loader
        return [
            Job(
                id=worker,
                num_workers=loader.num_workers,
                base_seed=self._base_seed,
                dataset=loader.dataset,
                kind=loader._dataset_kind,
                auto_collation=loader._auto_collation,
                collate_fn=loader.collate_fn,
                drop_last=loader.drop_last,
                init=loader.worker_init_fn,
                keep=loader.prefetch_factor + 2,
            )
            for worker in range(loader.num_workers)
        ]

    def _reset(self, loader: Any) -> None:
        """Another epoch with the same workers."""
        self._sampler_iter = iter(loader._index_sampler)
        self._num_yielded = 0
        self._crew.resume()
        self._begin()

    def _begin(self) -> None:
        self._order: deque[Worker] = deque()  # who makes the batches that were asked for, first to last
        self._turn = 0
        for _ in range(self._loader.prefetch_factor * self._loader.num_workers):
            self._ask_for_next()

    def _ask_for_next(self) -> None:
        worker = self._next_worker()
        if worker is None:
            return
        try:
            index = next(self._sampler_iter)
        except StopIteration:
            return
        self._turn = worker.id + 1
        self._order.append(worker)
        worker.ask(index)

    def _next_worker(self) -> Worker | None:
        """Whose turn it is among those whose dataset isn't exhausted; without in_order, who is least behind."""
        workers = self._crew.workers
        active = [worker for worker in workers[self._turn :] + workers[: self._turn] if worker.active]
        if not active:
            return None
        return active[0] if self._loader.in_order else min(active, key=lambda worker: worker.owed)

    def _next_data(self) -> Any:
        while self._order:
            deadline = time.monotonic() + self._timeout if self._timeout > 0 else None
            try:
                worker = self._order[0] if self._loader.in_order else self._crew.first_ready(deadline)
                answer, view = worker.answer(deadline)
            except TimeoutError:
                raise RuntimeError(
                    f"DataLoader: no batch came within {self._timeout} seconds (timeout={self._timeout}); "
                    "the workers are busy or stuck"
                ) from None
            self._order.remove(worker)
            if answer.kind == parcel.EXHAUSTED:
                self._retire(worker)
            self._ask_for_next()
            if answer.kind == parcel.ERROR:
                raise_described(answer.body)
            if answer.kind == parcel.BATCH:
                return parcel.unpack(answer, view)
        if not self._persistent_workers:
            self._finalizer()
        raise StopIteration

    def _retire(self, worker: Worker) -> None:
        """An exhausted worker owes nothing more."""
        worker.active = False
        worker.owed = 0
        self._order = deque(each for each in self._order if each is not worker)
        if not self._persistent_workers:
            worker.channel.close()


def _context_of(loader: Any) -> Any:
    """The loader's multiprocessing context; by default the program's choice, or else fork where that is usual."""
    if loader.multiprocessing_context is not None:
        return loader.multiprocessing_context
    chosen = multiprocessing.get_start_method(allow_none=True)
    if chosen is None and sys.platform.startswith("linux"):  # Python 3.14's forkserver would refuse local classes
        chosen = "fork"
    return multiprocessing.get_context(chosen)
