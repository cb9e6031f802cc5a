"""A worker as it sees itself: who it is, its seeds, and its loop.

A worker reads which batches to make and sends them back until the parent closes its end.
"""

from __future__ import annotations

import os
import pickle
import random
import signal
import socket
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from reprlib import Repr
from typing import Any

from mashal.core.generator import default_generator
from mashal.core.interop import numpy
from mashal.machine.threads import set_num_threads
from mashal.utils.data._utils import parcel
from mashal.utils.data._utils.channel import Channel
from mashal.utils.data._utils.fetch import _DatasetKind

_worker_info: WorkerInfo | None = None
_short = Repr()
_short.maxlist = 8


@dataclass(frozen=True)
class WorkerInfo:
    """The worker that the code runs in: `id` of `num_workers`, its `seed`, and its copy of the `dataset`."""

    id: int
    num_workers: int
    seed: int
    dataset: Any
    rng: Any = None
    worker_method: str | None = "multiprocessing"


def get_worker_info() -> WorkerInfo | None:
    """In a DataLoader's worker: which one it is. In any other process: None.

    >>> get_worker_info() is None
    True
    """
    return _worker_info


@dataclass(frozen=True)
class Job:
    """What a worker is told when it starts."""

    id: int
    num_workers: int
    base_seed: int
    dataset: Any
    kind: int
    auto_collation: bool
    collate_fn: Callable
    drop_last: bool
    init: Callable | None
    keep: int  # blocks of shared memory to hold on to


@dataclass(frozen=True)
class Resume:
    """From the parent instead of indices: a new epoch begins."""

    epoch: int


def _generate_state(base_seed: int, worker_id: int) -> list[int]:
    """Four words to seed NumPy's global generator of a worker with."""
    entropy = [worker_id, base_seed & 0xFFFFFFFF, base_seed >> 32, 0]
    return numpy.random.SeedSequence(entropy).generate_state(4).tolist()


def _worker_loop(job: Job, end: socket.socket) -> None:
    """The whole life of a worker process."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C reaches the parent too, which says what there is to say
    channel = Channel(end, blocking=True)
    try:
        _Worker(job, channel).serve()
    except (EOFError, BrokenPipeError, ConnectionResetError):
        pass  # the parent wants no more, or is gone
    finally:
        channel.close()


class _Worker:
    def __init__(self, job: Job, channel: Channel) -> None:
        self.job = job
        self.channel = channel
        self.shelf = parcel.Shelf(job.keep)
        self.epoch = 0
        self.failure: bytes | None = None  # of the preparation: every batch meets it
        self.fetcher: Any = None
        try:
            self._prepare()
        except Exception as error:
            self.failure = _describe(error, f"when worker {job.id} (pid {os.getpid()}) of the DataLoader started")

    def _prepare(self) -> None:
        global _worker_info
        job = self.job
        seed = job.base_seed + job.id
        set_num_threads(1)
        random.seed(seed)
        default_generator.manual_seed(seed)
        numpy.random.seed(_generate_state(job.base_seed, job.id))
        _worker_info = WorkerInfo(id=job.id, num_workers=job.num_workers, seed=seed, dataset=job.dataset)
        if job.init is not None:
            job.init(job.id)
        self._start_fetching()

    def _start_fetching(self) -> None:
        job = self.job
        self.fetcher = _DatasetKind.create_fetcher(
            job.kind, job.dataset, job.auto_collation, job.collate_fn, job.drop_last
        )

    def serve(self) -> None:
        """Answer one message after another; ends with an EOFError from the channel."""
        while True:
            wish, returned, dropped = pickle.loads(self.channel.receive())
            self.shelf.put_back(returned, dropped)
            if isinstance(wish, Resume):
                self._resume(wish.epoch)
            else:
                message, block = self._answer(wish)
                self.channel.send(message, None if block is None else block.descriptor)
                if block is not None:
                    block.close_descriptor()

    def _resume(self, epoch: int) -> None:
        self.epoch = epoch
        if self.failure is None:
            try:
                self._start_fetching()
            except Exception as error:
                self.failure = _describe(error, f"when worker {self.job.id} of the DataLoader began an epoch")

    def _answer(self, index: Any) -> tuple[bytes, Any]:
        if self.failure is not None:
            return parcel.pack_note(parcel.ERROR, self.epoch, self.failure), None
        try:
            return parcel.pack(self.fetcher.fetch(index), self.epoch, self.shelf)
        except Exception as error:
            if isinstance(error, StopIteration) and self.job.kind == _DatasetKind.Iterable:
                return parcel.pack_note(parcel.EXHAUSTED, self.epoch), None
            where = f"in worker {self.job.id} (pid {os.getpid()}) of the DataLoader"
            if self.job.kind == _DatasetKind.Map:
                where += f", at index {_short.repr(index)}"
            return parcel.pack_note(parcel.ERROR, self.epoch, _describe(error, where)), None


def _describe(error: Exception, where: str) -> bytes:
    """An exception as bytes: its class, and a text with its traceback."""
    kind: type = type(error)
    if kind is StopIteration:  # raised anew in the parent, it would end the loop there in silence
        kind = RuntimeError
    text = f"{type(error).__name__} {where}\n\n{''.join(traceback.format_exception(error))}"
    try:
        pickle.loads(pickle.dumps(kind))
    except Exception:
        kind = RuntimeError
    return pickle.dumps((kind, text))


class _Verbatim(str):
    """A text that KeyError, which shows the repr of its key, shows as it is."""

    def __repr__(self) -> str:
        return str(self)


def raise_described(description: bytes) -> None:
    """Raise an exception of the same class as in the worker, or a RuntimeError where that cannot be made of a text."""
    try:
        kind, text = pickle.loads(description)
    except Exception as error:
        raise RuntimeError(f"DataLoader: a worker's exception could not be read here ({error})") from None
    try:
        again = kind(_Verbatim(text) if issubclass(kind, KeyError) else text)
    except Exception:
        again = RuntimeError(text)
    raise again
