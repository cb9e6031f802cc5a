"""Tensors as Python's numbers and sequences."""

from __future__ import annotations

import operator
from collections.abc import Iterator
from typing import Any

from mashal.core.dlpack import dlpack, dlpack_device
from mashal.core.elements import element, to_list
from mashal.core.interop import array_of, numpy, numpy_array, to_numpy
from mashal.core.tensor import Tensor
from mashal.core.typed_storage import storage, typed_storage
from mashal.errors import message


def to_bool(self: Tensor) -> bool:
    """Whether the one element is not zero; RuntimeError for a tensor of other than one element."""
    if self.form.numel != 1:
        many = "no values" if self.form.numel == 0 else "more than one value"
        raise RuntimeError(f"Boolean value of Tensor with {many} is ambiguous")
    return bool(element(self))


def to_int(self: Tensor) -> int:
    """The one element as an int, without what is behind the point. RuntimeError for a complex number that is not real."""
    return int(_real(element(self), "int64_t"))


def _real(x: Any, kind: str) -> Any:
    if not isinstance(x, complex):
        return x
    if x.imag:
        raise RuntimeError(
            message("item", f"value cannot be converted to type {kind} without overflow", f"it is {x}; take .real")
        )
    return x.real


def to_float(self: Tensor) -> float:
    """The one element as a float. RuntimeError for a complex number that is not real."""
    return float(_real(element(self), "float"))


def to_complex(self: Tensor) -> complex:
    """The one element as a complex number."""
    return complex(element(self))


def to_index(self: Tensor) -> int:
    """The one element of an integer tensor as an index; TypeError for other dtypes."""
    if self.form.numel != 1 or self.form.dtype.kind not in "iub":
        raise TypeError("only integer tensors of a single element can be converted to an index")
    return operator.index(int(element(self)))


def iterate(self: Tensor) -> Iterator[Any]:
    """The tensors along the first dimension."""
    if not self.form.rank:
        raise TypeError("iteration over a 0-d tensor")
    return iter(self.unbind(0))


def reverse(self: Tensor) -> Tensor:
    """The tensor with its first dimension from back to front."""
    return self.flip(0) if self.form.rank else self


def array_wrapped(self: Tensor, array: Any, context: Any = None, return_scalar: bool = False) -> Tensor:
    """What NumPy's functions make of a tensor, as a tensor."""
    return numpy_array(numpy.asarray(array))


def contains(self: Tensor, value: Any) -> bool:
    """Whether an element equals a number (or a tensor, broadcast)."""
    if not isinstance(value, (Tensor, bool, int, float, complex)):
        raise RuntimeError(
            message("in", f"a {type(value).__name__} is no element of a tensor", "ask for a number or a tensor")
        )
    return bool((self == value).any())


METHODS = {
    "item": element, "tolist": to_list, "numpy": to_numpy, "__array__": array_of, "__dlpack__": dlpack, "__dlpack_device__": dlpack_device,
    "_typed_storage": typed_storage, "storage": storage, "__bool__": to_bool, "__int__": to_int, "__float__": to_float,
    "__complex__": to_complex, "__index__": to_index, "__iter__": iterate, "__reversed__": reverse, "__contains__": contains,
    "__array_priority__": 1000, "__array_wrap__": array_wrapped,
}  # fmt: skip
for _name, _method in METHODS.items():
    setattr(Tensor, _name, _method)
