"""The same elements, arranged anew: flipped, rolled, repeated, as diagonals; all copies."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations as _choose
from itertools import combinations_with_replacement as _choose_again
from typing import Any

from mashal.core import dtypes
from mashal.core.devices import CPU
from mashal.core.forms import Form, form
from mashal.core.nested import table_of, tensor_from_data
from mashal.core.shapes import wrap_dim, wrap_dims
from mashal.core.tensor import Tensor, alias, empty, view_plan
from mashal.errors import message
from mashal.ops.blocks import outside_index, take_plan
from mashal.ops.copying import check_tensor, converted, copied_as, copy_into, copying_plan, zeros_of
from mashal.ops.define import DEFINITIONS, recorded, refuse_recorded_out, spelled, write_out
from mashal.ops.joining import cat, stack
from mashal.ops.parts import diagonal, slice_op
from mashal.ops.remembered import door, remembered
from mashal.ops.run import Plan
from mashal.ops.selecting import index_select
from mashal.ops.view_copies import COPIES
from mashal.ops.views import atleast_2d, check_sizes, expand, reshape, several, transpose, unsqueeze


# ---------------------------------------------------------------- flipped
@remembered("FlipBackward0")
def _flip(x: Form, dims: tuple[int, ...]) -> Plan:
    return _reordered(x, [(d, range(x.shape[d] - 1, -1, -1)) for d in dims if x.rank and x.shape[d] > 1])


_flip.transposed_by(_flip)


@door(1)
def _flipped(x: Any, *dims: Any) -> Any:
    check_tensor("flip", x)
    return _flip.known(x, wrap_dims("flip", several(dims), x.form.rank))


def _reordered(x: Form, orders: Sequence[tuple[int, Sequence[int]]]) -> Plan:
    """The plan of a copy whose slices along some dimensions stand in another order: (dimension, which slice comes at each place)."""
    if not orders or not x.numel:
        to = form(x.dtype, x.device, x.shape)
        return lambda y: copied_as(y, to)
    dense = form(x.dtype, x.device, x.shape)
    steps = []
    for i, (d, order) in enumerate(orders):
        index = table_of(order, dtypes.int64)
        steps.append((take_plan(dense if i else x, [index.form], d, outside_index, dense), index))
    if len(steps) == 1:
        ((take, index),) = steps
        return lambda y: take(y, index)

    def plan(y: Tensor) -> Tensor:
        for take, index in steps:
            y = take(y, index)
        return y

    return plan


@spelled()
def flip(input: Tensor, *dims: Any, **options: Any) -> Tensor:
    """A copy with the order of some dimensions reversed.

    >>> torch.flip(torch.tensor([1, 2, 3]), (0,))
    tensor([3, 2, 1])
    """
    return _flipped.find(input, *(dims or (options["dims"],)))


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
@remembered("RollBackward0")
def _roll(x: Form, shifts: tuple[int, ...], dims: tuple[int, ...]) -> Plan:
    return _rolled(x, list(zip(dims, shifts))) if dims else _rolled_flat(x, shifts[0])


_roll.transposed_by(_roll, lambda shifts, dims: (tuple([-n for n in shifts]), dims))


@door(1)
def _rolling(x: Any, shifts: Any, dims: Any) -> Any:
    check_tensor("roll", x)
    moves = tuple(shifts) if isinstance(shifts, (tuple, list)) else (shifts,)
    along = tuple(dims) if isinstance(dims, (tuple, list)) else (dims,)
    if not along and len(moves) == 1:
        return _roll.known(x, moves, ())
    if not x.form.rank:
        raise IndexError(f"roll: Dimension specified as {along[0]} but tensor has no dimensions")
    if len(moves) != len(along) or not moves:
        raise RuntimeError(
            message("roll", f"shifts and dimensions must align. shifts: {len(moves)}, dims: {len(along)}")
        )
    return _roll.known(x, moves, tuple([wrap_dim("roll", d, x.form.rank) for d in along]))


def _rolled_flat(x: Form, shift: int) -> Plan:
    """The plan of a copy whose elements are rolled as if they stood in one row."""
    dense, row = form(x.dtype, x.device, x.shape), form(x.dtype, x.device, (x.numel,))
    roll, there, back = _rolled(row, [(0, shift)]), view_plan(row, 0), view_plan(dense, 0)

    def plan(y: Tensor) -> Tensor:
        made = back(roll(there(y if y.form is dense else copied_as(y, dense))))
        made.base = None
        return made

    return plan


def _rolled(x: Form, moves: Sequence[tuple[int, int]]) -> Plan:
    """The plan of a copy that is rolled along some dimensions: (dimension, by how much)."""
    wanted = [(d, -shift % x.shape[d]) for d, shift in moves if x.shape[d] and shift % x.shape[d]]
    if x.numel <= _SMALL:
        return _reordered(x, [(d, (*range(start, x.shape[d]), *range(start))) for d, start in wanted])
    to = form(x.dtype, x.device, x.shape)

    def plan(y: Tensor) -> Tensor:
        y = alias(y)
        for d, start in wanted:
            y = cat([slice_op(y, d, start, x.shape[d]), slice_op(y, d, 0, start)], d)
        return y if wanted else copied_as(y, to)

    return plan


_SMALL = 1 << 12  # elements up to which a roll is one kernel that looks at every slice; above it, two copies of halves


@spelled()
def roll(input: Tensor, shifts: Any, dims: Any = ()) -> Tensor:
    """A copy with the elements moved along dims by shifts; what leaves at the end comes in at the start.

    >>> torch.roll(torch.tensor([1, 2, 3]), 1)
    tensor([3, 1, 2])
    """
    return _rolling.find(input, shifts, dims)


# ---------------------------------------------------------------- repeated
@remembered("RepeatBackward0")
def _repeat(x: Form, repeats: tuple[int, ...]) -> Plan:
    lead = len(repeats) - x.rank
    shape, strides = (*(1,) * lead, *x.shape), (*(0,) * lead, *x.strides)
    wide = tuple([n for r, m in zip(repeats, shape) for n in (r, m)])
    spread = x.viewed(wide, tuple([s for step in strides for s in (0, step)]))
    made = form(x.dtype, x.device, tuple([r * m for r, m in zip(repeats, shape)]))
    return copying_plan(spread, form(x.dtype, x.device, wide), made)


@_repeat.first
def _(g: Tensor, x: Form, repeats: tuple[int, ...]) -> Tensor:
    shape = (*(1,) * (len(repeats) - x.rank), *x.shape)
    if 0 in repeats:
        return zeros_of(form(g.form.dtype, x.device, x.shape))
    parted = reshape(g, [n for r, m in zip(repeats, shape) for n in (r, m)])
    dims = tuple(range(0, 2 * len(repeats), 2))
    return reshape(parted.sum(dims) if dims else parted, x.shape)  # type: ignore[attr-defined]


@door(1)
def _repeated(x: Any, *repeats: Any) -> Any:
    check_tensor("repeat", x)
    numbers = check_sizes("repeat", several(repeats), "repeats")
    if len(numbers) < x.form.rank:
        raise RuntimeError(
            f"Number of dimensions of repeat dims can not be smaller than the tensor's: {len(numbers)} < {x.form.rank}"
        )
    if any(n < 0 for n in numbers):
        raise RuntimeError(message("repeat", f"repeats {numbers} must not be negative"))
    return _repeat.known(x, numbers)


@spelled(where=("method",))
def repeat(input: Tensor, *repeats: Any, **options: Any) -> Tensor:
    """A copy, repeated along each dimension so often; more numbers than dimensions: new ones in front."""
    return _repeated.find(input, *(repeats or (options["repeats"],) if options else repeats))


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
