"""The workers as the parent sees them: starting, asking, waiting, what has become of them, the end.

Each worker has a channel of its own, so an answer needs no number: a worker answers in the order in which it was asked.
"""

from __future__ import annotations

import os
import pickle
import select
import signal
import socket
import time
import weakref
from functools import partial
from typing import Any

from mashal.multiprocessing.memory import SharedBlock
from mashal.utils.data._utils.channel import Channel
from mashal.utils.data._utils.parcel import Parcel
from mashal.utils.data._utils.worker import Job, Resume, _worker_loop

_LOOK = 2.0  # seconds after which a silent worker is looked at
_GRACE = 5.0  # seconds that workers have to end by themselves
_forks = 0  # of this process so far


def _count_fork() -> None:
    global _forks
    _forks += 1


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_parent=_count_fork)


class Worker:
    """One worker process: its channel, its blocks as mapped here, and how many answers it owes.

    `active` turns False when its dataset is exhausted.
    """

    def __init__(self, context: Any, job: Job) -> None:
        ours, theirs = socket.socketpair()
        self.id = job.id
        self.active = True
        self.owed = 0
        self.epoch = 0
        self.blocks: dict[int, SharedBlock] = {}
        self.returned: list[int] = []
        self.dropped: list[int] = []
        self._uses: dict[int, weakref.ref] = {}
        self.channel = Channel(ours, blocking=False)
        self.process = context.Process(target=_worker_loop, args=(job, theirs), daemon=True)
        try:
            self.process.start()
        except BaseException:
            self.channel.close()
            raise
        finally:
            theirs.close()

    def ask(self, wish: Any) -> None:
        """Tell the worker the indices of a batch, or that an epoch begins; and which blocks it may use again."""
        returned, dropped = _taken(self.returned), _taken(self.dropped)
        if isinstance(wish, Resume):
            self.epoch, self.active, self.owed = wish.epoch, True, 0
        else:
            self.owed += 1
        try:
            self.channel.send(pickle.dumps((wish, returned, dropped), protocol=5))
        except (BrokenPipeError, ConnectionResetError):
            pass  # it is dead; that is told when its answer is wanted

    def answer(self, deadline: float | None) -> tuple[Parcel, Any]:
        """Its next answer of this epoch, and the buffer it came in. Raises TimeoutError after the deadline."""
        while True:
            try:
                parcel = Parcel(self._receive(deadline))
                view = self._open(parcel) if parcel.block >= 0 else None
            except EOFError:
                raise self.obituary() from None
            for number in parcel.discarded:
                del self.blocks[number]
            if parcel.epoch == self.epoch:
                self.owed -= 1
                return parcel, view

    def _receive(self, deadline: float | None) -> bytes:
        while True:
            look = time.monotonic() + _LOOK
            try:
                return self.channel.receive(look if deadline is None else min(deadline, look))
            except TimeoutError:
                if deadline is not None and time.monotonic() >= deadline:
                    raise
                if not self.process.is_alive() and not self.channel.pending():  # with a child that holds its socket
                    raise EOFError from None

    def _open(self, parcel: Parcel) -> Any:
        """The buffer of the block that a parcel came in; when all users of it are gone, the block may be used again."""
        number = parcel.block
        if parcel.new:
            block = SharedBlock(parcel.size, self.channel.descriptors.popleft())
            block.close_descriptor()
            self.blocks[number] = block
        view = self.blocks[number].view()
        self._uses[number] = weakref.ref(view, partial(self._came_back, number, _forks))
        return view

    def _came_back(self, number: int, forks: int, view: Any) -> None:
        # a process forked meanwhile may still read the block
        if forks == _forks:
            self.returned.append(number)
        else:
            self.blocks.pop(number, None)
            self.dropped.append(number)

    def obituary(self) -> RuntimeError:
        """The error that tells how this worker died."""
        self.process.join(_GRACE)
        code, who = self.process.exitcode, f"worker {self.id} (pid {self.process.pid})"
        if code is None:
            return RuntimeError(f"DataLoader: {who} closed its socket but runs on; its code must leave sockets alone")
        if code >= 0:
            return RuntimeError(f"DataLoader: {who} exited unexpectedly with code {code}; its own output may say why")
        if -code == signal.SIGINT:
            time.sleep(0.2)  # the KeyboardInterrupt of this process is on its way: it says it better
        name = signal.Signals(-code).name if -code in set(signal.Signals) else "unknown"
        hints = {
            "SIGKILL": "; perhaps the system ran out of memory",
            "SIGBUS": "; perhaps shared memory ran out",
            "SIGSEGV": "; native code crashed in it",
        }
        return RuntimeError(f"DataLoader: {who} was killed by signal {-code} ({name}){hints.get(name, '')}")


def _taken(numbers: list[int]) -> list[int]:
    """All that is in a list, to which the garbage collector may add at any moment."""
    count = len(numbers)
    taken = numbers[:count]
    del numbers[:count]
    return taken


class Crew:
    """All workers of one iterator."""

    def __init__(self, context: Any, jobs: list[Job]) -> None:
        if os.name != "posix":
            raise NotImplementedError(f"DataLoader: there are no workers on {os.name} yet; use num_workers=0")
        self.parent = os.getpid()
        self.workers: list[Worker] = []
        self.epoch = 0
        try:
            for job in jobs:
                self.workers.append(Worker(context, job))
        except BaseException:
            self.close()
            raise

    def is_whole(self) -> bool:
        """Whether every worker lives."""
        return bool(self.workers) and all(worker.process.is_alive() for worker in self.workers)

    def resume(self) -> None:
        """A new epoch for all workers; what they still owe of the last one is thrown away when it comes."""
        self.epoch += 1
        for worker in self.workers:
            worker.ask(Resume(self.epoch))

    def first_ready(self, deadline: float | None) -> Worker:
        """A worker that owes an answer and has one ready (or is dead). Raises TimeoutError after the deadline."""
        owing = [worker for worker in self.workers if worker.owed]
        for worker in owing:
            if worker.channel.pending():
                return worker
        poll = select.poll()
        for worker in owing:
            poll.register(worker.channel, select.POLLIN)
        while True:
            look = _LOOK if deadline is None else min(_LOOK, max(0.0, deadline - time.monotonic()))
            ready = [descriptor for descriptor, _ in poll.poll(look * 1000)]
            for worker in owing:
                if worker.channel.fileno() in ready or not worker.process.is_alive():
                    return worker
            if deadline is not None and time.monotonic() >= deadline:
                raise TimeoutError

    def close(self) -> None:
        """End all workers: by closing their channels, and those that do not end by signals."""
        if os.getpid() != self.parent:
            return
        for worker in self.workers:
            worker.channel.close()
        deadline = time.monotonic() + _GRACE
        for end in (None, "terminate", "kill"):
            for worker in self.workers:
                if end is not None and worker.process.is_alive():
                    getattr(worker.process, end)()
                worker.process.join(max(0.0, deadline - time.monotonic()) if end is None else 1.0)
        for worker in self.workers:
            worker.blocks.clear()
        self.workers = []
