"""Exponential families: densities exp(<parameters, statistics> - normaliser), whose entropy follows from the normaliser."""

from __future__ import annotations

from typing import Any

from mashal.autograd.roots import grad
from mashal.core.tensor import Tensor
from mashal.distributions.distribution import Distribution, _missing

__all__ = ["ExponentialFamily"]


class ExponentialFamily(Distribution):
    """A distribution p(x) = exp(<t(x), θ> - F(θ) + k(x)) with natural parameters θ and log normaliser F.

    Subclasses give `_natural_params`, `_log_normalizer(*θ)` and `_mean_carrier_measure`, the expectation of k.
    """

    _natural_params: Any = property(_missing)
    _mean_carrier_measure: Any = property(_missing)

    def _log_normalizer(self, *natural_params: Any) -> Tensor:
        raise NotImplementedError

    def entropy(self) -> Tensor:
        """F(θ) - <θ, ∇F(θ)> minus the expected carrier measure, the gradient taken by autograd."""
        natural = [p.detach().requires_grad_() for p in self._natural_params]
        normaliser = self._log_normalizer(*natural)
        gradients = grad(normaliser.sum(), natural, create_graph=True)
        result: Any = -self._mean_carrier_measure
        result = result + normaliser
        for parameter, gradient in zip(natural, gradients):
            result = result - (parameter * gradient).reshape((*self._batch_shape, -1)).sum(-1)
        return result
