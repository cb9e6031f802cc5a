"""Regions: a function that cannot be recorded whole, split into pieces that can and statements between them that run as written.

    def step(x):                         def step(x):
        y = model(x).mean()                  y = region_0(x)
        print(y.item())          becomes     print(y.item())
        return y * y                         return region_1(y)

A region is a run of statements of one block without a cut, as long as can be; a block with a cut inside is itself split. A region
takes the variables it reads and returns those it binds that are needed later. Here is what can be split: functions, methods, calls of
modules; `splitting` does it, statement by statement (`cuts`: where; `region`: a run as a function).

The functions made have the file and the lines of the source, and share the cells and globals of the original.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import FunctionType, MethodType
from typing import TYPE_CHECKING, Any

from mashal.capture.callees import is_compiled
from mashal.capture.frames import code_of
from mashal.capture.modules import is_module
from mashal.capture.source import Unsplit, definition_of
from mashal.capture.splitting import Split
from mashal.core.tape import within

if TYPE_CHECKING:
    from mashal.capture.noted import Obstacle

__all__ = ["Unsplit", "is_call_of_module", "split", "with_forward"]


def split(function: Any, cuts: Iterable[Obstacle], compile_region: Callable[[FunctionType, str], Any]) -> Any:
    """A function with the same meaning whose regions are what `compile_region(region function, name)` returns.

    cuts: what could not be recorded: `frames`, whose first is a line of `function`, and `reads`, whether a tensor's
    value was read there. A region can be split again where another call finds other cuts. Raises Unsplit for functions
    without source, generators, and where no region is left.
    """
    cuts = list(cuts)
    owner = getattr(function, "__self__", None)
    if is_call_of_module(function):
        return _split_module(owner, cuts, compile_region)
    if isinstance(function, MethodType):
        return MethodType(split(function.__func__, cuts, compile_region), function.__self__)
    inside = within(function)
    if inside is not None:
        return inside(split(function.__wrapped__, cuts, compile_region))
    if isinstance(getattr(type(function), "__call__", None), FunctionType):  # noqa: B004
        return split(MethodType(type(function).__call__, function), cuts, compile_region)
    return Split(function, definition_of(function), cuts).build(compile_region)


def is_call_of_module(function: Any) -> bool:
    """Whether this is what calling a module calls, and no `__call__` that its class has written."""
    name = getattr(function, "__name__", "")
    is_call = name == "_call_impl" or (name == "__call__" and not isinstance(function, MethodType))
    return is_call and is_module(getattr(function, "__self__", None))


def _split_module(module: Any, cuts: list[Obstacle], compile_region: Callable[[FunctionType, str], Any]) -> Any:
    """The call of a module with its forward split; hooks run as they are written."""
    written = module.forward
    if is_compiled(written):
        raise Unsplit("its forward is compiled already")
    inside = [cut for cut in cuts if cut.frames and cut.frames[0][0] is code_of(written)]
    forward = split(written, inside, compile_region) if inside else compile_region(written, type(module).__qualname__)
    return with_forward(module, forward)


def with_forward(module: Any, forward: Callable[..., Any]) -> Callable[..., Any]:
    """The call of a module with another forward in the place of its own; one that replaces it later counts at once."""
    written = module.forward

    def call(*args: Any, **options: Any) -> Any:
        now = forward if module.forward == written else module.forward
        return module._call_between_hooks(now, args, options) if module._long_way else now(*args, **options)

    return call
