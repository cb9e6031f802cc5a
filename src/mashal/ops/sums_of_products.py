"""A product of matrices added to a tensor: addmm, baddbmm, addbmm, addmv, addr, on a new tensor and in place.

All are beta·input + alpha·product. With beta 0 the input's numbers are not looked at, so nan in it does not matter.
Integers take whole factors, as PyTorch does: 3.5 counts as 3.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mashal.core import tape
from mashal.core.dtypes import promote
from mashal.core.saved import save, unpack
from mashal.core.tape import Node
from mashal.core.tensor import Tensor
from mashal.errors import message
from mashal.ops.arithmetic import add, mul
from mashal.ops.assigning import assigned
from mashal.ops.broadcast import expand_to, sum_to
from mashal.ops.contraction import adjointed, bmm, check_ranks, matmul, mm, multiply, mv, outer
from mashal.ops.define import dispatched, overrides, spelled, write_out

EVERYWHERE = ("torch", "method", "in_place")


def _scaled(x: Tensor, factor: complex) -> Tensor:
    return x if factor == 1 else mul(x, factor)


def _sum(operation: str, input: Tensor, y: Tensor, beta: float, alpha: float, out: Tensor | None) -> Tensor:
    kind = y.form.dtype.kind
    if kind in "iub":
        whole = bool if kind == "b" else int
        beta, alpha = whole(beta), whole(alpha)
    y = _scaled(y, alpha)
    if beta != 0:
        y = add(y, _scaled(input, beta))
    return y if out is None else write_out(operation, out, y)


def _check(operation: str, input: Tensor, a: Tensor, b: Tensor, shape: tuple[int, ...]) -> None:
    """Errors for other dtypes than the product's, and for an input that does not broadcast to the product's shape."""
    for x in (input, b):
        if x.form.dtype is not a.form.dtype:
            raise RuntimeError(
                message(
                    operation,
                    f"all operands must have the same dtype, but got {input.dtype}, {a.dtype} and {b.dtype}",
                )
            )
    own = tuple(input.form.shape)
    if len(own) > len(shape) or any(n not in (1, m) for n, m in zip(reversed(own), reversed(shape))):
        raise RuntimeError(
            message(
                operation,
                f"input {own} must match the existing size at non-singleton dimensions of the product, {tuple(shape)}",
            )
        )


class AddmmBackward(Node):
    """saved: mat1 and mat2 (None for the one whose partner wants no gradient), beta, alpha, the bias's shape."""

    __slots__ = ()
    operands = ("input", "mat1", "mat2")

    def backward(self, *gradients: Any) -> tuple:
        (g,) = gradients
        a, b, beta, alpha, shape = self.saved
        a, b = (None if x is None else unpack(x, self) for x in (a, b))
        beta, alpha = (x.conjugate() if isinstance(x, complex) else x for x in (beta, alpha))
        first = sum_to(_scaled(g, beta), shape) if self.edges[0] is not None else None
        g = _scaled(g, alpha)
        ga = matmul(g, adjointed(b)) if b is not None else None
        return first, ga, matmul(adjointed(a), g) if a is not None else None


_NODES = {name: type(name, (AddmmBackward,), {"__slots__": ()}) for name in ("AddmmBackward0", "BaddbmmBackward0")}


def _recorded(
    operation: str, node: str, input: Tensor, a: Tensor, b: Tensor, beta: float, alpha: float, out: Tensor | None
) -> Tensor:
    recorded = tape.wants_gradient(input, a, b)
    with tape.no_grad():
        product = multiply(operation, mm if a.form.rank == 2 else bmm, a, b, None)
        _check(operation, input, a, b, product.form.shape)
        y = _sum(operation, input, product, beta, alpha, out)
    if recorded and y.form.dtype.kind in "fc":
        saved = save(a) if b.node is not None else None, save(b) if a.node is not None else None
        y.node = _NODES[node](tape.edges(input, a, b), (*saved, beta, alpha, input.form.shape))
    return y


def _subclassed(function: Callable[..., Any], operands: tuple, beta: float, alpha: float, out: Any) -> Any:
    """What subclasses among the operands make of the call, None if there are none."""
    kinds = overrides(operands)
    if not kinds:
        return None
    options = {"beta": beta, "alpha": alpha} | ({} if out is None else {"out": out})
    return dispatched(function, kinds, operands, options)


# ---------------------------------------------------------------- matrices
def addmm(
    input: Tensor, mat1: Tensor, mat2: Tensor, *, beta: float = 1, alpha: float = 1, out: Tensor | None = None
) -> Tensor:
    """beta·input + alpha·(mat1 @ mat2): (n, m), (n, k) and (k, m); input may broadcast.

    >>> torch.addmm(torch.ones(2), torch.eye(2), torch.eye(2))
    tensor([[2., 1.],
            [1., 2.]])
    """
    made = _subclassed(addmm, (input, mat1, mat2), beta, alpha, out)
    if made is not None:
        return made
    check_ranks("addmm", mat1, 2, mat2, 2)
    return _recorded("addmm", "AddmmBackward0", input, mat1, mat2, beta, alpha, out)


def baddbmm(
    input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: float = 1, alpha: float = 1, out: Tensor | None = None
) -> Tensor:
    """beta·input + alpha·(batch1 @ batch2), matrix by matrix: (b, n, k) and (b, k, m); input may broadcast.

    >>> torch.baddbmm(torch.zeros(1), torch.ones(2, 1, 3), torch.ones(2, 3, 1)).flatten()
    tensor([3., 3.])
    """
    made = _subclassed(baddbmm, (input, batch1, batch2), beta, alpha, out)
    if made is not None:
        return made
    check_ranks("baddbmm", batch1, 3, batch2, 3)
    return _recorded("baddbmm", "BaddbmmBackward0", input, batch1, batch2, beta, alpha, out)


def addbmm(
    input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: float = 1, alpha: float = 1, out: Tensor | None = None
) -> Tensor:
    """beta·input + alpha·Σ (batch1 @ batch2), summed over the batch: (b, n, k) and (b, k, m) to (n, m).

    >>> torch.addbmm(torch.zeros(1), torch.ones(2, 1, 3), torch.ones(2, 3, 1))
    tensor([[6.]])
    """
    made = _subclassed(addbmm, (input, batch1, batch2), beta, alpha, out)
    if made is not None:
        return made
    check_ranks("addbmm", batch1, 3, batch2, 3)
    products = bmm(batch1, batch2)
    shape = tuple(products.form.shape[1:])
    _check("addbmm", input, batch1, batch2, shape)
    y = products.sum(0, dtype=products.dtype)  # type: ignore[attr-defined]
    return _sum("addbmm", expand_to(input, shape), y, beta, alpha, out)


# ---------------------------------------------------------------- vectors
def addmv(
    input: Tensor, mat: Tensor, vec: Tensor, *, beta: float = 1, alpha: float = 1, out: Tensor | None = None
) -> Tensor:
    """beta·input + alpha·(mat @ vec): (n), (n, m) and (m); input may broadcast.

    >>> torch.addmv(torch.tensor([1.0, 2.0]), torch.ones(2, 3), torch.ones(3), beta=10)
    tensor([13., 23.])
    """
    made = _subclassed(addmv, (input, mat, vec), beta, alpha, out)
    if made is not None:
        return made
    check_ranks("addmv", mat, 2, vec, 1)
    y = multiply("addmv", mv, mat, vec, None)
    _check("addmv", input, mat, vec, y.form.shape)
    return _sum("addmv", expand_to(input, tuple(y.form.shape)), y, beta, alpha, out)


def addr(
    input: Tensor, vec1: Tensor, vec2: Tensor, *, beta: float = 1, alpha: float = 1, out: Tensor | None = None
) -> Tensor:
    """beta·input + alpha·outer(vec1, vec2): (n, m), (n) and (m), of any dtypes; input may broadcast.

    >>> torch.addr(torch.zeros(1), torch.tensor([1.0, 2.0]), torch.tensor([3.0, 4.0]))
    tensor([[3., 4.],
            [6., 8.]])
    """
    made = _subclassed(addr, (input, vec1, vec2), beta, alpha, out)
    if made is not None:
        return made
    y = outer(vec1, vec2)
    kind = promote(input.form.dtype, y.form.dtype).kind
    for name, factor in (("beta", beta), ("alpha", alpha)):
        if kind in "iu" and isinstance(factor, float):
            raise RuntimeError(message("addr", f"for integers {name} must be whole, it is {factor}"))
    shape = tuple(y.form.shape)
    own = tuple(input.form.shape)
    if len(own) > 2 or any(n not in (1, m) for n, m in zip(reversed(own), reversed(shape))):
        raise RuntimeError(message("addr", f"input {own} does not broadcast to the outer product, {shape}"))
    return _sum("addr", expand_to(input, shape), y, beta, alpha, out)


for _function in (addmm, baddbmm, addbmm, addmv, addr):
    spelled(EVERYWHERE, in_place=assigned(_function))(_function)
