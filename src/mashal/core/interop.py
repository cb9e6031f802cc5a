"""Arrays as tensors, and tensors as arrays, without a copy.

`numpy` is NumPy itself, imported at the first use of one of its names, for `import mashal` shall not pay for it. Whether
something is an array is asked without importing: as long as NumPy isn't loaded, nothing is.

What shares memory keeps its owner alive, in both directions. The surprise: from then on the storage cannot be resized, for
the other side has its address. Other memory: `core.buffers`; other libraries' tensors: `core.dlpack`.

Stands on lending and tensor.
"""

from __future__ import annotations

import ctypes
import sys
from typing import Any

from mashal.core import dtypes
from mashal.core.buffers import warn_read_only
from mashal.core.devices import CPU
from mashal.core.dtypes import DTYPES, dtype
from mashal.core.forms import Form, form
from mashal.core.lending import lent, pinned
from mashal.core.tensor import Tensor, empty, make
from mashal.errors import message
from mashal.later import later
from mashal.machine import memory
from mashal.machine.observing import watch

__all__ = [
    "array_of", "copied", "dtype_of", "from_numpy", "is_array", "is_array_scalar", "numpy", "numpy_array", "numpy_dtype",
    "reading", "shares_memory", "to_numpy",
]  # fmt: skip


numpy: Any = later("numpy")

_BY_NAME = {d.numpy_name: d for d in DTYPES if d.numpy_name}
_known: dict[Any, dtype] = {}
"""numpy.dtype -> dtype, for asking a numpy.dtype's name takes long."""
_SUPPORTED = ", ".join(_BY_NAME)


# ---------------------------------------------------------------- what it is
def _loaded(name: str) -> Any:
    """A class of NumPy's; the empty tuple, of which nothing is an instance, if NumPy isn't loaded."""
    return getattr(sys.modules.get("numpy"), name, ())


def is_array(obj: Any) -> bool:
    """Whether obj is a numpy.ndarray."""
    return isinstance(obj, _loaded("ndarray"))


def is_array_scalar(obj: Any) -> bool:
    """Whether obj is one of NumPy's scalars, such as numpy.float32(1)."""
    return isinstance(obj, _loaded("generic"))


def shares_memory(obj: Any) -> str:
    """How an object offers its memory: "array", "dlpack", "interface", "buffer", or "" if it doesn't."""
    if is_array(obj):
        return "array"
    if hasattr(obj, "__dlpack__"):
        return "dlpack"
    if hasattr(obj, "__array_interface__"):
        return "interface"
    try:
        memoryview(obj).release()
    except TypeError:
        return ""
    return "buffer"


def dtype_of(kind: Any) -> dtype:
    """The dtype of a numpy.dtype (or of what names one); TypeError if there is none.

    >>> dtype_of("float32")
    torch.float32
    """
    kind = numpy.dtype(kind)
    found = _known.get(kind)
    if found is None:
        found = _BY_NAME.get(kind.name)
        if found is None:
            wrong = f"can't convert np.ndarray of type {kind}"
            raise TypeError(message("from_numpy", wrong, f"the supported types are {_SUPPORTED}"))
        _known[kind] = found
    return found


def numpy_dtype(d: dtype) -> Any:
    """The numpy.dtype of a dtype; TypeError for bfloat16 and complex32, which NumPy doesn't have."""
    if not d.numpy_name:
        name = {"bfloat16": "BFloat16", "complex32": "ComplexHalf"}.get(d.name, d.name.capitalize())
        raise TypeError(
            message(
                "numpy",
                f"Got unsupported ScalarType {name}: NumPy has no {d.name}",
                "convert it first, e.g. with .float()",
            )
        )
    return numpy.dtype(d.numpy_name)


# ---------------------------------------------------------------- arrays as tensors
def from_numpy(array: Any) -> Tensor:
    """The tensor that is an array's memory: what one writes the other sees.

    array: any shape, of a dtype that tensors have, in native byte order, no stride negative.
    TypeError: no array, or its dtype. ValueError: its strides or byte order.

    >>> from mashal.core.interop import numpy
    >>> from_numpy(numpy.zeros((2, 3), "float32")).shape
    torch.Size([2, 3])
    """
    if not is_array(array):
        raise TypeError(message("from_numpy", f"expected np.ndarray (got {type(array).__name__})"))
    if not array.flags.writeable:
        warn_read_only("NumPy array")
    return numpy_array(array)


def numpy_array(array: Any) -> Tensor:
    """As `from_numpy`, for what is known to be an array, writable or not."""
    d = dtype_of(array.dtype)
    if not array.dtype.isnative:
        raise ValueError(
            message(
                "from_numpy",
                f"the array's byte order, {array.dtype.str}, is not the native one",
                "array.astype(array.dtype.newbyteorder('='))",
            )
        )
    strides = []
    for n, step in zip(array.shape, array.strides):
        if step < 0 and n > 1:
            raise ValueError(
                message(
                    "from_numpy",
                    f"at least one stride in the given numpy array is negative: {array.strides}",
                    "copy the array, array.copy(), first",
                )
            )
        if step % d.itemsize and n > 1:
            raise ValueError(
                message(
                    "from_numpy",
                    f"the strides {array.strides} are no multiples of the element's {d.itemsize} bytes",
                    "copy the array first",
                )
            )
        strides.append(max(step, 0) // d.itemsize)
    kind = form(d, CPU, array.shape, tuple(strides))
    return make(lent(array.ctypes.data, kind.extent * d.itemsize, array), 0, kind)


def copied(array: Any, d: dtype | None = None) -> Tensor:
    """A new contiguous tensor with an array's elements, in another dtype if one is given."""
    source = dtype_of(array.dtype)
    d = d or source
    if d is dtypes.bfloat16:
        array, cast = _as_bfloat16(array), "uint16"
    elif d is dtypes.complex32:
        parts = numpy.ascontiguousarray(array, "complex64").view("float32")
        array, cast = parts.astype("float16"), "float16"
    else:
        cast = d.numpy_name
    shape = array.shape if d is not dtypes.complex32 else None
    result = empty(form(d, CPU, shape if shape is not None else (*array.shape[:-1], array.shape[-1] // 2)))
    if result.form.numel:
        array = numpy.ascontiguousarray(array, cast)
        ctypes.memmove(result.data_ptr(), array.ctypes.data, result.form.nbytes)
    return result


def _as_bfloat16(array: Any) -> Any:
    bits = numpy.ascontiguousarray(array, "float32").reshape(array.shape).view("uint32")
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
    return numpy.where(bits & 0x7FFFFFFF > 0x7F800000, 0x7FC0, rounded).astype("uint16")


# ---------------------------------------------------------------- tensors as arrays
class _Interface:
    """What NumPy reads a tensor's memory by; it keeps the storage alive, and the array keeps it."""

    __slots__ = ("__array_interface__", "capsule")

    def __init__(self, capsule: Any, interface: dict):
        self.capsule, self.__array_interface__ = capsule, interface


def to_numpy(x: Tensor, *, force: bool = False) -> Any:
    """The array that is a tensor's memory: what one writes the other sees.

    force: detaches a tensor that requires gradients (and copies what is not in main memory).
    RuntimeError: it requires gradients. TypeError: not on the cpu, or of a dtype that NumPy doesn't have.
    """
    if x.node is not None and not force:
        raise RuntimeError(
            message("numpy", "Can't call numpy() on Tensor that requires grad", "Use tensor.detach().numpy() instead")
        )
    kind = x.form
    if kind.device is not CPU:
        raise TypeError(
            message(
                "numpy",
                f"can't convert {kind.device} device type tensor to numpy",
                "Use Tensor.cpu() to copy the tensor to host memory first",
            )
        )
    if not kind.numel:
        return numpy.empty(kind.shape, numpy_dtype(kind.dtype))
    found = _layouts.get(kind)
    if found is None:
        if len(_layouts) > 4096:
            _layouts.clear()
        d, size = numpy_dtype(kind.dtype), kind.dtype.itemsize
        strides = None if kind.contiguous else tuple([s * size for s in kind.strides])
        found = _layouts[kind] = (
            ctypes.c_char * (kind.extent * size),
            size,
            tuple(kind.shape),
            d,
            strides,
            numpy.ndarray,
        )
    bytes, size, shape, d, strides, ndarray = found
    capsule = x.capsule
    if watch.recorder is not None:
        watch.recorder.address_taken(capsule)
    buffer = bytes.from_address(pinned(capsule) + x.offset * size)
    buffer.owner = capsule  # the array keeps the buffer alive, and this the storage
    return ndarray(shape, d, buffer, 0, strides)


_layouts: dict[Form, tuple] = {}
"""How an array reads memory, for each form: a type of its bytes, the size of an element, shape, numpy.dtype and strides."""


def reading(x: Tensor) -> Any:
    """The array that is a tensor's memory, to be read at once: nothing keeps the storage from being resized later."""
    kind = x.form
    if kind.device is not CPU:
        raise NotImplementedError(
            message("numpy", f"there is no memory to read on {kind.device}", "use Tensor.cpu() first")
        )
    d = numpy_dtype(kind.dtype)
    if not kind.numel:
        return numpy.empty(kind.shape, d)
    return numpy.asarray(_Interface(x.capsule, _described(x, d)))


def _described(x: Tensor, d: Any) -> dict:
    kind = x.form
    size = kind.dtype.itemsize
    return {
        "version": 3,
        "typestr": d.str,
        "shape": tuple(kind.shape),
        "data": (memory.address_of(x.capsule) + x.offset * size, False),
        "strides": None if kind.contiguous else tuple(s * size for s in kind.strides),
    }


def array_of(x: Tensor, dtype: Any = None, copy: bool | None = None) -> Any:
    """Tensor.__array__: the tensor as an array, in another dtype if one is given.

    copy: True copies, None if need be, False never (ValueError if need be).
    """
    array = to_numpy(x)
    if dtype is not None and array.dtype != numpy.dtype(dtype):
        if copy is False:
            raise ValueError(message("__array__", f"a copy is needed to convert {x.dtype} to {numpy.dtype(dtype)}"))
        return array.astype(dtype)
    return array.copy() if copy else array
