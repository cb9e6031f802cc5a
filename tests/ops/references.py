"""What NumPy and SciPy compute under other names: name of the operation -> function of arrays with the same arguments."""

from __future__ import annotations

from typing import Any

import numpy as np

import mashal as torch
from ops.samples import Call


def numpy_call(name: str, call: Call) -> Any:
    """What NumPy makes of a call, as tensors of the dtype it gives."""
    given = call.map(lambda x: x.numpy())
    with np.errstate(all="ignore"):
        return _tensors(NUMPY[name](*given.args, **given.kwargs))


def _tensors(x: Any) -> Any:
    if isinstance(x, (tuple, list)):
        return tuple(map(_tensors, x))
    return torch.from_numpy(np.array(x))


def reduced(function, **more):
    """A function of NumPy's with PyTorch's dim and keepdim."""

    def call(x, dim=None, keepdim=False):
        return function(x, axis=dim, keepdims=keepdim, **more)

    return call


def _sigmoid(x):
    return 1 / (1 + np.exp(-x))


def _softmax(x, dim):
    e = np.exp(x - x.max(dim, keepdims=True))
    return e / e.sum(dim, keepdims=True)


def _layer_norm(x, shape, weight=None, bias=None, eps=1e-5):
    dims = tuple(range(-len(shape), 0))
    y = (x - x.mean(dims, keepdims=True)) / np.sqrt(x.var(dims, keepdims=True) + eps)
    return y * (1 if weight is None else weight) + (0 if bias is None else bias)


def _loss(f):
    def call(x, y, reduction="mean"):
        return {"none": lambda z: z, "sum": np.sum, "mean": np.mean}[reduction](f(x, y))

    return call


def _clamp(x, low=None, high=None, **named):
    return np.clip(x, named.get("min", low), named.get("max", high))


def _addmm(c, a, b, beta=1, alpha=1):
    return beta * c + alpha * (a @ b)


NUMPY = {
    **{
        name: getattr(np, name)
        for name in (
            "exp expm1 log log2 log10 log1p exp2 sqrt sin cos tan sinh cosh tanh floor ceil trunc signbit isnan isinf "
            "isfinite isposinf isneginf reciprocal square add maximum minimum fmax fmin hypot nextafter copysign remainder fmod "
            "logical_and logical_or logical_xor logical_not bitwise_and bitwise_or bitwise_xor logaddexp logaddexp2 "
            "deg2rad rad2deg sinc matmul outer dot where eye "
            "zeros_like ones_like full_like ravel heaviside gcd lcm vdot inner kron trace "
        ).split()
    },
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.true_divide,
    "true_divide": np.true_divide,
    "floor_divide": np.floor_divide,
    "neg": np.negative,
    "abs": np.abs,
    "rsub": lambda x, y: y - x,
    "rdiv": lambda x, y: y / x,
    "pow": np.power,
    "sign": lambda x: np.where(np.isnan(x), 0, np.sign(x)),
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "sigmoid": _sigmoid,
    "round": np.round,
    "frac": lambda x: x - np.trunc(x),
    "asin": np.arcsin,
    "acos": np.arccos,
    "atan": np.arctan,
    "asinh": np.arcsinh,
    "acosh": np.arccosh,
    "atanh": np.arctanh,
    "atan2": np.arctan2,
    "bitwise_not": np.invert,
    "bitwise_left_shift": np.left_shift,
    "bitwise_right_shift": np.right_shift,
    "eq": np.equal,
    "ne": np.not_equal,
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
    "float_power": lambda x, y: np.power(x.astype(np.float64), np.asarray(y, np.float64)),
    "positive": np.positive,
    "relu": lambda x: np.where(np.isnan(x), x, np.maximum(x, 0)),
    "relu6": lambda x: np.clip(x, 0, 6),
    "silu": lambda x: x * _sigmoid(x) if np.ndim(x) == 2 else np.where(x == -np.inf, -np.nan, x * _sigmoid(x)),
    "clamp": _clamp,
    # rows
    "sum": reduced(np.sum),
    "mean": reduced(np.mean),
    "nansum": reduced(np.nansum),
    "nanmean": reduced(np.nanmean),
    "prod": reduced(np.prod),
    "any": reduced(np.any),
    "all": reduced(np.all),
    "amax": reduced(np.max),
    "amin": reduced(np.min),
    "argmax": reduced(np.argmax),
    "argmin": reduced(np.argmin),
    "count_nonzero": reduced(np.count_nonzero),
    "var": reduced(np.var, ddof=1),
    "std": reduced(np.std, ddof=1),
    "softmax": _softmax,
    "log_softmax": lambda x, dim: np.log(_softmax(x, dim)),
    "softmin": lambda x, dim: _softmax(-x, dim),
    "logsumexp": reduced(lambda x, axis, keepdims: np.log(np.sum(np.exp(x), axis, keepdims=keepdims))),
    "cumsum": lambda x, dim: np.cumsum(x, dim),
    "cumprod": lambda x, dim: np.cumprod(x, dim),
    "layer_norm": _layer_norm,
    "mse_loss": _loss(lambda x, y: (x - y) ** 2),
    "l1_loss": _loss(lambda x, y: np.abs(x - y)),
    # products
    "mm": np.matmul,
    "bmm": np.matmul,
    "mv": np.matmul,
    "addmm": _addmm,
    "baddbmm": _addmm,
    "addmv": _addmm,
    "addr": lambda c, a, b, beta=1, alpha=1: beta * c + alpha * np.outer(a, b),
    "linear": lambda x, w, b=0: x @ w.T + b,
    # shapes and pieces
    "reshape": lambda x, *shape: np.reshape(x, shape[0] if isinstance(shape[0], tuple) else shape),
    "view": lambda x, *shape: np.reshape(x, shape[0] if isinstance(shape[0], tuple) else shape),
    "permute": lambda x, *dims: np.transpose(x, dims[0] if isinstance(dims[0], tuple) else dims),
    **dict.fromkeys(("transpose", "swapaxes", "swapdims"), np.swapaxes),
    "t": np.transpose,
    "T": np.transpose,
    "mT": lambda x: np.swapaxes(x, -1, -2),
    "movedim": np.moveaxis,
    "squeeze": lambda x, dim=None: x if dim == 0 and x.shape[0] != 1 else np.squeeze(x, dim),
    "unsqueeze": np.expand_dims,
    "broadcast_to": lambda x, *size: np.broadcast_to(x, size[0]),
    "flatten": None,
    "diagonal": np.diagonal,
    "cat": lambda x, dim=0: np.concatenate([e for e in x if e.shape != (0,)], dim),
    "stack": lambda x, dim=0: np.stack(x, dim),
    "hstack": np.hstack,
    "vstack": np.vstack,
    "dstack": np.dstack,
    "column_stack": np.column_stack,
    "meshgrid": lambda *x, indexing: np.meshgrid(*x, indexing=indexing),
    "getitem": lambda x, index: x[index],
    "unbind": lambda x, dim=0: list(np.moveaxis(x, dim, 0)),
    "atleast_1d": np.atleast_1d,
    "narrow": lambda x, dim, start, n: np.take(x, np.arange(start, start + n), dim),
    "tensor_split": lambda x, parts, dim=0: np.array_split(x, parts, dim),
    "linspace": lambda a, b, n: np.linspace(a, b, n).astype(np.float32),
    "arange": None,
    "flip": np.flip,
    "fliplr": np.fliplr,
    "flipud": np.flipud,
    "roll": np.roll,
    "tril": np.tril,
    "triu": np.triu,
    "tile": np.tile,
    "rot90": np.rot90,
    "diff": None,
}
NUMPY = {name: function for name, function in NUMPY.items() if function is not None}
