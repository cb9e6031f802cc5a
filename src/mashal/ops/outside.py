"""The door to NumPy: what its LAPACK and its FFT compute of tensors.

`outside(function, *operands)` hands over the tensors' memory as arrays (nothing is copied, nothing recorded), and makes new
tensors of what the function gives. It is the only such door; everything else is computed by kernels.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mashal.core.devices import META
from mashal.core.forms import form
from mashal.core.interop import copied, dtype_of, numpy, numpy_dtype, reading
from mashal.core.tensor import Tensor, empty
from mashal.ops.changes import refuse_recorded_out, write_out
from mashal.ops.elementwise import any_recorded

__all__ = ["finish", "outside"]


def outside(function: Callable[..., Any], *operands: Any, **options: Any) -> Any:
    """The array or tuple of arrays that function(*arrays, **options) gives, as new contiguous tensors.

    operands: tensors become arrays, which function must not write into; all else is handed over as it is.
    """
    device = next(x.form.device for x in operands if isinstance(x, Tensor))
    read, made_of = (_standing, _shaped) if device.type == "meta" else (reading, copied)
    arrays = [read(x) if isinstance(x, Tensor) else x for x in operands]
    with numpy.errstate(all="ignore"):
        made = function(*arrays, **options)
    return tuple(map(made_of, made)) if isinstance(made, tuple) else made_of(made)


def _standing(x: Tensor) -> Any:
    """An array of a meta tensor's shape and dtype: ones on matrices' diagonals."""
    kind = x.form
    array = numpy.zeros(kind.shape, numpy_dtype(kind.dtype))
    if kind.rank > 1:
        array[...] = numpy.eye(*kind.shape[-2:])
    return array if kind.dtype.kind in "fc" and kind.rank > 1 else array + array.dtype.type(1)


def _shaped(array: Any) -> Tensor:
    """The meta tensor of an array's shape and dtype."""
    return empty(form(dtype_of(array.dtype), META, array.shape))


def finish(name: str, out: Any, made: Any, kind: Any = None) -> Any:
    """What a function returns: its results, or out= (a tensor, or one for each result) with them; kind: their named type."""
    several = isinstance(made, tuple)
    if out is not None:
        results = made if several else (made,)
        if any_recorded(results):
            refuse_recorded_out(name)
        targets = tuple(out) if several else (out,)
        if len(targets) != len(results):
            raise TypeError(f"{name}(): argument 'out' must be a tuple of {len(results)} tensors, not {len(targets)}")
        written = tuple(write_out(name, target, result) for target, result in zip(targets, results))
        made = written if several else written[0]
    return made if kind is None else kind(*made)
