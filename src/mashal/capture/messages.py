"""What compile says to the user: why a function is not one region, and why it is recorded again and again.

An error names the file, the line and what stands there; a warning names the guard that failed, with what was
expected and what was found.
"""

from __future__ import annotations

import ast
import linecache
import os
import re
import sys
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mashal.capture.frames import Lines
from mashal.capture.guards import ABSENT, LENGTH, Guard
from mashal.capture.hoisting import reads_of
from mashal.core.interop import is_array_scalar
from mashal.core.tensor import Tensor

if TYPE_CHECKING:
    from mashal.capture.noted import Obstacle

__all__ = [
    "broken", "level_of_program", "not_recorded", "not_whole", "place", "runs_as_written", "short", "short_name", "too_often", "why_cut",
]  # fmt: skip

_LONGEST = 60


def place(frames: Lines) -> str:
    """Where something happened, in words: the innermost line, and the line of the compiled function that led there."""
    if not frames:
        return "outside the function's own lines"
    (outer, first), (code, line) = frames[0], frames[-1]
    here = f"{short_name(code.co_filename)}, line {line}"
    return here if len(frames) == 1 else f"{here} (reached from {short_name(outer.co_filename)}, line {first})"


def short_name(path: str) -> str:
    """A file as the user would name it: relative to the current folder where it lies below."""
    try:
        relative = os.path.relpath(path)
    except ValueError:  # another drive
        return path
    return relative if not relative.startswith(os.pardir) and os.path.isabs(path) else os.path.basename(path)


def why_cut(*cuts: Obstacle) -> str:
    """One sentence about the cuts of one place, without the place: what is written there and what is wrong with it."""
    first = cuts[0]
    written = _statement(first.frames[-1]) if first.frames else ""
    others = list(dict.fromkeys(cut.what for cut in cuts if not cut.reads))
    if not written:
        return "; ".join(dict.fromkeys(cut.what for cut in cuts))
    read = (_reading(written) or written) if any(cut.reads for cut in cuts) else ""
    found = [f"`{read}` reads a tensor's value in Python"] if read else []
    done = [what for what in others if _is_done(what)]
    if done:
        why = f"{', '.join(done)} {'is' if len(done) == 1 else 'are'} Python, which no replay repeats"
        found.append(why if read == written else f"`{written}`: {why}")
    return "; ".join([*found, *(f"`{written}`: {what}" for what in others if not _is_done(what))])


def _is_done(what: str) -> bool:
    """Whether an obstacle is something that Python does, named as a program writes it (`print()`), and not a sentence."""
    return re.fullmatch(r"\S+\([^()]*\)", what) is not None or what.endswith(("…", "yield")) or what.startswith("del ")


def _statement(frame: tuple[Any, int]) -> str:
    """The line of source of a frame, without its colon and its comment; of a function in one line what it does."""
    code, line = frame
    text = linecache.getline(code.co_filename, line).strip()
    tree = _parsed(text)
    if tree is not None and len(tree.body) == 1:
        only = tree.body[0]
        in_one_line = isinstance(only, (ast.FunctionDef, ast.AsyncFunctionDef)) and not isinstance(
            only.body[0], ast.Pass
        )
        text = (
            "; ".join(map(ast.unparse, only.body)) if in_one_line else ast.unparse(tree).partition("\n")[0].rstrip(":")
        )
    return textwrap.shorten(text, _LONGEST, placeholder=" …")


def _parsed(text: str) -> ast.Module | None:
    """One line of source as a tree, the beginning of a block given an empty one; None if it is a part of a statement."""
    for attempt in (text, f"{text} pass", f"{text.removeprefix('el')} pass"):
        try:
            return ast.parse(attempt)
        except SyntaxError:
            continue
    return None


def _reading(text: str) -> str:
    """The call in a statement that reads a value, such as `loss.item()`; "" if no name tells."""
    tree = _parsed(text)
    found = reads_of(tree) if tree is not None else []
    return ast.unparse(found[0]) if found else ""


def not_whole(name: str, cuts: Sequence[Obstacle]) -> str:
    """The error of fullgraph=True: the first place that keeps a function from being one region, and how many there are."""
    right = "fullgraph=True allows no such place: move it out of the function, or leave fullgraph out"
    return f"compile: {_first(cuts)}; {right}, and {name} is compiled in parts around it"


def _first(cuts: Sequence[Obstacle]) -> str:
    """The first place where a function is cut, why, and how many others there are."""
    lines = [cut.frames[-1:] for cut in cuts]
    others = len({*lines}) - 1
    more = f" (and {others} more {'place' if others == 1 else 'places'})" if others else ""
    here = [cut for cut, line in zip(cuts, lines) if line == lines[0]]
    return f"{place(list(cuts[0].frames))}: {why_cut(*here)}{more}"


def broken(guard: Guard) -> str:
    """What a guard expected and what is there, in words.

    >>> settings = {"scale": 2}
    >>> guard = Guard(settings, "scale", 2, "global `scale`")
    >>> settings["scale"] = 3
    >>> print(broken(guard))
    global `scale` was 2 and is 3
    """
    found = guard.found()
    if guard.key is LENGTH or type(found) is type(guard.expected) is int or not isinstance(found, type(guard.expected)):
        return f"{guard.what} was {short(guard.expected)} and is {short(found)}"
    expected, now = short(guard.expected), short(found)
    if expected == now:
        return f"{guard.what} is another {'tensor' if isinstance(found, Tensor) else type(found).__name__} than before"
    return f"{guard.what} was {expected} and is {now}"


def short(value: Any) -> str:
    """A value in a few words, without running a long or strange __repr__."""
    if value is ABSENT:
        return "not there"
    if isinstance(value, Tensor):
        return f"a tensor {tuple(value.shape)}"
    if is_array_scalar(value) or isinstance(value, (int, float, complex, str, bytes, bool, type(None), tuple)):
        text = repr(value)
        return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 2]} …"
    return f"a {type(value).__name__}"


def too_often(name: str, times: int, reason: str) -> str:
    """The warning for a function that was recorded as often as is allowed. reason: what changed the last time.

    >>> print(too_often("step", 8, "global `scale` was 2 and is 3"))
    compile: step was recorded 8 times, at last because global `scale` was 2 and is 3; from now on calls that fit none of \
the recordings run as written, until they come again. What changes from call to call is best given as a tensor
    """
    of_sizes = " tensor (" in reason
    right = (
        "A tensor is best padded to a few sizes"
        if of_sizes
        else "What changes from call to call is best given as a tensor"
    )
    last = f", at last because {reason}" if reason else ""
    return (
        f"compile: {name} was recorded {times} times{last}; from now on calls that fit none of the "
        f"recordings run as written, until they come again. {right}"
    )


def not_recorded(name: str, reason: str, forbidden_by: str = "") -> str:
    """The error of what allows no recording, or the note of one. reason: what is not as in the last recording, "" if there is none.

    >>> print(not_recorded("step", "argument 0 was 2 and is 3", "the stance fail_on_recompile"))
    compile: step would be recorded again, because argument 0 was 2 and is 3; the stance fail_on_recompile allows no recording
    """
    again = f"again, because {reason}" if reason else "for the first time"
    if not forbidden_by:
        return f"compile: {name} is recorded {again}"
    return f"compile: {name} would be recorded {again}; {forbidden_by} allows no recording"


def runs_as_written(name: str, why: str, cuts: Sequence[Obstacle] = ()) -> str:
    """The note for a function that is neither recorded nor split. why: a reason such as that of `Unsplit`; cuts: where it had
    to be split.

    >>> print(runs_as_written("step", "it is a generator or a coroutine"))
    compile: step runs as written: it is a generator or a coroutine
    """
    return f"compile: {name} runs as written: " + (f"{_first(cuts)}; {why}" if cuts else why)


def level_of_program() -> int:
    """How many frames above the one that warns the program is."""
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame, level = frame.f_back, level + 1
    return level


_PACKAGE = __file__[: __file__.rindex("capture")]
