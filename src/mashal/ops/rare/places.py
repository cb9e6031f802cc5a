"""Where a flat index lies, and a number that stands for all elements: unravel_index, hash_tensor."""

from __future__ import annotations

from typing import Any

from mashal.core.dtypes import float64, int64, uint64
from mashal.core.tensor import Tensor
from mashal.errors import message
from mashal.ops.bitwise import bitwise_xor
from mashal.ops.copying import check_tensor, converted
from mashal.ops.define import spelled, write_out
from mashal.ops.joining import cat
from mashal.ops.parts import narrow
from mashal.ops.reducing import rows_along
from mashal.ops.run import scalar_name

# The methods of tensors are attached above this floor: what is written with them here is checked by tests, not types.
# pyright: reportAttributeAccessIssue=false, reportOperatorIssue=false


@spelled(("torch",))
def unravel_index(indices: Tensor, shape: Any) -> tuple[Tensor, ...]:
    """The place in a shape of each flat index, as an index tensor for each dimension.

    indices: integers of any shape. shape: an int or ints, not negative (ValueError).

    >>> torch.unravel_index(torch.tensor([3, 5]), (2, 3))
    (tensor([1, 1]), tensor([0, 2]))
    """
    if not isinstance(indices, Tensor) or indices.form.dtype.kind not in "iu":
        found = indices.dtype if isinstance(indices, Tensor) else type(indices).__name__
        raise TypeError(message("unravel_index", f"expected indices of an integer dtype, but got {found}"))
    sizes = [shape] if isinstance(shape, int) else list(shape)
    for n in sizes:
        if not isinstance(n, int):
            raise TypeError(
                message("unravel_index", f"expected shape to be int or sequence of ints, but got {n!r} in it")
            )
        if n < 0:
            raise ValueError(message("unravel_index", f"shape cannot have negative values, but got {tuple(sizes)}"))
    indices = converted(indices, int64)
    places: list[Tensor] = []
    indices, step = indices.to(int64), 1
    for n in reversed(sizes):
        places.append((indices // step) % n)
        step *= n
    return tuple(reversed(places))


@spelled()
def hash_tensor(
    input: Tensor, dim: Any = (), *, keepdim: bool = False, mode: int = 0, out: Tensor | None = None
) -> Tensor:
    """The bits of all elements, or of those along dim, joined by exclusive or; uint64.

    Integers count as int64, floating numbers as float64.

    >>> torch.hash_tensor(torch.tensor([1, 2, 4]))
    tensor(7, dtype=torch.uint64)
    """
    check_tensor("hash_tensor", input)
    if mode != 0:
        raise RuntimeError(message("hash_tensor", f"unknown mode {mode}", "there is mode 0"))
    if input.form.dtype.kind == "c":
        raise NotImplementedError(message("hash_tensor", f"not implemented for '{scalar_name(input.form.dtype)}'"))
    if not input.form.numel and dim in ((), None):
        raise RuntimeError(message("hash_tensor", "an empty input has no hash as a whole", "specify the dim"))
    rows = rows_along("hash_tensor", input.form.shape, dim, keepdim)
    bits = converted(input.detach(), float64 if input.form.dtype.kind == "f" else int64).contiguous().view(int64)
    for d in rows.dims:
        bits = _folded(bits, d)
    result = bits.reshape(rows.shape).view(uint64)
    return result if out is None else write_out("hash_tensor", out, result)


def _folded(x: Tensor, d: int) -> Tensor:
    """The elements along d joined: the two halves with each other, until one is left."""
    n = x.form.shape[d]
    if n == 0:
        shape = list(x.form.shape)
        shape[d] = 1
        return x.new_zeros(shape)
    while n > 1:
        half = n // 2
        joined = bitwise_xor(narrow(x, d, 0, half), narrow(x, d, half, half))
        x = cat([joined, narrow(x, d, n - 1, 1)], d) if n % 2 else joined
        n = x.form.shape[d]
    return x
