"""Parametrizations ready to use: orthogonal weights, weights of given lengths, weights without a large singular value."""

from __future__ import annotations

from typing import Any

from mashal import ops
from mashal.core.dtypes import float32, float64
from mashal.core.tape import no_grad
from mashal.core.tensor import Tensor
from mashal.later import later
from mashal.nearest import nearest
from mashal.nn import functional as F
from mashal.nn.module import Module
from mashal.nn.utils import parametrize
from mashal.nn.utils.spectral_norm import dim_of
from mashal.nn.utils.weight_norm import norm_except_dim, weighted

__all__ = ["orthogonal", "spectral_norm", "weight_norm"]

linalg, _factors = later("mashal.linalg"), later("mashal.ops.algebra.orthogonal")
_FIRST_STEPS = 15  # power iterations when a weight is parametrized


def _parametrized(operation: str, module: Module, name: str) -> Tensor:
    weight = getattr(module, name, None)
    if not isinstance(weight, Tensor):
        raise ValueError(f"{operation}: module '{module}' has no parameter or buffer with name '{name}'")
    return weight


# ---------------------------------------------------------------- weight_norm
class _WeightNorm(Module):
    def __init__(self, dim: int | None = 0) -> None:
        super().__init__()
        self.dim = -1 if dim is None else dim

    def forward(self, weight_g: Tensor, weight_v: Tensor) -> Tensor:
        return weighted(weight_v, weight_g, self.dim)

    def right_inverse(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        return norm_except_dim(weight, 2, self.dim), weight


def weight_norm(module: Module, name: str = "weight", dim: int | None = 0) -> Module:
    """Trains a weight's lengths (original0) and directions (original1) instead of the weight; returns the module.

    dim: whose slices have a length each; None: one length for all.

    >>> layer = nn.utils.parametrizations.weight_norm(nn.Linear(4, 3))
    >>> layer.parametrizations.weight.original0.shape
    torch.Size([3, 1])
    """
    parametrize.register_parametrization(module, name, _WeightNorm(dim), unsafe=True)

    def renamed(state_dict: Any, prefix: str, *rest: Any) -> None:  # files of nn.utils.weight_norm
        old = [f"{prefix}{name}_g", f"{prefix}{name}_v"]
        if all(key in state_dict for key in old):
            for i, key in enumerate(old):
                state_dict[f"{prefix}parametrizations.{name}.original{i}"] = state_dict.pop(key)

    module._register_load_state_dict_pre_hook(renamed)
    return module


# ---------------------------------------------------------------- spectral_norm
class _SpectralNorm(Module):
    def __init__(self, weight: Tensor, n_power_iterations: int = 1, dim: int = 0, eps: float = 1e-12) -> None:
        super().__init__()
        if not -weight.dim() <= dim < weight.dim():
            raise IndexError(
                f"Dimension out of range (expected to be in range of [-{weight.dim()}, {weight.dim() - 1}] but got {dim})"
            )
        if n_power_iterations <= 0:
            raise ValueError(f"spectral_norm: Expected n_power_iterations to be positive, but got {n_power_iterations}")
        self.dim, self.eps = dim if dim >= 0 else dim + weight.dim(), eps
        if weight.dim() > 1:
            self.n_power_iterations = n_power_iterations
            matrix = self._matrix(weight)
            height, width = matrix.size()
            u, v = (matrix.new_empty(n).normal_(0, 1) for n in (height, width))  # type: ignore[attr-defined]
            self.register_buffer("_u", F.normalize(u, dim=0, eps=eps))
            self.register_buffer("_v", F.normalize(v, dim=0, eps=eps))
            self._power_method(matrix, _FIRST_STEPS)

    def _matrix(self, weight: Tensor) -> Tensor:
        if self.dim:
            weight = weight.permute(self.dim, *[d for d in range(weight.dim()) if d != self.dim])  # type: ignore[attr-defined]
        return weight.flatten(1)  # type: ignore[attr-defined]

    def _power_method(self, matrix: Tensor, steps: int) -> None:
        with no_grad():
            for _ in range(steps):
                self._u = F.normalize(ops.mv(matrix, self._v), dim=0, eps=self.eps, out=self._u)
                self._v = F.normalize(ops.mv(matrix.H, self._u), dim=0, eps=self.eps, out=self._v)  # type: ignore[attr-defined]

    def forward(self, weight: Tensor) -> Tensor:
        if weight.dim() == 1:
            return F.normalize(weight, dim=0, eps=self.eps)
        matrix = self._matrix(weight)
        if self.training:
            self._power_method(matrix, self.n_power_iterations)
        u, v = self._u.clone(), self._v.clone()  # type: ignore[attr-defined]
        return weight / ops.vdot(u, ops.mv(matrix, v))

    def right_inverse(self, value: Tensor) -> Tensor:
        return value


def spectral_norm(
    module: Module, name: str = "weight", n_power_iterations: int = 1, eps: float = 1e-12, dim: int | None = None
) -> Module:
    """Divides a weight by its largest singular value; returns the module.

    n_power_iterations: steps towards it each time the weight is asked for, while training. dim: that of the outputs, by default
    1 for transposed convolutions, 0 for all others.

    >>> layer = nn.utils.parametrizations.spectral_norm(nn.Linear(20, 40))
    >>> bool((torch.linalg.matrix_norm(layer.weight, 2) - 1).abs() < 0.2)
    True
    """
    weight = _parametrized("spectral_norm", module, name)
    dim = dim_of(module) if dim is None else dim
    parametrize.register_parametrization(module, name, _SpectralNorm(weight, n_power_iterations, dim, eps))
    return module


# ---------------------------------------------------------------- orthogonal
_MAPS = ("matrix_exp", "cayley", "householder")


class _Orthogonal(Module):
    base: Tensor | None

    def __init__(self, weight: Tensor, orthogonal_map: str, *, use_trivialization: bool = True) -> None:
        super().__init__()
        if weight.dtype.is_complex and orthogonal_map == "householder":
            raise ValueError("orthogonal: the householder parametrization does not support complex tensors.")
        self.shape, self.orthogonal_map = weight.shape, orthogonal_map
        if use_trivialization:
            self.register_buffer("base", None)

    def forward(self, X: Tensor) -> Tensor:
        x: Any = X
        n, k = x.size(-2), x.size(-1)
        wide = n < k
        if wide:
            x, n, k = x.mT, k, n
        if self.orthogonal_map == "householder":
            q = linalg.householder_product(x, 2 / (1 + (x * x).tril(-1).sum(-2)))
            q = q * x.diagonal(dim1=-2, dim2=-1).int().unsqueeze(-2)  # signs, which stay as they are
        else:
            x = x.tril()
            if n != k:
                x = ops.cat([x, x.new_zeros(n, n - k).expand(*x.shape[:-2], -1, -1)], -1)
            skew = x - x.mH
            if self.orthogonal_map == "matrix_exp":
                q = linalg.matrix_exp(skew)
            else:
                one = ops.eye(n, dtype=x.dtype, device=x.device)
                q = linalg.solve(ops.add(one, skew, alpha=-0.5), ops.add(one, skew, alpha=0.5))
            if n != k:
                q = q[..., :k]
        if hasattr(self, "base") and self.base is not None:
            q = self.base @ q
        return q.mT if wide else q

    def right_inverse(self, Q: Tensor) -> Tensor:
        if Q.shape != self.shape:
            raise ValueError(
                f"orthogonal: Expected a matrix or batch of matrices of shape {tuple(self.shape)}. Got a tensor of shape {tuple(Q.shape)}."
            )
        q: Any = Q
        n, k = q.size(-2), q.size(-1)
        wide = n < k
        if wide:
            q, n, k = q.mT, k, n
        if not hasattr(self, "base"):
            if self.orthogonal_map in ("matrix_exp", "cayley"):
                raise NotImplementedError(
                    "orthogonal: a matrix_exp or cayley parametrization needs use_trivialization=True to be assigned"
                )
            a, tau = _factors.geqrf(q)
            a.diagonal(dim1=-2, dim2=-1).sign_()
            a.diagonal(dim1=-2, dim2=-1)[tau == 0.0] *= -1
            return a.mT if wide else a
        if n == k:
            q = q.clone() if _is_orthogonal(q) else _orthogonalized(q)
        else:
            more = ops.randn((*q.shape[:-2], n, n - k), dtype=q.dtype, device=q.device)
            q = _orthogonalized(ops.cat([q, more], -1))
        self.base = q
        minus = ops.zeros_like(Q)
        minus.diagonal(dim1=-2, dim2=-1).fill_(-1.0)  # type: ignore[attr-defined]
        return minus


def _orthogonalized(x: Any) -> Any:
    q, r = linalg.qr(x)
    return q * r.diagonal(dim1=-2, dim2=-1).sgn().unsqueeze(-2)


def _is_orthogonal(q: Any) -> bool:
    n, k = q.size(-2), q.size(-1)
    one = ops.eye(k, dtype=q.dtype, device=q.device)
    eps = 10.0 * n * {float64: 2.0**-52, float32: 2.0**-23}.get(q.dtype, 2.0**-10)
    return bool(ops.allclose(q.mH @ q, one, atol=eps))


def orthogonal(
    module: Module, name: str = "weight", orthogonal_map: str | None = None, *, use_trivialization: bool = True
) -> Module:
    """Keeps a weight orthogonal (its rows, or its columns where there are fewer, orthonormal); returns the module.

    orthogonal_map: "matrix_exp" or "cayley" of a skew matrix, or a product of "householder" reflections; by default matrix_exp for
    square and complex weights, householder for others. use_trivialization: the map starts at the weight of the beginning.

    >>> layer = nn.utils.parametrizations.orthogonal(nn.Linear(4, 3))
    >>> bool(torch.allclose(layer.weight @ layer.weight.T, torch.eye(3), atol=1e-5))
    True
    """
    weight = _parametrized("orthogonal", module, name)
    if weight.dim() < 2:
        raise ValueError(
            f"orthogonal: Expected a matrix or batch of matrices. Got a tensor of {weight.dim()} dimensions."
        )
    if orthogonal_map is None:
        square = weight.size(-2) == weight.size(-1)
        orthogonal_map = "matrix_exp" if square or weight.dtype.is_complex else "householder"
    if orthogonal_map not in _MAPS:
        raise ValueError(
            f'orthogonal: orthogonal_map has to be one of "matrix_exp", "cayley", "householder". Got: {orthogonal_map}'
        )
    orth = _Orthogonal(weight, orthogonal_map, use_trivialization=use_trivialization)
    parametrize.register_parametrization(module, name, orth, unsafe=True)
    return module


__getattr__ = nearest(__name__)
