"""What subclasses of Tensor inherit: operations on them give the subclass, unless they say otherwise.

`__torch_function__(func, types, args, kwargs)` is asked for every operation on a subclass. The default runs the operation
and makes the results objects of the subclass; inside it nothing is asked again.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from mashal.core.tensor import Tensor, as_subclass
from mashal.ops.define import dispatch
from mashal.ops.interception import arm

__all__ = ["DisableTorchFunctionSubclass", "torch_function"]


@contextlib.contextmanager
def DisableTorchFunctionSubclass() -> Iterator[None]:
    """Inside the block operations on subclasses are operations on plain tensors."""
    before, dispatch.enabled = dispatch.enabled, False
    try:
        yield
    finally:
        dispatch.enabled = before


def torch_function(
    cls: type, func: Callable[..., Any], types: Any, args: tuple = (), kwargs: dict | None = None
) -> Any:
    """Runs func on the subclass's data; plain tensors among the results become objects of the subclass.

    NotImplemented if another operand's class is not an ancestor.
    """
    if not all(issubclass(cls, t) for t in types):
        return NotImplemented
    with DisableTorchFunctionSubclass():
        return _converted(cls, func(*args, **(kwargs or {})))


def _converted(cls: type, result: Any) -> Any:
    if isinstance(result, Tensor):
        return result if isinstance(result, cls) else as_subclass(cls, result)
    if isinstance(result, tuple) and hasattr(result, "_fields"):
        return type(result)(*(_converted(cls, x) for x in result))
    if isinstance(result, (tuple, list)):
        return type(result)(_converted(cls, x) for x in result)
    return result


Tensor.__torch_function__ = classmethod(torch_function)  # type: ignore[attr-defined]


def _noticed(cls: type, **options: Any) -> None:
    """A program's own subclass of Tensor wants to be asked: from now on calls are looked at."""
    super(Tensor, cls).__init_subclass__(**options)  # type: ignore
    if not cls.__module__.startswith("mashal."):
        arm()


Tensor.__init_subclass__ = classmethod(_noticed)  # type: ignore[assignment]
