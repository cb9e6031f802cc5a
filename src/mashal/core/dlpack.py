"""DLPack: tensors from other libraries and for them, without a copy.

A tensor travels as a capsule that holds a C structure: the data's address, shape, strides, dtype, and whom to tell
when it is no longer needed. Since DLPack 1.0 the structure begins with its version and has flags; both kinds are given
and taken.

What we give keeps the storage alive by its context: a tuple of the storage and the bytes of the structure. Deleters and
destructors are machine code, so they may be called from any thread and while Python ends.

Stands on buffers, nested and dlpack_capsules.
"""

from __future__ import annotations

import ctypes
from typing import Any

from mashal.core import devices, dtypes
from mashal.core.buffers import warn_read_only
from mashal.core.devices import CPU, usable
from mashal.core.dlpack_capsules import NEW, OLD, Kind, Managed, TensorDescription, Versioned
from mashal.core.dtypes import DTYPES, dtype
from mashal.core.forms import form
from mashal.core.lending import lent
from mashal.core.nested import contiguous_copy
from mashal.core.shapes import contiguous_strides
from mashal.core.tensor import Tensor, make
from mashal.errors import message
from mashal.machine import memory

__all__ = ["dlpack", "dlpack_device", "from_dlpack", "to_dlpack"]

VERSION = (1, 0)  # what we give; all of major version 1 is taken
_READ_ONLY, _COPIED = 1, 2
_HOSTS = (1, 3)  # device types whose memory we can see: cpu, and main memory that CUDA has pinned
_CPU = (1, 0)
_CODES = {"i": 0, "u": 1, "f": 2, "c": 5, "b": 6}
_BFLOAT = 4
_CODE_OF = {d: (_BFLOAT if d is dtypes.bfloat16 else _CODES[d.kind], d.itemsize * 8) for d in DTYPES}
_DTYPE_OF = {code: d for d, code in _CODE_OF.items()}


# ---------------------------------------------------------------- out
def dlpack_device(x: Tensor) -> tuple[int, int]:
    """Tensor.__dlpack_device__: DLPack's number of the device's type, and its index; (1, 0) for the cpu."""
    if x.form.device is not CPU:
        raise ValueError(message("__dlpack_device__", f"Unknown device type {x.form.device.type} for Dlpack"))
    return _CPU


def dlpack(
    x: Tensor,
    *,
    stream: Any = None,
    max_version: tuple[int, int] | None = None,
    dl_device: tuple[int, int] | None = None,
    copy: bool | None = None,
) -> Any:
    """Tensor.__dlpack__: a capsule that another library makes a tensor of, upon the same memory.

    max_version: the newest DLPack that the other side knows; before (1, 0), or None, the old structure is given.
    dl_device: where the other side wants it. copy: True gives a copy, otherwise the memory itself.
    BufferError: it requires gradients, has no data, or is wanted elsewhere.
    """
    if x.node is not None:
        raise BufferError(message("__dlpack__", "Can't export tensors that require gradient", "use tensor.detach()"))
    if x.form.device is not CPU:
        raise BufferError(message("__dlpack__", f"Cannot pack tensors on {x.form.device}"))
    if stream is not None:
        raise AssertionError(message("__dlpack__", f"stream should be None on cpu, not {stream!r}"))
    if dl_device is not None and tuple(map(int, dl_device)) != _CPU:
        raise BufferError(
            message("__dlpack__", f"a tensor on the cpu cannot be given as one on device {tuple(dl_device)}")
        )
    if copy:
        x = contiguous_copy(x, x.form.dtype)
    memory.pin(x.capsule)
    if max_version is None or max_version[0] < 1:
        return _given(x, OLD, Managed())
    return _given(x, NEW, Versioned(*VERSION, flags=_COPIED if copy else 0))


def _given(x: Tensor, kind: Kind, managed: Any) -> Any:
    """A capsule with the structure filled in. Its context is a reference to all that must stay alive."""
    f, t = x.form, managed.tensor
    sizes = (ctypes.c_int64 * (2 * f.rank + 1))(*f.shape, *(s if n > 1 else 1 for n, s in zip(f.shape, f.strides)))
    address = ctypes.addressof(sizes)
    t.data = memory.address_of(x.capsule) + x.offset * f.dtype.itemsize
    t.device_type, t.device_id = _CPU
    t.ndim, t.lanes, t.byte_offset = f.rank, 1, 0
    t.code, t.bits = _CODE_OF[f.dtype]
    t.shape = ctypes.cast(address, ctypes.POINTER(ctypes.c_int64))
    t.strides = ctypes.cast(address + 8 * f.rank, ctypes.POINTER(ctypes.c_int64))
    context = (x.capsule, sizes, managed)
    managed.context, managed.deleter = id(context), kind.delete
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(context))
    return kind.give(ctypes.addressof(managed))


def to_dlpack(x: Tensor) -> Any:
    """A capsule of the kind from before DLPack 1.0, to be taken once."""
    return dlpack(x)


# ---------------------------------------------------------------- in
def from_dlpack(ext_tensor: Any, *, device: Any = None, copy: bool | None = None) -> Tensor:
    """The tensor that is another library's tensor: what one writes the other sees.

    ext_tensor: an object with __dlpack__ and __dlpack_device__, or a capsule that one has given.
    copy: True copies; False raises where a copy were needed. BufferError: it lies where we cannot see it, or has a dtype
    or strides that tensors don't have.

    >>> from mashal.core.interop import numpy
    >>> from_dlpack(numpy.arange(3)).dtype
    torch.int64
    """
    if device is not None and (place := usable(devices.device(device))) is not CPU:
        raise BufferError(message("from_dlpack", f"memory cannot be shared with device {place}"))
    capsule = _asked(ext_tensor, copy) if hasattr(ext_tensor, "__dlpack__") else ext_tensor
    result, copied = _taken(capsule)
    return contiguous_copy(result, result.form.dtype) if copy and not copied else result


def _asked(producer: Any, copy: bool | None) -> Any:
    """The capsule that an object gives."""
    if hasattr(producer, "__dlpack_device__"):
        kind, index = producer.__dlpack_device__()
        if int(kind) not in _HOSTS:
            raise BufferError(
                message(
                    "from_dlpack",
                    f"the tensor lies on device ({int(kind)}, {index}) of DLPack, which this build cannot see",
                )
            )
    wishes: dict[str, Any] = {} if copy is None else {"copy": copy}
    try:
        return producer.__dlpack__(max_version=VERSION, **wishes)
    except TypeError:  # from before DLPack 1.0
        return producer.__dlpack__()


def _taken(capsule: Any) -> tuple[Tensor, bool]:
    """The tensor of a capsule, and whether it is a copy already. If that fails, the capsule is as it was."""
    if type(capsule).__name__ != "PyCapsule":
        raise TypeError(
            message("from_dlpack", f"a tensor with __dlpack__ or a capsule is expected, not {type(capsule).__name__}")
        )
    kind = NEW if NEW.see(capsule) else OLD
    address = kind.see(capsule)
    if not address:
        raise RuntimeError(
            message(
                "from_dlpack",
                "the capsule holds no DLPack tensor, or one that was taken already",
                "a capsule can be taken once",
            )
        )
    managed = kind.structure.from_address(address)
    flags = 0
    if kind is NEW:
        if managed.major != VERSION[0]:
            raise BufferError(
                message("from_dlpack", f"the tensor comes by DLPack {managed.major}.{managed.minor}; 1.x is known here")
            )
        flags = managed.flags
    f, data = _described(managed.tensor)
    if flags & _READ_ONLY:
        warn_read_only("DLPack tensor")
    owner = kind.take(capsule)
    return make(lent(data, f.extent * f.dtype.itemsize, owner), 0, f), bool(flags & _COPIED)


def _described(t: TensorDescription) -> tuple[Any, int]:
    """The form that a structure describes, and the data's address."""
    if t.device_type not in _HOSTS:
        raise BufferError(
            message(
                "from_dlpack",
                f"the tensor lies on device ({t.device_type}, {t.device_id}) of DLPack, which this build cannot see",
            )
        )
    d: dtype | None = _DTYPE_OF.get((t.code, t.bits)) if t.lanes == 1 else None
    if d is None:
        raise BufferError(
            message("from_dlpack", f"no dtype has DLPack's code {t.code} with {t.bits} bits and {t.lanes} lanes")
        )
    shape = tuple(t.shape[: t.ndim]) if t.ndim else ()
    strides = tuple(t.strides[: t.ndim]) if t.ndim and t.strides else contiguous_strides(shape)
    if any(s < 0 and n > 1 for n, s in zip(shape, strides)):
        raise BufferError(
            message("from_dlpack", f"strides {strides} are negative, which tensors cannot have; copy it first")
        )
    strides = tuple(max(s, 0) for s in strides)
    return form(d, CPU, shape, strides), (t.data or 0) + t.byte_offset
