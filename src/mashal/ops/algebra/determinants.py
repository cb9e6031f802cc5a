"""Determinants, and their logarithms."""

from __future__ import annotations

from typing import Any

from mashal.core.interop import numpy
from mashal.core.tensor import Tensor
from mashal.ops.algebra import results
from mashal.ops.algebra.checks import check_square, conjugated, plain_conjugate
from mashal.ops.algebra.solving import solution_of
from mashal.ops.algebra.spectra import svd_of
from mashal.ops.contraction import matmul
from mashal.ops.define import recorded, spelled
from mashal.ops.joining import cat
from mashal.ops.outside import finish, outside

# pyright: reportAttributeAccessIssue=false


# ---------------------------------------------------------------- det
def _det(a: Any) -> Any:
    return numpy.linalg.det(a).astype(a.dtype)


@recorded("LinalgDetBackward0")
def _determinant(a: Tensor) -> tuple[Tensor, tuple]:
    y = outside(_det, a)
    return y, (a, y)


@_determinant.backward
def _(node: Any, g: Tensor) -> tuple:
    a, y = node.kept()
    if a.form.numel == 0:
        return (a * 0,)
    if bool((y == 0).any()):
        return (_cofactors(a) * g[..., None, None],)
    diagonal = (g * plain_conjugate(y)).unsqueeze(-1).expand(a.form.shape[:-1]).diag_embed()
    return (solution_of(conjugated(a), diagonal)[0],)


def _cofactors(a: Tensor) -> Tensor:
    """The derivative of a determinant, which singular matrices have too: from singular values, each left out in turn."""
    u, s, vh = svd_of(a, False)
    n = s.form.shape[-1]
    one = s.new_ones((*s.form.shape[:-1], 1))
    before = s[..., : n - 1].cumprod(-1)
    after = s.flip(-1)[..., : n - 1].cumprod(-1).flip(-1)
    others = cat([one, before], -1) * cat([after, one], -1)
    turn = _determinant(matmul(u, vh))
    y = matmul(u * others.unsqueeze(-2), vh)
    return y * plain_conjugate(turn)[..., None, None]


@spelled(("torch", "method", "linalg"))
def det(A: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The determinant of square matrices (*, n, n): (*).

    >>> torch.linalg.det(torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
    tensor(-2.)
    """
    check_square("linalg.det", A)
    return finish("linalg.det", out, _determinant(A))


# ---------------------------------------------------------------- sign and log|det|
def _slogdet(a: Any) -> tuple[Any, Any]:
    sign, size = numpy.linalg.slogdet(a)
    return sign.astype(a.dtype), size.astype(a.real.dtype)


@recorded("LinalgSlogdetBackward0")
def _sign_and_log(a: Tensor) -> tuple[tuple[Tensor, Tensor], tuple]:
    sign, size = outside(_slogdet, a)
    return (sign, size), (a, sign)


@_sign_and_log.backward
def _(node: Any, of_sign: Tensor | None, of_log: Tensor | None) -> tuple:
    a, sign = node.kept()
    w = None if of_log is None else of_log.to(a.form.dtype)
    if a.form.dtype.is_complex and of_sign is not None:
        turning = (of_sign.conj() * sign).imag.to(a.form.dtype) * -1j
        w = turning if w is None else w + turning
    if w is None:
        return (a * 0,)
    diagonal = w.unsqueeze(-1).expand(a.form.shape[:-1]).diag_embed()
    return (solution_of(conjugated(a), diagonal)[0],)


@spelled((), name="linalg_slogdet", aliases=("linalg.slogdet",))
def linalg_slogdet(A: Tensor, *, out: Any = None) -> Any:
    """(sign, logabsdet): det A = sign · exp(logabsdet); of singular matrices 0 and -inf.

    >>> torch.linalg.slogdet(torch.tensor([[0.0, 1.0], [1.0, 0.0]]))
    torch.return_types.linalg_slogdet(
    sign=tensor(-1.),
    logabsdet=tensor(0.))
    """
    check_square("linalg.slogdet", A)
    return finish("linalg.slogdet", out, tuple(_sign_and_log(A)), results.linalg_slogdet)


@spelled()
def slogdet(input: Tensor, *, out: Any = None) -> Any:
    """(sign, logabsdet): det = sign · exp(logabsdet)."""
    return results.slogdet(*linalg_slogdet(input, out=out))


@spelled()
def logdet(input: Tensor) -> Tensor:
    """log det; nan where the determinant is negative, -inf where it is 0.

    >>> torch.logdet(torch.eye(3))
    tensor(0.)
    """
    check_square("logdet", input)
    sign, size = _sign_and_log(input)
    if input.form.dtype.is_complex:
        return sign.log() + size
    return size.masked_fill(sign == -1, float("nan"))
