"""What compiled functions do from now on, and forgetting what they know."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from mashal.compiler.backends import forget, is_native
from mashal.later import later
from mashal.machine.observing import watch

__all__ = ["cudagraph_mark_step_begin", "reset", "set_stance"]

recordings: Any = later("mashal.capture.recordings")
_STANCES = ("default", "force_eager", "eager_on_recompile", "fail_on_recompile", "eager_then_compile")


class set_stance:
    """From now on, inside a with statement, or as a decorator while a function runs: what compiled functions do.

    stance: "default"; "force_eager": they run as they are written; "eager_on_recompile": they do where no recording fits;
    "fail_on_recompile": that is a RuntimeError; "eager_then_compile": a call of a kind that has not come before runs as it is
    written, the next one is recorded. force_backend: with "default" alone: "eager" is "force_eager", another name of
    `list_backends` is none of a difference. skip_guard_eval_unsafe: accepted; what a recording relies on is always looked at.

    >>> double = torch.compile(lambda x: x * 2)
    >>> with torch.compiler.set_stance("force_eager"):
    ...     double(torch.ones(2))
    tensor([2., 2.])
    """

    def __init__(
        self, stance: str = "default", *, skip_guard_eval_unsafe: bool = False, force_backend: Any = None
    ) -> None:
        if stance not in _STANCES:
            raise RuntimeError(f"set_stance: stance must be one of {', '.join(_STANCES)}, not {stance!r}")
        if force_backend is not None and stance != "default":
            raise RuntimeError(f"set_stance: force_backend goes with the stance default, not {stance!r}")
        if force_backend is not None and not is_native(force_backend):
            raise RuntimeError(
                "set_stance: force_backend is a name of mashal's own; a function is given to torch.compile"
            )
        if watch.recorder is not None:
            watch.recorder.obstacle("set_stance()")
        self.stance = "force_eager" if force_backend == "eager" else stance
        self.before = recordings.stand(self.stance)

    def __enter__(self) -> None:
        recordings.stand(self.stance)

    def __exit__(self, *error: Any) -> None:
        recordings.stand(self.before)

    def __call__(self, fn: Callable[..., Any]) -> Any:
        recordings.stand(self.before)

        @functools.wraps(fn)
        def call(*args: Any, **options: Any) -> Any:
            with set_stance(self.stance):
                return fn(*args, **options)

        return call


def reset() -> None:
    """Forgets all recordings; compiled functions are recorded again when they are next called.

    >>> torch.compiler.reset()
    """
    recordings.reset()
    forget()


def cudagraph_mark_step_begin() -> None:
    """Says that a step begins; nothing depends on it here, for results of an earlier call are never overwritten.

    >>> torch.compiler.cudagraph_mark_step_begin()
    """
