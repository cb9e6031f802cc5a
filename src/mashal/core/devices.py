"""Devices: where a tensor's storage lies and its kernels run.

`device("cpu")`, `device("cuda", 1)`, `device("meta")` (shapes without data) are singletons, equal and the same object
when they name the same place. A device that this build cannot use can be named; allocating on it says why not.
"""

from __future__ import annotations

import threading
from typing import Any

from mashal.machine.observing import changed, settings

TYPES = (
    "cpu", "cuda", "ipu", "xpu", "mkldnn", "opengl", "opencl", "ideep", "hip", "ve", "fpga", "maia", "xla", "lazy", "vulkan", "mps",
    "meta", "hpu", "mtia", "privateuseone",
)  # fmt: skip


class device:
    """A device by type and index: `device("cuda:1")`, `device("cuda", 1)`, `device(1)`.

    >>> device("cpu"), str(device("cuda", 1)), device("meta").index
    (device(type='cpu'), 'cuda:1', None)
    """

    __slots__ = ("index", "type")
    _known: dict[tuple[str, int | None], device] = {}
    type: str
    index: int | None

    def __new__(cls, type: Any = None, index: int | None = None) -> device:
        if isinstance(type, device):
            return type
        if isinstance(type, int) and not isinstance(type, bool):
            type, index = "cuda", type
        if not isinstance(type, str):
            raise TypeError(f"device(): argument 'type' must be str or int, not {_type_name(type)}")
        name, _, number = type.partition(":")
        if number and index is not None:
            raise RuntimeError(f"type (string) must not include an index because index was passed explicitly: {type}")
        if name not in TYPES:
            raise RuntimeError(f"Expected one of {', '.join(TYPES)} device type at start of device string: {name}")
        if number:
            if not number.isdecimal() or (len(number) > 1 and number[0] == "0"):
                raise RuntimeError(f"Invalid device string: '{type}'")
            index = int(number)
        if index is not None and index < 0:
            raise RuntimeError(f"Device index must not be negative, got {index}")
        key = (name, index)
        found = cls._known.get(key)
        if found is None:
            found = object.__new__(cls)
            object.__setattr__(found, "type", name)
            object.__setattr__(found, "index", index)
            cls._known[key] = found
        return found

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"attribute {name!r} of 'device' objects is not writable")

    def __repr__(self) -> str:
        return f"device(type='{self.type}'" + (f", index={self.index})" if self.index is not None else ")")

    def __str__(self) -> str:
        return self.type if self.index is None else f"{self.type}:{self.index}"

    def __reduce__(self):
        return device, (self.type, self.index)

    def __copy__(self) -> device:
        return self

    def __deepcopy__(self, memo: Any) -> device:
        return self

    def __enter__(self) -> device:
        _current.stack = (*_current.stack, self)
        changed()
        return self

    def __exit__(self, *exception: Any) -> None:
        _current.stack = _current.stack[:-1]
        changed()

    def __call__(self, function):
        """As a decorator: the function runs with this device as the default one."""

        def wrapped(*args, **kwargs):
            with self:
                return function(*args, **kwargs)

        return wrapped


def _type_name(value: Any) -> str:
    return type(value).__name__


CPU = device("cpu")
META = device("meta")


class _Current(threading.local):
    stack: tuple[device, ...] = ()


_current = _Current()


def get_default_device() -> device:
    """The device of factory functions that are not told one; AssertionError if it is one of CUDA's, but not which."""
    place = _asked_for()
    return place if place.index is not None else usable(place)


def _asked_for() -> device:
    return _current.stack[-1] if _current.stack else CPU


def default_device() -> device:
    """The device of factory functions that are not told one, if tensors can be made on it; else the error that says why not."""
    return usable(_current.stack[-1]) if _current.stack else CPU


def chosen(place: Any) -> Any:
    """The device that an option names; for None the default one, None if there is none either."""
    return default_device() if place is None and _current.stack else place


def set_default_device(to: Any) -> None:
    """Makes a device the default of factory functions (None: cpu again)."""
    _current.stack = () if to is None else (device(to),)
    changed()


settings.append(_asked_for)


def usable(place: device) -> device:
    """The device itself if tensors can be made on it; else PyTorch's error for this build."""
    if place.type == "cpu" or place.type == "meta":
        if place.type == "cpu" and place.index not in (None, 0):
            return CPU
        return CPU if place.type == "cpu" else META
    if place.type in ("cuda", "xpu", "mtia"):
        raise AssertionError(f"Torch not compiled with {place.type.upper()} enabled")
    if place.type == "mps":
        raise RuntimeError("mps: this build has no MPS backend; the nearest device is 'cpu'")
    raise RuntimeError(f"{place.type}: there is no such device in this build; the nearest one is 'cpu'")
