"""Forms: everything about a tensor but its data.

A `Form` is (dtype, device, shape, strides), immutable and interned: two tensors alike in these share one
object. So whatever depends on them only (which kernel, which result form, how a shape broadcasts) is worked out once and
found again by the identity of the operands' forms: that is what makes an eager call short.

Interning is for speed alone: the table is emptied when it grows large, so compare what forms hold, never forms.
"""

from __future__ import annotations

from math import prod

from mashal.core.devices import device
from mashal.core.dtypes import dtype
from mashal.core.shapes import Size, Strides, contiguous_strides, is_contiguous

_LIMIT = 1 << 16
_BYTES = 1 << 63

_forms: dict[tuple, Form] = {}


class Form:
    """dtype, device, shape and strides of a tensor, and what follows from them.

    numel: elements. contiguous: row-major without gaps. dense: contiguous up to the order of dimensions.
    """

    __slots__ = ("__weakref__", "contiguous", "device", "dtype", "numel", "rank", "shape", "strides")

    def __init__(self, dtype: dtype, device: device, shape: Size, strides: Strides):
        self.dtype, self.device, self.shape, self.strides = dtype, device, shape, strides
        self.rank = len(shape)
        self.numel = prod(shape)
        self.contiguous = is_contiguous(shape, strides)

    @property
    def nbytes(self) -> int:
        """Bytes of the elements, were they contiguous."""
        return self.numel * self.dtype.itemsize

    @property
    def dense(self) -> bool:
        """Whether the elements fill their memory without gaps or overlap, in whatever order of dimensions."""
        if self.contiguous:
            return True
        order = sorted(range(self.rank), key=self.strides.__getitem__, reverse=True)
        return is_contiguous([self.shape[d] for d in order], [self.strides[d] for d in order])

    @property
    def extent(self) -> int:
        """Elements of storage from the first to the last one, both included."""
        if self.numel == 0:
            return 0
        return 1 + sum((n - 1) * s for n, s in zip(self.shape, self.strides))

    def with_dtype(self, dtype: dtype) -> Form:
        """The same shape and strides with another dtype."""
        return form(dtype, self.device, self.shape, self.strides)

    def viewed(self, shape: tuple[int, ...], strides: Strides) -> Form:
        """The same dtype and device with another shape and strides."""
        return form(self.dtype, self.device, shape, strides)

    def __repr__(self) -> str:
        return f"Form({self.dtype}, {self.device}, {tuple(self.shape)}, {self.strides})"


def form(dtype: dtype, device: device, shape: tuple[int, ...], strides: Strides | None = None) -> Form:
    """The form with these; contiguous if no strides are given."""
    key = (dtype, device, shape, strides)
    found = _forms.get(key)
    if found is None:
        found = _make(dtype, device, shape, strides)
        if len(_forms) > _LIMIT:
            _forms.clear()
        _forms[key] = found
    return found


def _make(dtype: dtype, device: device, shape: tuple[int, ...], strides: Strides | None) -> Form:
    shape = Size(shape)
    for n in shape:
        if n < 0:
            raise RuntimeError(f"Trying to create tensor with negative dimension {n}: {list(shape)}")
    if strides is None:
        if prod(n or 1 for n in shape) * dtype.itemsize >= _BYTES:
            raise RuntimeError(f"Storage size calculation overflowed with sizes={list(shape)}")
        return form(dtype, device, shape, contiguous_strides(shape))
    return Form(dtype, device, shape, tuple(strides))


def like(template: Form, dtype: dtype | None = None) -> Form:
    """The form of a new tensor like a given one: its strides if dense, else compact strides in the same order."""
    dtype = dtype or template.dtype
    if template.contiguous:
        return form(dtype, template.device, template.shape)
    return form(dtype, template.device, template.shape, dense_strides(template.shape, template.strides))


def dense_strides(shape: Size, strides: Strides) -> Strides:
    """Compact strides in the order of the given ones (0-strided dimensions go by place)."""
    order = sorted(range(len(shape)), key=lambda d: (strides[d], shape[d] != 1, -d))
    compact, step = [0] * len(shape), 1
    for d in order:
        compact[d] = step
        step *= max(shape[d], 1)
    return tuple(compact)
