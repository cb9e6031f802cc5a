"""torch.futures: results that come later, set by one thread and waited for by others."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

from mashal.errors import message
from mashal.nearest import nearest

__all__ = ["Future", "collect_all", "wait_all"]


class Future:
    """A result that comes later: `set_result` gives it, `wait` returns it, `then` goes on from it.

    >>> future = torch.futures.Future()
    >>> later = future.then(lambda done: done.value() + 1)
    >>> future.set_result(1)
    >>> later.wait()
    2
    """

    def __init__(self, *, devices: Any = None):
        self._lock = threading.Condition()
        self._done = False
        self._value: Any = None
        self._error: BaseException | None = None
        self._callbacks: list[Callable[[Future], None]] = []

    def done(self) -> bool:
        """Whether the result, or an error in its place, is there."""
        return self._done

    def wait(self) -> Any:
        """Waits for the result and returns it; raises what was set in its place."""
        with self._lock:
            self._lock.wait_for(lambda: self._done)
        return self.value()

    def value(self) -> Any:
        """The result that is there; RuntimeError if it isn't yet."""
        if not self._done:
            raise RuntimeError(
                message("Future", "value() was asked for before the result was set", "wait() waits for it")
            )
        if self._error is not None:
            raise self._error
        return self._value

    def set_result(self, result: Any) -> None:
        """Sets the result, once."""
        self._complete(result, None)

    def set_exception(self, result: BaseException) -> None:
        """Sets an error in the result's place."""
        if not isinstance(result, BaseException):
            raise AssertionError(f"{result} is of type {type(result)}, not an Exception.")
        self._complete(None, result)

    def _complete(self, value: Any, error: BaseException | None) -> None:
        with self._lock:
            if self._done:
                raise RuntimeError(message("Future", "the result was set before", "a Future has one result"))
            self._value, self._error, self._done = value, error, True
            waiting, self._callbacks = self._callbacks, []
            self._lock.notify_all()
        for callback in waiting:
            callback(self)

    def add_done_callback(self, callback: Callable[[Future], None]) -> None:
        """Calls a function with this Future as soon as the result is there."""
        with self._lock:
            if not self._done:
                self._callbacks.append(callback)
                return
        callback(self)

    def then(self, callback: Callable[[Future], Any]) -> Future:
        """A Future of what a function makes of this one when it is done."""
        following = Future()

        def go_on(done: Future) -> None:
            try:
                following.set_result(callback(done))
            except Exception as error:
                following.set_exception(error)

        self.add_done_callback(go_on)
        return following


def collect_all(futures: Sequence[Future]) -> Future:
    """A Future of the list of Futures, done when all are.

    >>> one, two = torch.futures.Future(), torch.futures.Future()
    >>> both = torch.futures.collect_all([one, two])
    >>> one.set_result(1), two.set_result(2)
    (None, None)
    >>> [future.value() for future in both.wait()]
    [1, 2]
    """
    every = Future()
    left = [len(futures)]
    lock = threading.Lock()

    def count(_: Any) -> None:
        with lock:
            left[0] -= 1
            last = left[0] == 0
        if last:
            every.set_result(list(futures))

    if not futures:
        every.set_result([])
    for future in futures:
        future.add_done_callback(count)
    return every


def wait_all(futures: Sequence[Future]) -> list[Any]:
    """Waits for all results and returns them."""
    return [future.wait() for future in collect_all(futures).wait()]


__getattr__ = nearest(__name__)
