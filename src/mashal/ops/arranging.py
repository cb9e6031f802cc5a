"""The same elements, arranged anew: flipped, rolled, repeated, as diagonals; all copies."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations as _choose
from itertools import combinations_with_replacement as _choose_again
from typing import Any

from mashal.core import dtypes
from mashal.core.devices import CPU
from mashal.core.forms import form
from mashal.core.nested import tensor_from_data
from mashal.core.shapes import wrap_dim, wrap_dims
from mashal.core.tensor import Tensor, empty
from mashal.errors import message
from mashal.ops.copying import check_tensor, converted, copied_as, copy_into, zeros_of
from mashal.ops.define import DEFINITIONS, recorded, refuse_recorded_out, spelled, write_out
from mashal.ops.joining import cat, stack
from mashal.ops.parts import diagonal, slice_op
from mashal.ops.selecting import index_select
from mashal.ops.view_copies import COPIES
from mashal.ops.views import atleast_2d, check_sizes, expand, reshape, several, transpose, unsqueeze


# ---------------------------------------------------------------- flipped
def _reversed_index(n: int) -> Tensor:
    found = _reversals.get(n)
    if found is None:
        if len(_reversals) > 256:
            _reversals.clear()
        found = _reversals[n] = tensor_from_data(range(n - 1, -1, -1))
    return found


_reversals: dict[int, Tensor] = {}


@recorded("FlipBackward0")
def _flip(x: Tensor, dims: tuple[int, ...]) -> tuple[Tensor, tuple]:
    y = x
    for d in dims:
        if y.form.rank and y.form.shape[d] > 1:
            y = index_select(y, d, _reversed_index(y.form.shape[d]))
    return (copied_as(x, form(x.form.dtype, x.form.device, x.form.shape)) if y is x else y), (dims,)


@_flip.backward
def _(node: Any, g: Tensor) -> tuple:
    return (_flip(g, *node.kept()),)


@spelled()
def flip(input: Tensor, *dims: Any, **options: Any) -> Tensor:
    """A copy with the order of some dimensions reversed.

    >>> torch.flip(torch.tensor([1, 2, 3]), (0,))
    tensor([3, 2, 1])
    """
    return _flip(input, wrap_dims("flip", several(dims or (options["dims"],)), input.form.rank))


@spelled()
def fliplr(input: Tensor) -> Tensor:
    """A copy with dim 1 reversed."""
    if input.form.rank < 2:
        raise RuntimeError(message("fliplr", f"Input must be >= 2-d, got {tuple(input.shape)}"))
    return _flip(input, (1,))


@spelled()
def flipud(input: Tensor) -> Tensor:
    """A copy with dim 0 reversed."""
    if input.form.rank < 1:
        raise RuntimeError(message("flipud", "Input must be >= 1-d, got a 0-d tensor"))
    return _flip(input, (0,))


@recorded("Rot90Backward0")
def _rot90(x: Tensor, k: int, a: int, b: int) -> tuple[Tensor, tuple]:
    k %= 4
    y = (
        flip(x, (a, b))
        if k == 2
        else flip(transpose(x, a, b), (a,))
        if k == 1
        else flip(transpose(x, a, b), (b,))
        if k
        else x
    )
    return copied_as(y, form(y.form.dtype, y.form.device, y.form.shape)) if y is x else y, (k, a, b)


@_rot90.backward
def _(node: Any, g: Tensor) -> tuple:
    k, a, b = node.kept()
    return (_rot90(g, -k, a, b),)


@spelled()
def rot90(input: Tensor, k: int = 1, dims: Sequence[int] = (0, 1)) -> Tensor:
    """A copy turned by k quarter turns in the plane of two dimensions, from the first towards the second."""
    if len(dims) != 2:
        raise RuntimeError(message("rot90", f"expected total rotation dims == 2, but got dims = {len(dims)}"))
    if input.form.rank < 2:
        raise RuntimeError(message("rot90", f"expected total dims >= 2, but got total dims = {input.form.rank}"))
    if dims[0] == dims[1] or abs(dims[0] - dims[1]) == input.form.rank:
        raise RuntimeError(
            message("rot90", f"expected rotation dims to be different, but got dim0 = {dims[0]} and dim1 = {dims[1]}")
        )
    rank = input.form.rank
    for d in dims:
        if not -rank <= d < rank:
            raise RuntimeError(message("rot90", f"Rotation dim {d} out of range for {rank} dimensions"))
    return _rot90(input, k, dims[0] % rank, dims[1] % rank)


# ---------------------------------------------------------------- rolled
@recorded("RollBackward0")
def _roll(x: Tensor, shifts: tuple[int, ...], dims: tuple[int, ...]) -> tuple[Tensor, tuple]:
    if not dims:
        return reshape(_roll.function(reshape(x, (x.form.numel,)), shifts, (0,))[0], x.form.shape), (shifts, dims)
    y = x
    for shift, d in zip(shifts, dims):
        n = y.form.shape[d] if y.form.rank else 1
        start = -shift % n if n else 0
        y = cat([slice_op(y, d, start, n), slice_op(y, d, 0, start)], d) if start else y
    return copied_as(y, form(y.form.dtype, y.form.device, y.form.shape)) if y is x else y, (shifts, dims)


@_roll.backward
def _(node: Any, g: Tensor) -> tuple:
    shifts, dims = node.kept()
    return (_roll(g, tuple([-s for s in shifts]), dims),)


@spelled()
def roll(input: Tensor, shifts: Any, dims: Any = ()) -> Tensor:
    """A copy with the elements moved along dims by shifts; what leaves at the end comes in at the start.

    >>> torch.roll(torch.tensor([1, 2, 3]), 1)
    tensor([3, 1, 2])
    """
    moves = tuple(shifts) if isinstance(shifts, (tuple, list)) else (shifts,)
    along = tuple(dims) if isinstance(dims, (tuple, list)) else (dims,)
    if not along and len(moves) == 1:
        return _roll(input, moves, ())
    if not input.form.rank:
        raise IndexError(f"roll: Dimension specified as {along[0]} but tensor has no dimensions")
    if len(moves) != len(along) or not moves:
        raise RuntimeError(
            message("roll", f"shifts and dimensions must align. shifts: {len(moves)}, dims: {len(along)}")
        )
    return _roll(input, moves, tuple([wrap_dim("roll", d, input.form.rank) for d in along]))


# ---------------------------------------------------------------- repeated
@recorded("RepeatBackward0")
def _repeat(x: Tensor, repeats: tuple[int, ...]) -> tuple[Tensor, tuple]:
    f = x.form
    lead = len(repeats) - f.rank
    shape = (*(1,) * lead, *f.shape)
    wide = [n for r, m in zip(repeats, shape) for n in (r, m)]
    spread = expand(reshape(x, [n for m in shape for n in (1, m)]), wide)
    y = copied_as(spread, form(f.dtype, f.device, tuple(wide)))
    return reshape(y, [r * m for r, m in zip(repeats, shape)]), (f, repeats)


@_repeat.backward
def _(node: Any, g: Tensor) -> tuple:
    f, repeats = node.kept()
    shape = (*(1,) * (len(repeats) - f.rank), *f.shape)
    if 0 in repeats:
        return (zeros_of(form(g.form.dtype, f.device, f.shape)),)
    parted = reshape(g, [n for r, m in zip(repeats, shape) for n in (r, m)])
    dims = tuple(range(0, 2 * len(repeats), 2))
    return (reshape(parted.sum(dims) if dims else parted, f.shape),)  # type: ignore[attr-defined]


@spelled(where=("method",))
def repeat(input: Tensor, *repeats: Any, **options: Any) -> Tensor:
    """A copy, repeated along each dimension so often; more numbers than dimensions: new ones in front."""
    numbers = check_sizes("repeat", several(repeats or (options["repeats"],) if options else repeats), "repeats")
    if len(numbers) < input.form.rank:
        raise RuntimeError(
            f"Number of dimensions of repeat dims can not be smaller than the tensor's: {len(numbers)} < {input.form.rank}"
        )
    if any(n < 0 for n in numbers):
        raise RuntimeError(message("repeat", f"repeats {numbers} must not be negative"))
    return _repeat(input, numbers)


@spelled()
def tile(input: Tensor, *dims: Any, **options: Any) -> Tensor:
    """A copy, repeated along the last dimensions so often."""
    numbers = check_sizes("tile", several(dims or (options["dims"],) if options else dims), "dims")
    return repeat(input, (*(1,) * (input.form.rank - len(numbers)), *numbers))


@spelled()
def repeat_interleave(
    input: Tensor, repeats: Any = None, dim: int | None = None, *, output_size: int | None = None
) -> Tensor:
    """Every slice along dim repeated so often, one after the other; repeats: an int, or one for each slice.

    Without dim, of all elements. Of a tensor alone: its indices, each repeated as often as its element says.

    >>> torch.repeat_interleave(torch.tensor([1, 2]), 2)
    tensor([1, 1, 2, 2])
    """
    if repeats is None:
        return _repeated_indices(input)
    x, d = (
        (reshape(input, (input.form.numel,)), 0)
        if dim is None
        else (input, wrap_dim("repeat_interleave", dim, input.form.rank))
    )
    if not x.form.rank:
        x = reshape(x, (1,))
    n = x.form.shape[d]
    if isinstance(repeats, (list, tuple)):
        repeats = tensor_from_data(list(repeats))
    if isinstance(repeats, Tensor) and repeats.form.numel == 1 and n != 1:
        repeats = int(repeats.reshape(()))  # type: ignore[attr-defined,arg-type]
    if isinstance(repeats, Tensor):
        if repeats.form.rank > 1:
            raise RuntimeError(message("repeat_interleave", "repeats must be 0-dim or 1-dim tensor"))
        repeats = reshape(repeats, (repeats.form.numel,))
        if repeats.form.numel != n:
            raise RuntimeError(
                f"repeats must have the same size as input along dim, but got {repeats.form.numel} and input.size({d}) = {n}"
            )
        return index_select(x, d, _repeated_indices(repeats))
    if repeats < 0:
        raise RuntimeError("Repeats must be non-negative")
    spread = expand(unsqueeze(x, d + 1), (*x.form.shape[: d + 1], repeats, *x.form.shape[d + 1 :]))
    copied = DEFINITIONS["clone"].function(spread, memory_format="contiguous_format")
    return reshape(copied, (*x.form.shape[:d], n * repeats, *x.form.shape[d + 1 :]))


def _repeated_indices(repeats: Tensor) -> Tensor:
    if repeats.form.rank != 1 or repeats.form.dtype.name not in ("int64", "int32"):
        raise RuntimeError(
            message(
                "repeat_interleave",
                f"repeats has to be Long or Int tensor of one dimension, got {tuple(repeats.shape)} of {repeats.dtype}",
            )
        )
    counts = repeats.tolist()  # type: ignore[attr-defined]
    if any(c < 0 for c in counts):
        raise RuntimeError("repeats can not be negative")
    places = [i for i, c in enumerate(counts) for _ in range(c)]
    return converted(tensor_from_data(places) if places else empty(form(dtypes.int64, CPU, (0,))), repeats.form.dtype)


# ---------------------------------------------------------------- diagonals
@recorded("DiagEmbedBackward0")
def _diag_embed(x: Tensor, offset: int, a: int, b: int) -> tuple[Tensor, tuple]:
    f = x.form
    n = f.shape[-1] + abs(offset)
    rank = f.rank + 1
    shape: list[int] = []
    rest = iter(f.shape[:-1])
    for d in range(rank):
        shape.append(n if d in (a, b) else next(rest))
    result = zeros_of(form(f.dtype, f.device, tuple(shape)))
    copy_into(diagonal(result, offset, a, b), x)
    return result, (offset, a, b)


@_diag_embed.backward
def _(node: Any, g: Tensor) -> tuple:
    return (diagonal(g, *node.kept()),)


@spelled()
def diag_embed(input: Tensor, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """The last dimension as diagonals of matrices in dimensions dim1 and dim2, zeros elsewhere."""
    rank = input.form.rank + 1
    a, b = wrap_dim("diag_embed", dim1, rank), wrap_dim("diag_embed", dim2, rank)
    if a == b:
        raise RuntimeError(message("diag_embed", f"diagonal dimensions cannot be identical {dim1}, {dim2}"))
    return _diag_embed(input, offset, a, b)


@spelled()
def diag(input: Tensor, diagonal: int = 0, *, out: Tensor | None = None) -> Tensor:
    """Of a vector the matrix with it on a diagonal; of a matrix a diagonal, copied."""
    if input.form.rank not in (1, 2):
        raise RuntimeError(f"diag(): Supports 1D or 2D tensors. Got {input.form.rank}D")
    if out is not None and input.node is not None:
        refuse_recorded_out("diag")
    result = diag_embed(input, diagonal) if input.form.rank == 1 else COPIES["diagonal"](input, diagonal)
    return result if out is None else write_out("diag", out, result)


@spelled()
def diagflat(input: Tensor, offset: int = 0) -> Tensor:
    """The matrix with all elements on a diagonal."""
    return diag_embed(reshape(input, (input.form.numel,)), offset)


@spelled(where=("torch",))
def block_diag(*tensors: Any) -> Tensor:
    """A matrix with the tensors (0-d, rows, matrices) as blocks on its diagonal, zeros elsewhere."""
    blocks = []
    for i, x in enumerate(several(tensors)):
        check_tensor("block_diag", x, "tensors", i + 1)
        if x.form.rank > 2:
            raise RuntimeError(
                message(
                    "block_diag",
                    f"Input tensors must have 2 or fewer dimensions. Input {i} has {x.form.rank} dimensions",
                )
            )
        blocks.append(atleast_2d(x))
    if not blocks:
        return empty(form(dtypes.get_default_dtype(), CPU, (1, 0)))
    width, at, rows = sum(b.form.shape[1] for b in blocks), 0, []
    for b in blocks:
        n, m = b.form.shape
        left, right = ((form(b.form.dtype, b.form.device, (n, k))) for k in (at, width - at - m))
        rows.append(cat([zeros_of(left), b, zeros_of(right)], 1))
        at += m
    return cat(rows, 0)


@spelled(where=("torch",))
def combinations(input: Tensor, r: int = 2, with_replacement: bool = False) -> Tensor:
    """All choices of r elements of a vector, one a row, in the order of their places."""
    if input.form.rank != 1:
        raise RuntimeError(message("combinations", f"Expect a 1D vector, but got shape {tuple(input.shape)}"))
    if r < 0:
        raise RuntimeError(message("combinations", f"Expect a non-negative number, but got {r}"))
    if r == 0:
        return empty(form(input.form.dtype, input.form.device, (0,)))
    chosen = list((_choose_again if with_replacement else _choose)(range(input.form.numel), r))
    if not chosen:
        return reshape(slice_op(input, 0, 0, 0), (0, r))
    places = tensor_from_data(chosen)
    return stack([index_select(input, 0, transpose(places, 0, 1)[k]) for k in range(r)], 1)  # type: ignore[index]
