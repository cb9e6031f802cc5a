"""autocast: which dtype was asked for, and where.

Nothing is cast: operations compute in their operands' dtypes, which is never less exact than what autocast asks for.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any

from mashal.core.dtypes import bfloat16, dtype, float16

__all__ = ["autocast", "autocast_decorator", "custom_bwd", "custom_fwd", "get_autocast_cpu_dtype", "get_autocast_dtype",
           "get_autocast_gpu_dtype", "is_autocast_available", "is_autocast_cache_enabled", "is_autocast_cpu_enabled",
           "is_autocast_enabled", "set_autocast_cache_enabled", "set_autocast_dtype", "set_autocast_enabled"]  # fmt: skip

_DEVICES = ("cpu", "cuda", "mps", "xpu", "hpu", "mtia", "maia", "xla", "privateuseone", "ipu")


class _State:
    enabled: dict[str, bool] = {}
    dtypes: dict[str, dtype] = {"cpu": bfloat16, "cuda": float16, "mps": float16, "xpu": float16}
    cache = True


def is_autocast_available(device_type: str) -> bool:
    """Whether autocast may be used with a device type.

    >>> torch.amp.is_autocast_available("cpu")
    True
    """
    if device_type not in _DEVICES:
        raise RuntimeError(f"autocast: there is no device type {device_type!r}; there are {', '.join(_DEVICES)}")
    return True


def is_autocast_enabled(device_type: str | None = None) -> bool:
    """Whether a block of autocast for a device type (cuda, if none is given) is open."""
    return _State.enabled.get(device_type or "cuda", False)


def is_autocast_cpu_enabled() -> bool:
    """Whether a block of autocast for the cpu is open."""
    return is_autocast_enabled("cpu")


def get_autocast_dtype(device_type: str) -> dtype:
    """The dtype that autocast asks for on a device type."""
    return _State.dtypes.get(device_type, float16)


def get_autocast_cpu_dtype() -> dtype:
    """The dtype that autocast asks for on the cpu."""
    return get_autocast_dtype("cpu")


def get_autocast_gpu_dtype() -> dtype:
    """The dtype that autocast asks for on cuda."""
    return get_autocast_dtype("cuda")


def set_autocast_enabled(device_type: str | bool, enabled: bool | None = None) -> None:
    """Opens or closes autocast for a device type."""
    if isinstance(device_type, bool):
        device_type, enabled = "cuda", device_type
    _State.enabled[device_type] = bool(enabled)


def set_autocast_dtype(device_type: str, dtype: dtype) -> None:
    """Sets the dtype that autocast asks for on a device type."""
    _State.dtypes[device_type] = dtype


def is_autocast_cache_enabled() -> bool:
    """Whether autocast keeps what it has cast."""
    return _State.cache


def set_autocast_cache_enabled(enabled: bool) -> None:
    """Sets whether autocast keeps what it has cast."""
    _State.cache = enabled


class autocast:
    """A block (or a decorated function) in which cheaper arithmetic may be used. Here it is accepted and noted, see the module.

    device_type: "cpu", "cuda", …; on one that isn't there autocast is off, with a warning. dtype: bfloat16 on the cpu by default.
    """

    def __init__(
        self, device_type: str, dtype: dtype | None = None, enabled: bool = True, cache_enabled: bool | None = None
    ):
        if not isinstance(device_type, str):
            raise ValueError(f"Expected `device_type` of type `str`, got: `{type(device_type)}`")
        is_autocast_available(device_type)
        self.device, self.custom_backend_name = device_type, None
        self.fast_dtype = dtype or get_autocast_dtype(device_type)
        if enabled and device_type != "cpu":
            warnings.warn(
                f"User provided device_type of '{device_type}', but {device_type.upper()} is not available. Disabling",
                stacklevel=2,
            )
            enabled = False
        self._enabled = enabled
        self._cache_enabled = _State.cache if cache_enabled is None else cache_enabled
        self._before: list[tuple] = []

    def __enter__(self) -> autocast:
        self._before.append((is_autocast_enabled(self.device), get_autocast_dtype(self.device), _State.cache))
        _State.enabled[self.device], _State.dtypes[self.device] = self._enabled, self.fast_dtype
        _State.cache = self._cache_enabled
        return self

    def __exit__(self, *exception: Any) -> None:
        _State.enabled[self.device], _State.dtypes[self.device], _State.cache = self._before.pop()

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        return autocast_decorator(self, function)


def autocast_decorator(instance: autocast, function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, run within an autocast block."""

    @functools.wraps(function)
    def decorated(*arguments: Any, **options: Any) -> Any:
        with instance:
            return function(*arguments, **options)

    return decorated


def custom_fwd(
    fwd: Callable[..., Any] | None = None, *, device_type: str = "cuda", cast_inputs: dtype | None = None
) -> Any:
    """For Function.forward under autocast: the function as it is, for nothing is cast."""
    return functools.partial(custom_fwd, device_type=device_type, cast_inputs=cast_inputs) if fwd is None else fwd


def custom_bwd(bwd: Callable[..., Any] | None = None, *, device_type: str = "cuda") -> Any:
    """For Function.backward under autocast: the function as it is, for nothing is cast."""
    return functools.partial(custom_bwd, device_type=device_type) if bwd is None else bwd
