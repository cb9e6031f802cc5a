"""Compiled functions: the function that stands for one, and asks what is known of it (capture.recordings)."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from types import FunctionType
from typing import Any

from mashal.capture.program import MISS
from mashal.capture.recording import Recording
from mashal.capture.recordings import Recordings


def compiled(
    fn: Callable[..., Any],
    whole: bool = False,
    dynamic: bool | None = None,
    name: str = "",
    most: int | None = None,
    told: Callable[[Recording], None] | None = None,
) -> Callable[..., Any]:
    """fn, recorded when it is first called. whole: an error instead of a way round what cannot be recorded.

    dynamic: a replay for many sizes is made as soon as a second size comes; False: never; None: when a third one does.
    most: how many recordings are made, if it is not what the settings say. told: is told each.
    """
    names = _positional(fn)
    part = lambda function, name: compiled(function, whole, dynamic, name, most, told)
    known = Recordings(fn, whole, dynamic, name, most, told, names or (), part)

    def call(*args: Any, **options: Any) -> Any:
        answer = MISS if options else known.latest(*args)
        return answer if answer is not MISS else known.call(args, options)

    if names is not None:  # the same without a tuple and a dictionary for each call
        given = ", ".join(names)
        text = f"""def call({given}):
            answer = known.latest({given})
            return answer if answer is not MISS else known.call(({given}{"," if names else ""}), {{}})"""
        space = {"known": known, "MISS": MISS}
        exec(compile(text, f"{__file__} (made by compiled)", "exec"), space)  # a traceback shows no other line for it
        call = space["call"]
    call = functools.wraps(fn)(call)
    call.recordings = known  # type: ignore[attr-defined]
    call._torchdynamo_orig_callable = fn  # type: ignore[attr-defined]
    return call


def _positional(fn: Any) -> list[str] | None:
    """The names of the parameters, if fn is a function that takes just these, in order, each call."""
    code = getattr(fn, "__code__", None)
    if not isinstance(fn, FunctionType) or code is None or fn.__defaults__ or fn.__kwdefaults__:
        return None
    if (
        code.co_flags & (inspect.CO_VARARGS | inspect.CO_VARKEYWORDS)
        or code.co_kwonlyargcount
        or code.co_posonlyargcount
    ):
        return None
    names = list(code.co_varnames[: code.co_argcount])
    return None if {"known", "MISS"} & {*names} else names
