"""Rules for functions of several tensors: joining, indexing, products of matrices, convolutions, norms, losses."""

from __future__ import annotations

import inspect
from math import prod
from typing import Any

from mashal import ops
from mashal.core.tensor import Tensor
from mashal.func.batching import VmapError, is_batched, rewrap, size_of, whole, wrap
from mashal.func.kinds import aligned, moved
from mashal.func.rules import bound, rule
from mashal.nn import functional as F


# ---------------------------------------------------------------- joined
@rule("cat stack hstack vstack dstack column_stack concat concatenate")
def _(level: int, function: Any, args: tuple, kwargs: dict) -> Any:
    if function.__name__ not in ("cat", "stack") or kwargs.get("out") is not None:
        return NotImplemented
    given = bound(function, args, kwargs)
    tensors, dim = list(given["tensors"]), given.get("axis", given.get("dim", 0))
    if function.__name__ == "cat":
        tensors = [x for x in tensors if tuple(x.shape) != (0,)] or tensors
    rank = max(x.form.rank for x in tensors) + (function.__name__ == "stack")
    return wrap(function([whole(x, level) for x in tensors], dim % max(rank, 1) + 1), level)


# ---------------------------------------------------------------- by index
@rule("gather scatter scatter_add take_along_dim index_add index_copy index_fill scatter_reduce cross")
def _(level: int, function: Any, args: tuple, kwargs: dict) -> Any:
    given = bound(function, args, kwargs)
    if given.get("dim") is None or not isinstance(given.get("dim"), int):
        return NotImplemented
    x = next(v for v in given.values() if isinstance(v, Tensor))
    index = given.get("index")
    if function.__name__.startswith("index_") and is_batched(index, level):
        return NotImplemented
    given["dim"] = moved(given["dim"], x)
    for name, value in given.items():
        keep = function.__name__.startswith("index_") and name == "index"
        if isinstance(value, Tensor) and not keep and value.form.rank:
            given[name] = whole(value, level)
        elif is_batched(value, level):
            return NotImplemented
    alone = {n for n, p in inspect.signature(function).parameters.items() if p.kind is p.KEYWORD_ONLY}
    named = {n: given.pop(n) for n in list(given) if n in alone}
    return rewrap(function(*given.values(), **named), level)


@rule("masked_fill")
def _(level: int, function: Any, args: tuple, kwargs: dict) -> Any:
    x, mask, value = bound(function, args, kwargs).values()
    if isinstance(value, Tensor):
        value = value.to(x.dtype)
    x, mask, value = aligned(level, (x, mask, value))
    return wrap(ops.where(mask, value, x), level)


@rule("masked_fill_")
def _(level: int, function: Any, args: tuple, kwargs: dict) -> Any:
    x, mask, value = args
    if not is_batched(x, level):
        return NotImplemented
    x.value.copy_(ops.where(*aligned(level, (mask, value, x))))
    return x


@rule("index_select")
def _(level: int, function: Any, args: tuple, kwargs: dict) -> Any:
    given = bound(function, args, kwargs)
    x, dim, index = list(given.values())[:3]
    if not is_batched(index, level):
        return wrap(x.value.index_select(moved(dim, x), index), level)
    place = (slice(None),) * (dim % max(x.ndim, 1))
    return x[(*place, index)]


@rule("trace")
def _(level: int, function: Any, args: tuple, kwargs: dict) -> Any:
    return args[0].diagonal().sum()


@rule("embedding")
def _(level: int, function: Any, args: tuple, kwargs: dict) -> Any:
    given = bound(function, args, kwargs)
    names = list(given)
    if function is F.embedding:
        indices, weight = given.pop(names[0]), given.pop(names[1])
    else:
        weight, indices = given.pop(names[0]), given.pop(names[1])
    if given.get("max_norm") is not None:
        return NotImplemented
    if not is_batched(weight, level):
        return wrap(F.embedding(indices.value, weight), level)
    n, rows = size_of(level), weight.shape[0]
    flat = weight.value.reshape((n * rows, *weight.shape[1:]))
    start = ops.arange(n, device=flat.device).mul(rows).view((n, *(1,) * indices.ndim))
    return wrap(F.embedding(whole(indices, level) + start, flat), level)


def _spread(index: Any) -> tuple:
    return index if isinstance(index, tuple) else (index,)


def _many(i: Any) -> bool:
    return isinstance(i, (Tensor, list))


@rule("getitem __getitem__")
def _(level: int, function: Any, args: tuple, kwargs: dict) -> Any:
    x, index = args[0], _spread(args[1])
    picks = [i for i in index if _many(i)]
    if any(is_batched(i, level) and i.dtype.name in ("bool", "uint8") for i in picks):
        raise VmapError("vmap: x[mask] with a mask of many samples would give each another size; use torch.where")
    if not any(is_batched(i, level) for i in picks):
        return wrap(_picked(x.value, (slice(None), *index)), level)
    base, every = _with_sample_index(level, x, index)
    return wrap(_picked(base, every), level)


def _with_sample_index(level: int, x: Tensor, index: tuple) -> tuple[Tensor, tuple]:
    """The whole of x, and an index that takes for each sample its own elements."""
    n = size_of(level)
    rank = max(i.ndim for i in index if isinstance(i, Tensor))
    own = ops.arange(n).view((n, *(1,) * rank))
    every = [own]
    for i in index:
        if is_batched(i, level):
            i = i.value.reshape((n, *(1,) * (rank - i.form.rank), *i.shape))
        every.append(i)
    return whole(x, level), tuple(every)


def _picked(x: Tensor, index: tuple) -> Tensor:
    """x[index], the first dimension (taken whole, or by the samples' numbers) first in the result."""
    places = [k for k, i in enumerate(index) if _many(i)]
    y = x[index]
    if not places:
        return y
    ranks = [ops.as_tensor(index[k]).ndim for k in places]
    apart = places != list(range(places[0], places[-1] + 1))
    if isinstance(index[0], slice):
        return y.movedim(max(ranks), 0) if apart else y
    if not apart or len(places) < 2:
        return y
    others = places[1:]
    together = others == list(range(others[0], others[-1] + 1))
    before = sum(1 for i in index[1 : others[0]] if i is None or isinstance(i, slice))
    if Ellipsis in [i for i in index if not _many(i)]:
        raise RuntimeError("vmap: an index of many samples behind an ellipsis goes sample by sample")
    k = max(ranks) - 1
    if not together or not before:
        return y
    return y.movedim(tuple(range(1, 1 + k)), tuple(range(1 + before, 1 + before + k)))


@rule("setitem __setitem__")
def _(level: int, function: Any, args: tuple, kwargs: dict) -> Any:
    x, index, value = args[0], _spread(args[1]), args[2]
    if not is_batched(x, level):
        raise VmapError(
            "vmap: values of many samples cannot be written into one tensor; clone it inside the function first"
        )
    if any(is_batched(i, level) for i in index) or sum(map(_many, index)) > 1:
        return NotImplemented
    if is_batched(value, level):
        target = x[args[1]]
        v = value.value
        value = v.reshape((v.shape[0], *(1,) * (target.ndim - value.form.rank), *value.shape))
    x.value[(slice(None), *index)] = value
    return None


# ---------------------------------------------------------------- products
@rule("matmul __matmul__ mm bmm mv dot vdot inner")
def _(level: int, function: Any, args: tuple, kwargs: dict) -> Any:
    if len(args) != 2 or kwargs or function.__name__ in ("vdot", "inner"):
        return NotImplemented
    return wrap(_product(level, *args), level)


def _product(level: int, a: Tensor, b: Tensor) -> Tensor:
    """a @ b of every sample."""
    if not is_batched(b, level) and b.form.rank <= 2 and a.form.rank >= 2:
        return ops.matmul(a.value, b)  # type: ignore[attr-defined]
    row, column = a.form.rank == 1, b.form.rank == 1
    x = a.unsqueeze(0) if row else a  # type: ignore[attr-defined]
    y = b.unsqueeze(1) if column else b  # type: ignore[attr-defined]
    y_ = ops.matmul(*aligned(level, (x, y)))
    if column:
        y_ = y_.squeeze(-1)
    return y_.squeeze(-1 if column else -2) if row else y_


@rule("addmm baddbmm addmv addbmm addr")
def _(level: int, function: Any, args: tuple, kwargs: dict) -> Any:
    given = bound(function, args, kwargs)
    if given.get("out") is not None:
        return NotImplemented
    c, a, b = list(given.values())[:3]
    beta, alpha = given.get("beta", 1), given.get("alpha", 1)
    name = function.__name__.rstrip("_")
    product = ops.outer(a, b) if name == "addr" else ops.matmul(a, b)
    if name == "addbmm":
        product = product.sum(0)
    product = product if alpha == 1 else product * alpha
    return product if beta == 0 else product + (c if beta == 1 else c * beta)


@rule("outer")
def _(level: int, function: Any, args: tuple, kwargs: dict) -> Any:
    return args[0].unsqueeze(1) * args[1].unsqueeze(0)


@rule("linear")
def _(level: int, function: Any, args: tuple, kwargs: dict) -> Any:
    given = bound(function, args, kwargs)
    x, w, bias = [*given.values(), None][:3]
    if not is_batched(w, level) and not is_batched(bias, level):
        return wrap(function(x.value, w, bias), level)
    y = ops.matmul(x, w.mT if w.form.rank > 1 else w)
    return y if bias is None else y + bias


@rule("einsum")
def _(level: int, function: Any, args: tuple, kwargs: dict) -> Any:
    equation, *operands = args
    if not isinstance(equation, str) or "." in equation:
        return NotImplemented
    if len(operands) == 1 and isinstance(operands[0], (tuple, list)):
        operands = list(operands[0])
    left, arrow, right = equation.replace(" ", "").partition("->")
    if not arrow:
        letters = left.replace(",", "")
        right = "".join(sorted(c for c in set(letters) if letters.count(c) == 1))
    own = next(c for c in "ZYXWVUTSRQPONMLKJIHGFEDCBAzyxwvutsrqponmlkjihgfedcba" if c not in equation)
    terms = [own + t if is_batched(x, level) else t for t, x in zip(left.split(","), operands)]
    values = [x.value if is_batched(x, level) else x for x in operands]
    return wrap(ops.einsum(f"{','.join(terms)}->{own}{right}", *values), level)


@rule("scaled_dot_product_attention")
def _(level: int, function: Any, args: tuple, kwargs: dict) -> Any:
    given = bound(function, args, kwargs)
    names = list(given)
    q, k, v = (whole(given.pop(name), level) for name in names[:3])
    mask = given.pop("attn_mask", None)
    if mask is not None:
        mask = (
            mask.value.reshape((mask.value.shape[0], *(1,) * (q.ndim - 1 - mask.ndim), *mask.shape))
            if is_batched(mask, level)
            else mask
        )
    return wrap(function(q, k, v, mask, **given), level)


# ---------------------------------------------------------------- convolutions
@rule("conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d")
def _(level: int, function: Any, args: tuple, kwargs: dict) -> Any:
    given = bound(function, args, kwargs)
    names = list(given)
    x, w, bias = given.pop(names[0]), given.pop(names[1]), given.pop("bias", None)
    if not isinstance(given.get("padding", 0), (int, tuple, list)):
        return NotImplemented
    if x.form.rank == w.form.rank - 1:
        return _convolved(level, function, x.unsqueeze(0), w, bias, given).squeeze(0)
    return _convolved(level, function, x, w, bias, given)


def _convolved(level: int, function: Any, x: Tensor, w: Tensor, bias: Any, given: dict) -> Any:
    """x (N, C, …): samples go into the batch; with kernels of their own they become groups of channels."""
    if not is_batched(w, level) and not is_batched(x, level):
        y = function(x, w, None, **given)
    elif not is_batched(w, level):
        y = function(x.value.flatten(0, 1), w, None, **given)  # type: ignore[attr-defined]
        y = wrap(y.unflatten(0, x.value.shape[:2]), level)  # type: ignore[attr-defined]
    else:
        n, groups = size_of(level), given.pop("groups", 1)
        many = whole(x, level).movedim(0, 1).flatten(1, 2)  # (N, samples·C, …)
        y = function(many, w.value.flatten(0, 1), None, groups=n * groups, **given)  # type: ignore[attr-defined]
        y = wrap(y.unflatten(1, (n, y.shape[1] // n)).movedim(1, 0), level)
    return y if bias is None else y + bias.reshape((-1, *(1,) * (x.form.rank - 2)))


# ---------------------------------------------------------------- norms
@rule("layer_norm rms_norm")
def _(level: int, function: Any, args: tuple, kwargs: dict) -> Any:
    given = bound(function, args, kwargs)
    x, shape = args[0], given["normalized_shape"]
    weight, bias, eps = given.get("weight"), given.get("bias"), given.get("eps")
    more = {} if eps is None else {"eps": eps}
    y = wrap(function(whole(x, level), shape, **more), level)
    y = y if weight is None else y * weight
    return y if bias is None else y + bias


@rule("group_norm")
def _(level: int, function: Any, args: tuple, kwargs: dict) -> Any:
    given = bound(function, args, kwargs)
    x, groups = args[0], given["num_groups"]
    more = {"eps": given["eps"]} if "eps" in given else {}
    y = whole(x, level)
    y = wrap(function(y.flatten(0, 1), groups, **more).unflatten(0, y.shape[:2]), level)
    return _scaled(y, given.get("weight"), given.get("bias"))


@rule("batch_norm")
def _(level: int, function: Any, args: tuple, kwargs: dict) -> Any:
    given = bound(function, args, kwargs)
    x, mean, var = args[0], given.get("running_mean"), given.get("running_var")
    weight, bias = given.pop("weight", None), given.pop("bias", None)
    if not given.get("training", False):
        y = (x - _channels(mean, x)) * (_channels(var, x) + given.get("eps", 1e-5)).rsqrt()
        return _scaled(y, weight, bias)
    if mean is not None and not is_batched(mean, level):
        raise VmapError(
            "vmap: batch_norm would write statistics of many samples into one running_mean; use track_running_stats=False"
        )
    value = whole(x, level).movedim(0, 1)  # (N, samples, C, …)
    lead = value.shape[1:3]
    options = {k: v for k, v in given.items() if k in ("eps", "momentum")}
    running = [None if s is None else s.value.flatten(0, 1) for s in (mean, var)]
    y = function(value.flatten(1, 2), *running, training=True, **options)
    return _scaled(wrap(y.unflatten(1, lead).movedim(1, 0), level), weight, bias)


def _channels(s: Any, x: Tensor) -> Any:
    return s.reshape((-1, *(1,) * (x.form.rank - 2)))


def _scaled(y: Any, weight: Any, bias: Any) -> Any:
    y = y if weight is None else y * _channels(weight, y)
    return y if bias is None else y + _channels(bias, y)


# ---------------------------------------------------------------- losses
@rule("""mse_loss l1_loss smooth_l1_loss huber_loss binary_cross_entropy binary_cross_entropy_with_logits kl_div soft_margin_loss
         poisson_nll_loss hinge_embedding_loss""")
def _(level: int, function: Any, args: tuple, kwargs: dict) -> Any:
    given = bound(function, args, kwargs)
    reduction = given.pop("reduction", "mean")
    names = list(given)
    tensors = [n for n in names if isinstance(given[n], Tensor)]
    for name, value in zip(tensors, aligned(level, [given[n] for n in tensors])):
        given[name] = value
    rank = max(x.form.rank for x in (*args, *kwargs.values()) if isinstance(x, Tensor))
    each = function(**given, reduction="none")
    return _reduced(wrap(each, level), reduction, rank)


def _reduced(each: Any, reduction: str, rank: int) -> Any:
    if reduction == "batchmean":
        return each.sum() / each.shape[0]
    return each if reduction == "none" else each.sum() if reduction == "sum" else each.mean()


@rule("cross_entropy nll_loss")
def _(level: int, function: Any, args: tuple, kwargs: dict) -> Any:
    given = bound(function, args, kwargs)
    names = list(given)
    x, target = given.pop(names[0]), given.pop(names[1])
    reduction, weight = given.pop("reduction", "mean"), given.get("weight")
    if is_batched(weight, level):
        return NotImplemented
    classes = target.dtype.is_floating_point
    xs, ts = whole(x, level), whole(target, level)
    if x.form.rank > 1:
        each = function(xs.flatten(0, 1), ts.flatten(0, 1), **given, reduction="none").unflatten(0, xs.shape[:2])
    else:
        each = function(xs, ts, **given, reduction="none")
    each = wrap(each, level)
    if reduction != "mean":
        return each if reduction == "none" else each.sum()
    if classes:
        return each.sum() / max(1, prod(each.shape))
    used = target != given.get("ignore_index", -100)
    if weight is None:
        return each.sum() / used.sum()
    return each.sum() / (weight[ops.where(used, target, 0)] * used).sum()
