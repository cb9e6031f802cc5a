"""gather and scatter: one element for every place of an index tensor, picked or put along one dimension."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mashal.core import dtypes
from mashal.core.forms import Form, form
from mashal.core.shapes import broadcast, wrap_dim
from mashal.core.tensor import Tensor, empty, plan_of
from mashal.lower.along import Along, along
from mashal.lower.schedule import collapse
from mashal.ops.blocks import RAW, int_at
from mashal.ops.copying import check_tensor, converted, copied_as, copy_into, filled, preserved, zeros_of
from mashal.ops.define import PLAIN, any_recorded, overlaps, refuse_recorded_out, spelled, write_out
from mashal.ops.masks import exact_out, masked_fill, scalar_of
from mashal.ops.parts import as_strided, diagonal, select, slice_op
from mashal.ops.remembered import door, remembered
from mashal.ops.run import Plan, kernel_of, remember
from mashal.ops.views import expand, reshape
from mashal.ops.writing import EVERYWHERE, writing

_plans: dict[tuple, Plan] = {}


# ---------------------------------------------------------------- the kernel
def _run(kind: str, target: Tensor, index: Tensor, source: Tensor, dim: int) -> None:
    """Runs a kernel that puts over all places of index; the tensors are of one dtype, the sizes are checked."""
    if not index.form.numel or target.capsule is None:
        return
    if overlaps(source, target):
        source = copied_as(source, form(source.form.dtype, source.form.device, source.form.shape))
    key = kind, target.form, index.form, source.form, dim
    plan = _plans.get(key)
    if plan is None:
        read = source.form
        if not read.rank and index.form.rank:  # one number for all places
            read = read.viewed(tuple(index.form.shape), (0,) * index.form.rank)
        plan = remember(_plans, key, _plan(kind, target.form, index.form, read, dim))
    plan(target, source, index)


def _plan(
    kind: str, target: Form, index: Form, source: Form, dim: int, wrong: Callable[[int], str] | None = None
) -> Plan:
    """wrong: what to say of an index that is out of range."""
    d = target.dtype
    if kind in ("take", "put") and d.itemsize in RAW:
        d = RAW[d.itemsize]
    picked = source if kind == "take" else target
    limit, step = (picked.shape[dim], picked.strides[dim]) if picked.rank else (1, 1)
    walked = [list(f.strides) or [1] for f in (target, source, index)]
    walked[1 if kind == "take" else 0][dim] = 0
    sizes, strides = collapse(tuple(index.shape) or (1,), [tuple(w) for w in walked])
    shared = kind == "take" or strides[0][0] != 0
    how = Along(kind, d, len(sizes), shared)
    address = kernel_of(along, how)
    words = [*sizes, *strides[0], *strides[1], *strides[2], limit, step]

    def fail(status: int, *operands: Any) -> None:
        value = _value_at(operands[-1], status, sizes, strides[2])
        usual = f"index {value} is out of bounds for dimension {dim} with size {limit}"
        raise RuntimeError(usual if wrong is None else wrong(value))

    fail.limits = ((0, limit),)  # type: ignore[attr-defined]
    size = target.dtype.itemsize
    if kind == "take":
        return plan_of(address, [(target.nbytes, target)], [size, 8], words, work=index.numel, fail=fail)
    return plan_of(address, [], [size, size, 8], words, work=index.numel, returns_first=True, fail=fail)


def _value_at(index: Tensor, place: int, sizes: list[int], strides: list[int]) -> int:
    offset = 0
    for n, s in zip(reversed(sizes), reversed(strides)):
        offset += place % n * s
        place //= n
    return int_at(index, offset)


def _index(name: str, index: Any) -> Tensor:
    if not isinstance(index, Tensor):
        raise TypeError(f"{name}(): argument 'index' must be Tensor, not {type(index).__name__}")
    if index.form.dtype.name not in ("int64", "int32") and index.form.numel:
        raise RuntimeError(f"{name}(): Expected dtype int32/int64 for index, but got {index.dtype}")
    return _long(index)


def _long(index: Tensor) -> Tensor:
    f = index.form
    return index if f.dtype is dtypes.int64 else copied_as(index, f.with_dtype(dtypes.int64))


def _check_sizes(name: str, x: Form, dim: int, index: Form, other: str, limit: Form, skip: bool) -> None:
    """The index fits into a tensor: same rank, no larger (in dim only if skip is False)."""
    own, at = tuple(limit.shape) or (1,), tuple(index.shape) or (1,)
    if not index.numel:
        return
    if len(own) != len(at):
        raise RuntimeError(
            f"{name}(): Index tensor must have as many dimensions as {other} tensor, got {tuple(index.shape)} and {tuple(limit.shape)}"
        )
    if any(i > n for d, (i, n) in enumerate(zip(at, own)) if not (skip and d == dim)):
        raise RuntimeError(
            f"{name}(): Expected index {list(index.shape)} to be no larger than {other} {list(limit.shape)}"
            + (f" apart from dimension {dim}" if skip else "")
        )


# ---------------------------------------------------------------- one_hot
@spelled(where=("torch", "functional"))
def one_hot(tensor: Tensor, num_classes: int = -1) -> Tensor:
    """Class numbers (*) as vectors (*, num_classes) of 0 with a 1 at the class; -1: as many classes as the largest needs.

    >>> torch.nn.functional.one_hot(torch.tensor([0, 2]))
    tensor([[1, 0, 0],
            [0, 0, 1]])
    """
    f = tensor.form
    if f.dtype is not dtypes.int64:
        raise RuntimeError(f"one_hot is only applicable to index tensor of type LongTensor, not {tensor.dtype}")
    if not f.numel and num_classes <= 0:
        raise RuntimeError("Can not infer total number of classes from empty tensor.")
    if num_classes < 1 and num_classes != -1:
        raise RuntimeError(f"num_classes should be positive, not {num_classes}")
    classes = int(tensor.max()) + 1 if num_classes == -1 else num_classes  # type: ignore[attr-defined]
    made = zeros_of(form(f.dtype, f.device, (*f.shape, max(classes, 1))))
    if not f.numel or made.capsule is None:
        return made
    plan = _plans.get(("one_hot", f, classes))
    if plan is None:
        index = f.viewed((*f.shape, 1), (*f.strides, 1))
        one = f.viewed(tuple(index.shape), (0,) * index.rank)
        plan = _plan("put", made.form, index, one, f.rank, lambda value: _wrong_class(value, classes))
        remember(_plans, ("one_hot", f, classes), plan)
    plan(made, scalar_of("one_hot", 1, f), tensor)
    return made


def _wrong_class(value: int, classes: int) -> str:
    if value < 0:
        return f"Class values must be non-negative; one is {value}."
    return f"Class values must be smaller than num_classes: {value} is not below {classes}."


# ---------------------------------------------------------------- gather
@remembered("GatherBackward0", 2, gradients=1, kept=(1,))
def _gather(x: Form, index: Form, dim: int) -> Plan:
    made = form(x.dtype, x.device, index.shape)
    if not made.numel:
        return plan_of(0, [(0, made)], [x.dtype.itemsize, index.dtype.itemsize])
    plan = _plan("take", made, index.with_dtype(dtypes.int64), x, dim)
    return plan if index.dtype is dtypes.int64 else lambda x, index: plan(x, _long(index))


@_gather.first
def _(g: Tensor, x: Form, index: Tensor, dim: int) -> Tensor:
    return scatter_add(zeros_of(form(g.form.dtype, x.device, x.shape)), dim, index, g)


@door(2)
def _gathered(x: Any, index: Any, dim: int) -> Any:
    check_tensor("gather", x)
    _index("gather", index)
    d = wrap_dim("gather", dim, x.form.rank)
    _check_sizes("gather", x.form, d, index.form, "input", x.form, True)
    return _gather.known(x, index, d)


@spelled()
def gather(input: Tensor, dim: int, index: Tensor, *, sparse_grad: bool = False, out: Tensor | None = None) -> Tensor:
    """At every place of index the element of input there, but at the index's value in dimension dim.

    index: integers, of input's rank, no larger than input except in dim.

    >>> torch.gather(torch.tensor([[1, 2], [3, 4]]), 1, torch.tensor([[0], [1]]))
    tensor([[1],
            [4]])
    """
    if out is None:
        return _gathered.find(input, index, dim)
    if any_recorded((input,)):
        refuse_recorded_out("gather")
    return exact_out("gather", out, _gathered.find(input, index, dim), input, index)


@spelled()
def take_along_dim(input: Tensor, indices: Tensor, dim: int | None = None, *, out: Tensor | None = None) -> Tensor:
    """gather, with input and indices broadcast in all other dimensions; without dim, of both flattened."""
    if not isinstance(indices, Tensor) or indices.form.dtype.kind not in "iu":
        raise RuntimeError(
            f"torch.take_along_dim(): dtype of indices should be Long but got {getattr(indices, 'dtype', type(indices).__name__)}"
        )
    if dim is None:
        return gather(reshape(input, (input.form.numel,)), 0, reshape(indices, (indices.form.numel,)), out=out)
    if input.form.rank != indices.form.rank:
        raise RuntimeError(
            f"torch.take_along_dim(): input and indices should have the same number of dimensions, but got {input.form.rank} "
            f"dimensions for input, and {indices.form.rank} dimensions for indices"
        )
    d = wrap_dim("take_along_dim", dim, input.form.rank)
    a, b = list(input.form.shape), list(indices.form.shape)
    if indices.form.numel and indices.form.dtype.kind == "i":
        indices = indices + (indices < 0) * a[d]  # type: ignore[operator]
    n, m = a[d], b[d]
    a[d] = b[d] = 1
    shape = list(broadcast("take_along_dim", a, b))
    wide = (*shape[:d], n, *shape[d + 1 :])
    at = (*shape[:d], m, *shape[d + 1 :])
    return gather(expand(input, wide), d, expand(indices, at), out=out)


# ---------------------------------------------------------------- scatter
_REDUCE = {"add": "add", "multiply": "mul"}


def _checked(name: str, x: Tensor, dim: int, index: Any, src: Any) -> tuple[int, Tensor]:
    if type(index) in PLAIN and type(dim) is int:
        key = name, x.form, dim, index.form, src.form if isinstance(src, Tensor) else None
        d = _dims.get(key)
        if d is None:
            d = remember(_dims, key, _check(name, x, dim, index, src))
        return d, _long(index)
    return _check(name, x, dim, index, src), _index(name, index)


_dims: dict[tuple, int] = {}


def _check(name: str, x: Tensor, dim: int, index: Any, src: Any) -> int:
    """The dimension, counted from the front; errors where forms don't fit."""
    index = _index(name, index)
    d = wrap_dim(name, dim, x.form.rank)
    if isinstance(src, Tensor):
        if src.form.dtype is not x.form.dtype:
            raise RuntimeError(f"{name}(): Expected self.dtype to be equal to src.dtype, got {x.dtype} and {src.dtype}")
        _check_sizes(name, x.form, d, index.form, "src", src.form, False)
    _check_sizes(name, x.form, d, index.form, "self", x.form, True)
    return d


def _part(src: Tensor, index: Tensor) -> Tensor:
    """The part of src where index is."""
    if src.form.shape == index.form.shape:
        return src
    for d, (n, m) in enumerate(zip(index.form.shape, src.form.shape)):
        if n != m:
            src = slice_op(src, d, 0, n)
    return src if index.form.rank == src.form.rank else reshape(src, index.form.shape)


def _whole_source(g: Tensor, of: Form, index: Tensor) -> Tensor:
    """A gradient of the part of src where index is as one of src: zeros elsewhere."""
    for d, n in enumerate(of.shape):
        if g.form.rank and g.form.shape[d] != n:
            padded = (*g.form.shape[:d], n, *g.form.shape[d + 1 :])
            whole = zeros_of(form(g.form.dtype, of.device, padded))
            g = slice_scatter(whole, g, d, 0, g.form.shape[d])
    return g


@remembered("ScatterBackward0", 3, gradients=2, kept=(2,))
def _scattered(x: Form, source: Any, index: Form, dim: int) -> Plan:
    to = preserved(x)
    if isinstance(source, Form):
        plan = _plan("put", to, index, source, dim)
        return lambda x, source, index: plan(copied_as(x, to), source, index)
    one = form(x.dtype, x.device, ())
    put = _plan("put", to, index, one.viewed(tuple(index.shape), (0,) * index.rank), dim)
    return lambda x, number, index: put(copied_as(x, to), filled(empty(one), number), index)


@_scattered.backward
def _(node: Any, g: Tensor) -> tuple:
    index, dim = node.kept()
    return (
        scatter(g, dim, index, 0) if node.wants(0) else None,
        gather(g, dim, index) if node.wants(1) else None,
    )


@door(3)
def _scattering(x: Any, source: Any, index: Any, dim: Any) -> Any:
    """scatter of operands that the kernel takes as they are; None for any others."""
    if type(x) not in PLAIN or type(index) not in PLAIN or type(dim) is not int:
        return None
    f, number = x.form, type(source) in (int, float)
    if not number and (type(source) not in PLAIN or source.form.shape != index.form.shape):
        return None
    if (f.dtype.kind != "f" if number else source.form.dtype is not f.dtype) or x.capsule is None:
        return None
    if not f.rank or not f.numel or not index.form.numel or index.form.dtype is not dtypes.int64:
        return None
    d, _ = _checked("scatter", x, dim, index, source)
    return _scattered.known(x, source, index, d)


def _shortly_scattered(x: Any, dim: Any = None, index: Any = None, src: Any = None, *more: Any) -> Any:
    return None if more else _scattering.find(x, src, index, dim)


@writing("ScatterBackward0", short=_shortly_scattered)
def scatter(
    x: Tensor, dim: int, index: Tensor, src: Any = None, *, value: Any = None, reduce: str | None = None
) -> tuple:
    """x with src's elements (or a number) at the index's values along dim; reduce: "add" or "multiply" onto what is there.

    >>> torch.scatter(torch.zeros(3), 0, torch.tensor([2]), 5.0)
    tensor([0., 0., 5.])
    """
    src = value if src is None else src
    if reduce is not None and reduce not in _REDUCE:
        raise RuntimeError(f"reduce argument must be either add or multiply, got {reduce!r}")
    d, index = _checked("scatter", x, dim, index, src)
    kind = "put" if reduce is None else _REDUCE[reduce]
    if isinstance(src, Tensor):
        _run(kind, x, index, _part(src, index), d)
        return (src,), (d, index, src.form)
    _run(kind, x, index, scalar_of("scatter", src, x.form), d)
    return (), (d, index, None)


@scatter.backward
def _(node: Any, g: Tensor) -> tuple:
    dim, index, of = node.kept()
    mine = scatter(g, dim, index, 0) if node.wants(0) else None
    if of is None:
        return (mine,)
    return mine, _whole_source(gather(g, dim, index), of, index) if node.wants(1) else None


@writing("ScatterAddBackward0")
def scatter_add(x: Tensor, dim: int, index: Tensor, src: Tensor) -> tuple:
    """x with src's elements added at the index's values along dim."""
    check_tensor("scatter_add", src, "src", 3)
    d, index = _checked("scatter_add", x, dim, index, src)
    _run("add", x, index, _part(src, index), d)
    return (src,), (d, index, src.form)


@scatter_add.backward
def _(node: Any, g: Tensor) -> tuple:
    dim, index, of = node.kept()
    return g, _whole_source(gather(g, dim, index), of, index) if node.wants(1) else None


# ---------------------------------------------------------------- scatter_reduce
_STARTS = {"sum": 0, "mean": 0, "prod": 1}


@writing("ScatterReduceBackward0")
def scatter_reduce(x: Tensor, dim: int, index: Tensor, src: Tensor, reduce: str, *, include_self: bool = True) -> tuple:
    """x with src's elements joined at the index's values along dim: reduce is "sum", "prod", "mean", "amax" or "amin".

    include_self: whether what is there takes part.
    """
    if reduce not in ("sum", "prod", "mean", "amax", "amin"):
        raise RuntimeError(f"reduce argument must be either sum, prod, mean, amax or amin, got {reduce}")
    d, index = _checked("scatter_reduce", x, dim, index, src)
    before = copied_as(x, form(x.form.dtype, x.form.device, x.form.shape))
    part = _part(src, index)
    if not include_self:
        start = scalar_of("scatter_reduce", _start(reduce, x.form), x.form)
        _run("put", x, index, expand(start, index.form.shape), d)
    _run({"sum": "add", "mean": "add", "prod": "mul", "amax": "max", "amin": "min"}[reduce], x, index, part, d)
    if reduce == "mean":
        counts = _counts(x.form, index, d, include_self)
        rounding = None if x.form.dtype.kind in "fc" else "floor"
        divided = x.div(counts, rounding_mode=rounding)  # type: ignore[attr-defined]
        copy_into(x, divided)
    after = copied_as(x, form(x.form.dtype, x.form.device, x.form.shape))
    return (src,), (d, index, src, before, after, reduce, include_self)


def _start(reduce: str, f: Form) -> Any:
    if reduce in _STARTS:
        return _STARTS[reduce]
    if f.dtype.kind == "f":
        return float("-inf") if reduce == "amax" else float("inf")
    if f.dtype.kind == "b":
        return reduce == "amin"
    limits = dtypes.iinfo(f.dtype)
    return limits.min if reduce == "amax" else limits.max


def _counts(f: Form, index: Tensor, dim: int, include_self: bool) -> Tensor:
    """How many elements are joined at each place, at least 1."""
    counts = zeros_of(form(f.dtype, f.device, f.shape))
    one = scalar_of("scatter_reduce", 1, f)
    if include_self:
        counts = counts + 1  # type: ignore[operator]
    _run("add", counts, index, expand(one, index.form.shape), dim)
    return counts if include_self else masked_fill(counts, counts == 0, 1)  # type: ignore[arg-type]


@scatter_reduce.backward
def _(node: Any, g: Tensor) -> tuple:
    dim, index, src, before, after, reduce, include_self = node.kept()
    part = _part(src, index)
    if reduce in ("sum", "mean"):
        if reduce == "mean":
            g = g / _counts(g.form, index, dim, include_self)  # type: ignore[operator]
        mine, theirs = g, gather(g, dim, index)
    elif reduce == "prod":
        mine, theirs = _prod_gradients(g, dim, index, part, before, after, include_self)
    else:
        own = before == after  # type: ignore[operator]
        hits = part == gather(after, dim, index)  # type: ignore[operator]
        kind = g.form.dtype
        shares = scatter_add(
            converted(own, kind) if include_self else zeros_of(form(kind, g.form.device, g.form.shape)),
            dim,
            index,
            converted(hits, kind),
        )
        each = g / masked_fill(shares, shares == 0, 1)  # type: ignore[operator,arg-type]
        mine, theirs = each * own, gather(each, dim, index) * hits  # type: ignore[operator]
    if not include_self:
        mine = scatter(mine, dim, index, 0)
    return mine, _whole_source(theirs, src.form, index) if node.wants(1) else None


def _prod_gradients(
    g: Tensor, dim: int, index: Tensor, part: Tensor, before: Tensor, after: Tensor, include_self: bool
) -> tuple:
    """Each factor's gradient is g times the product of the others; zeros among the factors are left out and counted."""
    zero = part == 0  # type: ignore[operator]
    kind = part.form.dtype
    start = before if include_self else scatter(before, dim, index, 1)
    own_zero = start == 0  # type: ignore[operator]
    zeros = scatter_add(converted(own_zero, kind), dim, index, converted(zero, kind))  # type: ignore[arg-type]
    others = scatter_reduce(masked_fill(start, own_zero, 1), dim, index, masked_fill(part, zero, 1), "prod")
    gz, go = gather(zeros, dim, index), gather(others, dim, index)
    alone = (gz - converted(zero, kind)) == 0  # type: ignore[operator]
    theirs = gather(g, dim, index) * go * alone / masked_fill(part, zero, 1)  # type: ignore[operator]
    own_alone = (zeros - converted(own_zero, kind)) == 0  # type: ignore[operator]
    mine = g * others * own_alone / masked_fill(start, own_zero, 1)  # type: ignore[operator]
    return mine, theirs


# ---------------------------------------------------------------- index_reduce
_KINDS = ("prod", "mean", "amax", "amin")


def _spread_index(x: Tensor, dim: int, index: Tensor, source: Tensor, reduce: str) -> tuple[int, Tensor]:
    """The dimension, and the index vector for every element of source."""
    if reduce not in _KINDS:
        raise RuntimeError(f"index_reduce(): Expected reduce to be one of prod, mean, amax or amin but got {reduce}.")
    index = _index("index_reduce", index)
    if index.form.rank > 1:
        raise IndexError(f"index_reduce(): Index is supposed to be a vector, but got {tuple(index.shape)}")
    d = wrap_dim("index_reduce", dim, x.form.rank)
    n = source.form.shape[d] if source.form.rank else 1
    if index.form.numel != n:
        raise RuntimeError(
            f"index_reduce(): Number of indices ({index.form.numel}) should be equal to self.size(dim): ({n})"
        )
    if not source.form.rank:
        return d, reshape(index, ())
    lines = reshape(index, (*(1,) * d, n, *(1,) * (source.form.rank - d - 1)))
    return d, expand(lines, tuple(source.form.shape))


def index_reduce_(
    input: Tensor, dim: int, index: Tensor, source: Tensor, reduce: str, *, include_self: bool = True
) -> Tensor:
    """index_reduce, written into the tensor itself."""
    d, spread = _spread_index(input, dim, index, source, reduce)
    return scatter_reduce.in_place(input, d, spread, source, reduce, include_self=include_self)


@spelled(EVERYWHERE, in_place=index_reduce_)
def index_reduce(
    input: Tensor,
    dim: int,
    index: Tensor,
    source: Tensor,
    reduce: str,
    *,
    include_self: bool = True,
    out: Tensor | None = None,
) -> Tensor:
    """input with source's slices joined at the places in index along dim: reduce is "prod", "mean", "amax" or "amin"."""
    d, spread = _spread_index(input, dim, index, source, reduce)
    result = scatter_reduce(input, d, spread, source, reduce, include_self=include_self)
    return result if out is None else write_out("index_reduce", out, result)


# ---------------------------------------------------------------- views' places in a copy
def _embedding_of(name: str, node: str, piece: Any) -> Any:
    def write(x: Tensor, src: Tensor, *arguments: Any, **options: Any) -> tuple:
        place = piece(x, *arguments, **options)
        if src.form.shape != place.form.shape:
            raise RuntimeError(
                f"{name}: expected src to have the size of the slice of self. src: {list(src.shape)}, slice: {list(place.shape)}"
            )
        copy_into(place, src)
        return (src,), (arguments, options, src.form.dtype)

    write.__name__ = name
    write.__doc__ = f"A copy with src in the place that {name.removesuffix('_scatter')} would give."
    made = writing(node, where=("torch", "method"))(write)

    @made.backward
    def _(node: Any, g: Tensor) -> tuple:
        arguments, options, d = node.kept()
        zero = scalar_of(name, 0, g.form)
        place = piece(g, *arguments, **options)
        mine = made(g, expand(zero, place.form.shape), *arguments, **options)
        return mine, converted(place, d)

    return made


select_scatter = _embedding_of("select_scatter", "SelectScatterBackward0", select)
slice_scatter = _embedding_of("slice_scatter", "SliceScatterBackward0", slice_op)
diagonal_scatter = _embedding_of("diagonal_scatter", "DiagonalScatterBackward0", diagonal)
as_strided_scatter = _embedding_of("as_strided_scatter", "AsStridedScatterBackward0", as_strided)
