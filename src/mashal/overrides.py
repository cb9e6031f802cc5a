"""torch.overrides: operations on what behaves like a tensor, or is a subclass of one."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from mashal.core.tensor import Tensor
from mashal.nearest import nearest
from mashal.ops.define import overrides

__all__ = [
    "get_default_nowrap_functions", "handle_torch_function", "has_torch_function", "has_torch_function_unary",
    "has_torch_function_variadic", "is_tensor_like", "is_tensor_method_or_property", "resolve_name", "wrap_torch_function",
]  # fmt: skip


def has_torch_function(relevant_args: Iterable[Any]) -> bool:
    """Whether one of these wants to be asked (has a __torch_function__ of its own)."""
    return bool(overrides(tuple(relevant_args)))


def has_torch_function_unary(obj: Any) -> bool:
    """`has_torch_function` of one object."""
    return bool(overrides((obj,)))


def has_torch_function_variadic(*objects: Any) -> bool:
    """`has_torch_function` of several objects."""
    return bool(overrides(objects))


def handle_torch_function(
    public_api: Callable[..., Any], relevant_args: Iterable[Any], *args: Any, **kwargs: Any
) -> Any:
    """What the first of relevant_args that knows how makes of a call; TypeError if none does."""
    kinds = overrides(tuple(relevant_args))
    for kind in kinds:
        answer = kind.__torch_function__(public_api, tuple(kinds), args, kwargs)
        if answer is not NotImplemented:
            return answer
    names = ", ".join(kind.__name__ for kind in kinds)
    raise TypeError(
        f"no implementation found for '{resolve_name(public_api)}' on types that implement __torch_function__: [{names}]"
    )


def wrap_torch_function(dispatcher: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator for functions of one's own: dispatcher(*args) says which arguments are asked first."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            relevant = tuple(dispatcher(*args, **kwargs))
            if has_torch_function(relevant):
                return handle_torch_function(wrapped, relevant, *args, **kwargs)
            return function(*args, **kwargs)

        wrapped.__name__, wrapped.__doc__ = function.__name__, function.__doc__
        return wrapped

    return decorate


def is_tensor_like(inp: Any) -> bool:
    """Whether inp is a tensor or has a __torch_function__."""
    return type(inp) is Tensor or hasattr(inp, "__torch_function__")


def is_tensor_method_or_property(func: Any) -> bool:
    """Whether a function is one of Tensor's."""
    return getattr(Tensor, getattr(func, "__name__", ""), None) is func or getattr(func, "__name__", "") == "__get__"


def resolve_name(f: Any) -> str:
    """What a function is called."""
    return f if isinstance(f, str) else f"torch.{getattr(f, '__qualname__', f)}"


def get_default_nowrap_functions() -> set[Any]:
    """The functions whose results a subclass gives out as they are."""
    return set()


__getattr__ = nearest(__name__)
