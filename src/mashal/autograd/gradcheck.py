"""gradcheck: what backward gives, held against differences of the function itself.

Everything is compared as real numbers: a complex tensor counts as twice as many real ones, so the Jacobian of a function
from complex to complex numbers is an ordinary real matrix, and PyTorch's convention for complex gradients (∂L/∂re + i·∂L/∂im)
says what its rows are.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from itertools import product
from typing import Any

from mashal import ops
from mashal.autograd.forward_ad import dual_level, make_dual, unpack_dual
from mashal.autograd.roots import grad
from mashal.core.dtypes import float64
from mashal.core.tape import no_grad
from mashal.core.tensor import Tensor
from mashal.errors import message

__all__ = ["GradcheckError", "gradcheck", "gradgradcheck"]


class GradcheckError(RuntimeError):
    """What backward gives is not the derivative."""


def gradcheck(
    func: Callable[..., Any],
    inputs: Any,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    check_grad_dtypes: bool = False,
    check_batched_grad: bool = False,
    check_batched_forward_grad: bool = False,
    check_forward_ad: bool = False,
    check_backward_ad: bool = True,
    fast_mode: bool = False,
    masked: bool | None = None,
) -> bool:
    """Whether the gradients of func are its derivatives, as (func(x + eps) - func(x - eps)) / 2 eps tells them.

    func takes the inputs and gives a tensor or several; inputs that require grad are checked and should be float64 or
    complex128. A gradient passes if it is within atol + rtol·|difference|. Errors: GradcheckError (False if
    raise_exception is False) for the first that does not. nondet_tol: how much two backwards may differ.

    >>> x = torch.randn(3, dtype=torch.float64, requires_grad=True)
    >>> torch.autograd.gradcheck(torch.sin, x)
    True
    """
    inputs = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
    try:
        _check_inputs(inputs, eps)
        outputs = _outputs(func, inputs)
        checked = [(i, x) for i, x in enumerate(inputs) if isinstance(x, Tensor) and x.requires_grad]
        expected = [_differences(func, inputs, i, eps, len(outputs)) for i, _ in checked]
        for o, y in enumerate(outputs):
            rows = _rows(y, [x for _, x in checked], nondet_tol, check_grad_dtypes)
            for (i, _), row, difference in zip(checked, rows, expected):
                _compare(row, difference[o], atol, rtol, i, o)
        if check_batched_grad:
            _check_batched(func, inputs, [x for _, x in checked])
        if check_forward_ad:
            for (i, x), difference in zip(checked, expected):
                if not x.is_complex():
                    _check_forward(func, inputs, i, difference, atol, rtol)
    except GradcheckError:
        if raise_exception:
            raise
        return False
    return True


def gradgradcheck(
    func: Callable[..., Any],
    inputs: Any,
    grad_outputs: Any = None,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    gen_non_contig_grad_outputs: bool = False,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    check_grad_dtypes: bool = False,
    check_batched_grad: bool = False,
    check_fwd_over_rev: bool = False,
    check_rev_over_rev: bool = True,
    fast_mode: bool = False,
    masked: bool = False,
) -> bool:
    """gradcheck of the gradient of func, as a function of the inputs and of grad_outputs (random if not given).

    >>> x = torch.randn(3, dtype=torch.float64, requires_grad=True)
    >>> torch.autograd.gradgradcheck(torch.sin, x)
    True
    """
    inputs = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
    if grad_outputs is None:
        with no_grad():
            given = tuple(ops.randn_like(y) for y in _outputs(func, inputs))
        if gen_non_contig_grad_outputs:
            given = tuple(ops.stack([g, g], -1)[..., 0] if g.dim() else g for g in given)
        given = tuple(g.requires_grad_() for g in given)
    else:
        given = (grad_outputs,) if isinstance(grad_outputs, Tensor) else tuple(grad_outputs)

    def first(*arguments: Any) -> tuple[Tensor, ...]:
        xs, gs = arguments[: len(inputs)], arguments[len(inputs) :]
        wanted = [x for x in xs if isinstance(x, Tensor) and x.requires_grad]
        found = grad(_outputs(func, xs), wanted, gs, create_graph=True, allow_unused=True)
        return tuple(g for g in found if g is not None and g.requires_grad)

    return gradcheck(
        first, (*inputs, *given), eps=eps, atol=atol, rtol=rtol, raise_exception=raise_exception, nondet_tol=nondet_tol,
        check_grad_dtypes=check_grad_dtypes, check_batched_grad=check_batched_grad,
    )  # fmt: skip


# ---------------------------------------------------------------- inputs and outputs
def _check_inputs(inputs: tuple[Any, ...], eps: float) -> None:
    wanted = [(i, x) for i, x in enumerate(inputs) if isinstance(x, Tensor) and x.requires_grad]
    if not wanted:
        wrong = "gradcheck expects at least one input tensor to require gradient, but none of them does"
        raise ValueError(message("gradcheck", wrong))
    for i, x in wanted:
        if str(x.dtype).rpartition(".")[2] not in ("float64", "complex128"):
            warnings.warn(
                message(
                    "gradcheck", f"input {i} is of {x.dtype}", "differences of less than double precision tell little"
                ),
                stacklevel=3,
            )
        if any(step == 0 and size > 1 for size, step in zip(x.shape, x.stride())):
            wrong = f"input {i} has a dimension with stride 0"
            raise RuntimeError(message("gradcheck", wrong, "elements that share memory can't be changed one by one"))


def _outputs(func: Callable, inputs: tuple[Any, ...]) -> tuple[Tensor, ...]:
    """The differentiable outputs."""
    given = func(*inputs)
    several = (given,) if isinstance(given, Tensor) else tuple(given)
    return tuple(y for y in several if isinstance(y, Tensor) and (y.is_floating_point() or y.is_complex()))


def _reals(x: Tensor) -> Tensor:
    """The real numbers of a tensor, in a row."""
    return (ops.view_as_real(x.resolve_conj()) if x.is_complex() else x).reshape(-1)


# ---------------------------------------------------------------- the two Jacobians: (outputs, inputs), as real numbers
def _differences(func: Callable, inputs: tuple[Any, ...], which: int, eps: float, count: int) -> list[Tensor]:
    """For each output, the differences along each element of one input."""
    x = inputs[which]
    with no_grad():
        moved = x.detach().clone()
    columns: list[list[Tensor]] = [[] for _ in range(count)]
    for place in product(*map(range, x.shape)):
        old = moved[place].item()
        for step in (eps, eps * 1j) if x.is_complex() else (eps,):
            ends = []
            for end in (old + step, old - step):
                with no_grad():
                    moved[place] = end
                arguments = list(inputs)
                arguments[which] = moved.clone().requires_grad_()
                ends.append([_reals(y.detach()).clone() for y in _outputs(func, tuple(arguments))])
            for column, above, below in zip(columns, *ends):
                column.append((above - below) / (2 * eps))
        with no_grad():
            moved[place] = old
    return [ops.stack(column, 1) if column else ops.zeros(0, 0, dtype=float64) for column in columns]


def _rows(y: Tensor, xs: list[Tensor], nondet_tol: float, check_dtypes: bool) -> list[Tensor]:
    """For each input, the gradients of each element of an output, twice to see whether they are the same."""
    rows: list[list[Tensor]] = [[] for _ in xs]
    for place in product(*map(range, y.shape)):
        for unit in (1, 1j) if y.is_complex() else (1,):
            seed = ops.zeros_like(y.detach())
            seed[place] = unit
            first, second = (_gradients(y, xs, seed) for _ in range(2))
            for column, x, one, two in zip(rows, xs, first, second):
                if check_dtypes and one.dtype != x.dtype:
                    raise GradcheckError(message("gradcheck", f"a gradient is of {one.dtype}", f"expected {x.dtype}"))
                if one.numel() and (one - two).abs().max().item() > nondet_tol:
                    wrong = "backward is not reentrant: with the same input and grad_output it gave two gradients"
                    raise GradcheckError(message("gradcheck", wrong, f"they may differ by nondet_tol, {nondet_tol}"))
                column.append(_reals(one))
    return [ops.stack(column) if column else ops.zeros(0, 0, dtype=float64) for column in rows]


def _gradients(y: Tensor, xs: list[Tensor], seed: Tensor) -> tuple[Tensor, ...]:
    if not y.requires_grad:
        return tuple(ops.zeros_like(x.detach()) for x in xs)
    found = grad((y,), xs, (seed,), retain_graph=True, allow_unused=True)
    return tuple(ops.zeros_like(x.detach()) if g is None else g.detach() for g, x in zip(found, xs))


def _compare(gradients: Tensor, differences: Tensor, atol: float, rtol: float, i: int, o: int) -> None:
    if not gradients.numel() and not differences.numel():
        return
    differences = differences.to(gradients.dtype)
    far = ((gradients - differences).abs() <= atol + rtol * differences.abs()).logical_not()
    if bool(far.any()):
        raise GradcheckError(
            f"gradcheck: Jacobian mismatch for output {o} with respect to input {i},\n"
            f"numerical:{differences}\nanalytical:{gradients}"
        )


def _check_forward(
    func: Callable, inputs: tuple[Any, ...], i: int, differences: list[Tensor], atol: float, rtol: float
) -> None:
    """Whether the tangents of the outputs along a random one of an input are those of the differences."""
    direction = ops.randn_like(inputs[i].detach())
    with dual_level():
        arguments = list(inputs)
        arguments[i] = make_dual(inputs[i].detach(), direction)
        for o, y in enumerate(_outputs(func, tuple(arguments))):
            tangent = unpack_dual(y).tangent
            along = (differences[o] @ direction.reshape(-1).to(differences[o].dtype)).reshape(-1)
            found = ops.zeros_like(along) if tangent is None else _reals(tangent.detach())
            if not ops.allclose(found, along, rtol, atol):
                wrong = f"the tangent of output {o} along input {i} is {found}, differences say {along}"
                raise GradcheckError(message("gradcheck", wrong, "forward mode must agree with them"))


def _check_batched(func: Callable, inputs: tuple[Any, ...], xs: list[Tensor]) -> None:
    """Whether gradients of a batch of grad_outputs are those of its members."""
    for y in _outputs(func, inputs):
        if not y.requires_grad:
            continue
        seeds = ops.stack([ops.randn_like(y.detach()) for _ in range(2)])
        options: dict[str, Any] = {"retain_graph": True, "allow_unused": True}
        batched = grad((y,), xs, (seeds,), is_grads_batched=True, **options)
        single = [grad((y,), xs, (seed,), **options) for seed in seeds]
        for together, *apart in zip(batched, *single):
            if together is not None and not ops.allclose(together, ops.stack(apart)):
                raise GradcheckError(message("gradcheck", "gradients of a batch are not those of its members"))
