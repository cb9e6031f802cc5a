"""What distributions share: parameters broadcast together, probabilities and their logarithms, lazily computed properties."""

from __future__ import annotations

from collections.abc import Callable
from functools import update_wrapper
from numbers import Number
from typing import Any

from mashal import ops
from mashal.core.dtypes import finfo, get_default_dtype
from mashal.core.shapes import Size
from mashal.core.tape import enable_grad
from mashal.core.tensor import Tensor
from mashal.nn import functional as F

__all__ = [
    "broadcast_all", "clamp_probs", "euler_constant", "lazy_property", "logits_to_probs", "probs_to_logits",
    "tril_matrix_to_vec", "vec_to_tril_matrix",
]  # fmt: skip

euler_constant = 0.57721566490153286060  # Euler and Mascheroni's


def is_number(x: Any) -> bool:
    """Whether x is a Python number."""
    return isinstance(x, Number)


def broadcast_all(*values: Any) -> tuple[Tensor, ...]:
    """Tensors and numbers as tensors of one shape; numbers take the dtype and device of the first tensor.

    ValueError for anything else.

    >>> [x.shape for x in torch.distributions.utils.broadcast_all(torch.zeros(3, 1), 2.0)]
    [torch.Size([3, 1]), torch.Size([3, 1])]
    """
    if not all(isinstance(v, (Tensor, Number)) or hasattr(type(v), "__torch_function__") for v in values):
        kinds = ", ".join(type(v).__name__ for v in values)
        raise ValueError(f"broadcast_all: every value must be a number or a tensor, not ({kinds})")
    tensors = [v for v in values if not isinstance(v, Number)]
    options: dict[str, Any] = {"dtype": get_default_dtype()}
    if tensors:
        options = {"dtype": tensors[0].dtype, "device": tensors[0].device}
    return tuple(ops.broadcast_tensors(*[ops.tensor(v, **options) if isinstance(v, Number) else v for v in values]))


def standard_normal(shape: Any, dtype: Any, device: Any) -> Tensor:
    """Normal numbers of mean 0 and deviation 1."""
    return ops.normal(ops.zeros(shape, dtype=dtype, device=device), ops.ones(shape, dtype=dtype, device=device))


def sum_rightmost(value: Tensor, dim: int) -> Tensor:
    """The sum over the last `dim` dimensions."""
    return value if dim == 0 else value.reshape((*value.shape[: value.ndim - dim], -1)).sum(-1)


def logits_to_probs(logits: Tensor, is_binary: bool = False) -> Tensor:
    """Probabilities from their logarithms along the last dimension; binary: from log odds, element by element."""
    return ops.sigmoid(logits) if is_binary else F.softmax(logits, dim=-1)


def clamp_probs(probs: Tensor) -> Tensor:
    """Probabilities kept away from 0 and 1 by the dtype's epsilon."""
    eps = finfo(probs.dtype).eps
    return probs.clamp(min=eps, max=1 - eps)


def probs_to_logits(probs: Tensor, is_binary: bool = False) -> Tensor:
    """Logarithms of probabilities; binary: log odds."""
    inside = clamp_probs(probs)
    return ops.log(inside) - ops.log1p(-inside) if is_binary else ops.log(inside)


class lazy_property:
    """A method as an attribute that is computed when it is first asked for, and kept."""

    def __init__(self, wrapped: Callable[[Any], Any]):
        self.wrapped = wrapped
        update_wrapper(self, wrapped)  # type: ignore[arg-type]

    def __get__(self, instance: Any, obj_type: Any = None) -> Any:
        if instance is None:
            return _lazy_property_and_property(self.wrapped)
        with enable_grad():
            value = self.wrapped(instance)
        setattr(instance, self.wrapped.__name__, value)
        return value


class _lazy_property_and_property(lazy_property, property):
    """What a lazy property is when it is read from the class: documentation sees a property."""

    def __init__(self, wrapped: Callable[[Any], Any]):
        property.__init__(self, wrapped)


def tril_matrix_to_vec(mat: Tensor, diag: int = 0) -> Tensor:
    """The elements on and below a diagonal of square matrices, row by row: (…, n, n) to (…, m)."""
    n = mat.shape[-1]
    if diag < -n or diag >= n:
        raise ValueError(f"tril_matrix_to_vec: diag {diag} is outside [{-n}, {n - 1}]")
    rows = ops.arange(n, device=mat.device)
    return mat[..., rows < rows.view(n, 1) + (diag + 1)]


def vec_to_tril_matrix(vec: Tensor, diag: int = 0) -> Tensor:
    """The square matrices whose elements on and below a diagonal are given row by row: (…, m) to (…, n, n)."""
    n = (-(1 + 2 * diag) + ((1 + 2 * diag) ** 2 + 8 * vec.shape[-1] + 4 * abs(diag) * (diag + 1)) ** 0.5) / 2
    if abs(n - round(n)) > finfo(vec.dtype).eps:
        raise ValueError(f"vec_to_tril_matrix: {vec.shape[-1]} elements do not fill a triangle with diagonal {diag}")
    n = round(n)
    mat = ops.zeros(Size((*vec.shape[:-1], n, n)), dtype=vec.dtype, device=vec.device)
    rows = ops.arange(n, device=vec.device)
    mat[..., rows < rows.view(n, 1) + (diag + 1)] = vec
    return mat
