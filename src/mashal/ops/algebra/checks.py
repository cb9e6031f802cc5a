"""What linear algebra asks of its operands, and what it says when a matrix has no such factor, inverse or solution."""

from __future__ import annotations

from typing import Any

from mashal.core.shapes import broadcast
from mashal.core.tensor import Tensor
from mashal.errors import LinAlgError, message
from mashal.ops.run import scalar_name

# The methods of tensors are attached above this floor: what is written with them here is checked by tests, not types.
# pyright: reportAttributeAccessIssue=false

LOW = ("float16", "bfloat16", "complex32")


# ---------------------------------------------------------------- operands
def check_floating(name: str, x: Any, argument: str = "A") -> None:
    """TypeError for what is no tensor, RuntimeError for integers and half precisions."""
    if not isinstance(x, Tensor):
        raise TypeError(f"{name}(): argument '{argument}' (position 1) must be Tensor, not {type(x).__name__}")
    d = x.form.dtype
    if d.kind not in "fc":
        right = f"{argument} is of {d}"
        raise RuntimeError(
            message(name, f"Expected a floating point or complex tensor as input. Got {scalar_name(d)}", right)
        )
    if d.name in LOW:
        raise RuntimeError(
            message(name, f"Low precision dtypes not supported. Got {scalar_name(d)}", "use .float() first")
        )


def check_matrix(name: str, x: Any, argument: str = "A") -> None:
    """RuntimeError unless x is a matrix or a batch of them, of float32, float64, complex64 or complex128."""
    check_floating(name, x, argument)
    if x.form.rank < 2:
        wrong = f"The input tensor {argument} must have at least 2 dimensions"
        raise RuntimeError(message(name, wrong, f"it is {tuple(x.form.shape)}"))


def check_square(name: str, x: Any, argument: str = "A") -> None:
    """RuntimeError unless x is a square matrix or a batch of them."""
    check_matrix(name, x, argument)
    rows, columns = x.form.shape[-2:]
    if rows != columns:
        wrong = f"{argument} must be batches of square matrices, but they are {rows} by {columns} matrices"
        raise RuntimeError(message(name, wrong))


def check_same(name: str, a: Tensor, b: Any, first: str = "A", second: str = "B") -> None:
    """RuntimeError unless b is a tensor of a's dtype and device."""
    if not isinstance(b, Tensor):
        raise TypeError(f"{name}(): argument '{second}' (position 2) must be Tensor, not {type(b).__name__}")
    if a.form.dtype is not b.form.dtype:
        wrong = f"Expected {first} and {second} to have the same dtype, but found {first} of type {a.form.dtype}"
        raise RuntimeError(message(name, f"{wrong} and {second} of type {b.form.dtype} instead"))
    if a.form.device is not b.form.device:
        raise RuntimeError(
            message(
                name,
                "Expected all tensors to be on the same device",
                f"{first} is on {a.form.device}, {second} on {b.form.device}",
            )
        )


def check_sides(name: str, a: Tensor, b: Tensor, left: bool) -> None:
    """RuntimeError unless the equation AX = B (XA = B if not left) can be of these sizes."""
    if a.form.shape[-2] != b.form.shape[-2 if left else -1]:
        equation = "AX = B" if left else "XA = B"
        (m, n), (k, p) = a.form.shape[-2:], b.form.shape[-2:]
        raise RuntimeError(
            message(name, f"Incompatible shapes of A and B for the equation {equation} ({m}x{n} and {k}x{p})")
        )


def one_batch(name: str, *matrices: Tensor) -> list[Tensor]:
    """Matrices with their batch dimensions broadcast to one shape."""
    batch = broadcast(name, *(x.form.shape[:-2] for x in matrices))
    return [x if tuple(x.form.shape[:-2]) == batch else x.expand(*batch, *x.form.shape[-2:]) for x in matrices]


# ---------------------------------------------------------------- failures
def refuse_failed(name: str, info: Tensor, what: str) -> None:
    """LinAlgError if info (0: all well) says that a matrix failed; what: a text with {} for its number."""
    numbers = [] if info.form.device.type == "meta" else info.reshape(-1).tolist()
    for i, number in enumerate(numbers):
        if number:
            which = f"(Batch element {i}): " if info.form.rank else ""
            raise LinAlgError(f"{name}: {which}{what.format(number)}")


SINGULAR = "The diagonal element {} is zero, the inversion could not be completed because the input matrix is singular."
NO_SOLUTION = "The solver failed because the input matrix is singular: its diagonal element {} is zero."
NOT_POSITIVE = (
    "The factorization could not be completed because the input is not positive-definite "
    "(the leading minor of order {} is not positive-definite)."
)
NOT_FINITE = "The algorithm failed to converge because the input matrix contained non-finite values."


# ---------------------------------------------------------------- what formulas use
def conjugated(x: Tensor) -> Tensor:
    """The conjugate transpose of matrices."""
    return x.mT.conj() if x.form.dtype.is_complex else x.mT


def plain_conjugate(x: Tensor) -> Tensor:
    """The conjugate; of a real tensor itself."""
    return x.conj() if x.form.dtype.is_complex else x
