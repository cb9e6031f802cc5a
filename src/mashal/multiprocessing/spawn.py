"""The same function in several processes; if one fails, the others are ended and its traceback is raised here."""

from __future__ import annotations

import multiprocessing
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from multiprocessing import connection
from typing import Any

_LONGEST = 30_000  # characters of a traceback: what a pipe holds without a reader


class ProcessException(Exception):
    """A process has failed: `error_index` says which of those started, `error_pid` its pid."""

    def __init__(self, msg: str, error_index: int, error_pid: int) -> None:
        super().__init__(msg)
        self.msg = msg
        self.error_index = error_index
        self.error_pid = error_pid

    def __reduce__(self) -> Any:
        return type(self), (self.msg, self.error_index, self.error_pid)


class ProcessRaisedException(ProcessException):
    """A process has ended with an exception of its own; the message has its traceback."""

    def __init__(self, msg: str, error_index: int, error_pid: int) -> None:
        super().__init__(msg, error_index, error_pid)


class ProcessExitedException(ProcessException):
    """A process has ended without an exception: with `exit_code`, or by the signal `signal_name`."""

    def __init__(
        self, msg: str, error_index: int, error_pid: int, exit_code: int, signal_name: str | None = None
    ) -> None:
        super().__init__(msg, error_index, error_pid)
        self.exit_code = exit_code
        self.signal_name = signal_name

    def __reduce__(self) -> Any:
        return type(self), (self.msg, self.error_index, self.error_pid, self.exit_code, self.signal_name)


def _run(fn: Callable, index: int, args: tuple, errors: Any) -> None:
    """The life of one process."""
    try:
        fn(index, *args)
    except KeyboardInterrupt:
        pass  # the parent was interrupted as well
    except Exception:
        errors.send(traceback.format_exc()[-_LONGEST:])
        sys.exit(1)


class ProcessContext:
    """The processes that `start_processes` has started."""

    def __init__(self, processes: list, errors: list) -> None:
        self.processes = processes
        self.errors = errors
        self.sentinels = {process.sentinel: index for index, process in enumerate(processes)}

    def pids(self) -> list[int]:
        """The pids, by index."""
        return [process.pid for process in self.processes]

    def join(self, timeout: float | None = None, grace_period: float | None = None) -> bool:
        """Wait for the processes, at most timeout seconds; True when all have ended well.

        When one fails, the others are terminated (and killed after grace_period seconds more), and the failure is
        raised: a ProcessRaisedException or ProcessExitedException.
        """
        if not self.sentinels:
            return True
        for sentinel in connection.wait(list(self.sentinels), timeout):
            index = self.sentinels.pop(sentinel)  # pyright: ignore[reportArgumentType]
            process = self.processes[index]
            process.join()
            if process.exitcode != 0:
                self._end_all(grace_period)
                raise self._failure(index, process)
        return not self.sentinels

    def _end_all(self, grace_period: float | None) -> None:
        for process in self.processes:
            if process.is_alive():
                process.terminate()
        deadline = time.monotonic() + (30 if grace_period is None else grace_period)
        for process in self.processes:
            process.join(max(0.0, deadline - time.monotonic()))
            if process.is_alive():
                process.kill()
                process.join()

    def _failure(self, index: int, process: Any) -> ProcessException:
        who = f"spawn: process {index} (pid {process.pid})"
        if self.errors[index].poll():
            try:
                text = self.errors[index].recv()
                return ProcessRaisedException(f"{who} ended with this exception:\n\n{text}", index, process.pid)
            except EOFError:
                pass  # it wrote nothing before it ended
        code = process.exitcode
        if code < 0:
            name = signal.Signals(-code).name if -code in set(signal.Signals) else str(-code)
            return ProcessExitedException(f"{who} was killed by signal {name}", index, process.pid, code, name)
        return ProcessExitedException(f"{who} exited with code {code}", index, process.pid, code)


SpawnContext = ProcessContext


def start_processes(
    fn: Callable,
    args: tuple = (),
    nprocs: int = 1,
    join: bool = True,
    daemon: bool = False,
    start_method: str = "spawn",
) -> ProcessContext | None:
    """Run `fn(index, *args)` in nprocs processes, index 0 … nprocs - 1.

    join: wait until all have ended (the result is None); else give the ProcessContext.
    start_method: "spawn", "fork" or "forkserver". With spawn, fn and args must be picklable.
    """
    context: Any = multiprocessing.get_context(start_method)
    processes, errors = [], []
    for index in range(nprocs):
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=_run, args=(fn, index, args, theirs), daemon=daemon)
        process.start()
        theirs.close()
        processes.append(process)
        errors.append(ours)
    started = ProcessContext(processes, errors)
    if not join:
        return started
    while not started.join():
        pass
    return None


def spawn(
    fn: Callable,
    args: tuple = (),
    nprocs: int = 1,
    join: bool = True,
    daemon: bool = False,
    start_method: str = "spawn",
) -> ProcessContext | None:
    """`start_processes` with fresh interpreters: run `fn(index, *args)` in nprocs processes."""
    if start_method != "spawn":
        warnings.warn(
            f"spawn: start_method={start_method!r} has no effect; for another one than 'spawn' use start_processes",
            FutureWarning,
            stacklevel=2,
        )
    return start_processes(fn, args, nprocs, join, daemon)
