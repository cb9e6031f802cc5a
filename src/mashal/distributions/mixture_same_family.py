"""Mixtures of distributions of one family."""

from __future__ import annotations

from typing import Any

from mashal import ops
from mashal.core.shapes import Size
from mashal.core.tape import no_grad
from mashal.core.tensor import Tensor
from mashal.distributions import constraints
from mashal.distributions.categorical import Categorical
from mashal.distributions.distribution import Distribution
from mashal.nn.functional import log_softmax

__all__ = ["MixtureSameFamily"]


class MixtureSameFamily(Distribution):
    """A component is chosen by a Categorical, then a value of it; components lie along the last batch dimension.

    >>> m = torch.distributions.MixtureSameFamily(
    ...     torch.distributions.Categorical(torch.ones(2)), torch.distributions.Normal(torch.tensor([-1.0, 1.0]), 1.0))
    >>> m.mean
    tensor(0.)
    """

    arg_constraints: Any = {}
    has_rsample = False

    def __init__(
        self, mixture_distribution: Categorical, component_distribution: Distribution, validate_args: bool | None = None
    ):
        mixture, component = mixture_distribution, component_distribution
        if not isinstance(mixture, Categorical):
            raise ValueError("The mixture distribution needs to be an instance of torch.distributions.Categorical")
        if not isinstance(component, Distribution):
            raise ValueError("The component distribution need to be an instance of torch.distributions.Distribution")
        batch_shape = component.batch_shape[:-1]
        for a, b in zip(reversed(mixture.batch_shape), reversed(batch_shape)):
            if a != 1 and b != 1 and a != b:
                raise ValueError(
                    f"mixture_distribution.batch_shape {tuple(mixture.batch_shape)} is not compatible with "
                    f"component_distribution.batch_shape {tuple(component.batch_shape)}"
                )
        many, components = mixture.logits.shape[-1], component.batch_shape[-1]
        if many != components:
            raise ValueError(
                f"the mixture chooses among {many} components, and component_distribution has {components}"
            )
        self._mixture_distribution, self._component_distribution = mixture, component
        self._num_component = components
        self._event_ndims = len(component.event_shape)
        super().__init__(batch_shape, component.event_shape, validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        new = self._get_checked_instance(MixtureSameFamily, _instance)
        batch_shape = Size(batch_shape)
        new._mixture_distribution = self._mixture_distribution.expand(batch_shape)
        new._component_distribution = self._component_distribution.expand(Size((*batch_shape, self._num_component)))
        new._num_component, new._event_ndims = self._num_component, self._event_ndims
        Distribution.__init__(new, batch_shape, self._event_shape, validate_args=False)
        new._validate_args = self._validate_args
        return new

    mixture_distribution = property(lambda self: self._mixture_distribution, doc="What chooses the component.")
    component_distribution = property(lambda self: self._component_distribution, doc="The components.")

    @constraints.dependent_property
    def support(self) -> Any:
        return constraints.MixtureSameFamilyConstraint(self._component_distribution.support)

    def _weights(self) -> Tensor:
        """The chances of the components, with event dimensions of size 1 behind."""
        return self._pad_mixture_dimensions(self.mixture_distribution.probs)

    @property
    def mean(self) -> Tensor:
        return ops.sum(self._weights() * self.component_distribution.mean, dim=-1 - self._event_ndims)

    @property
    def variance(self) -> Tensor:
        weights, dim = self._weights(), -1 - self._event_ndims
        inner = ops.sum(weights * self.component_distribution.variance, dim=dim)
        away = self.component_distribution.mean - self._pad(self.mean)
        return inner + ops.sum(weights * away.pow(2.0), dim=dim)

    def cdf(self, x: Tensor) -> Tensor:
        below = self.component_distribution.cdf(self._pad(x))
        return ops.sum(below * self.mixture_distribution.probs, dim=-1)

    def log_prob(self, x: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(x)
        inner = self.component_distribution.log_prob(self._pad(x))
        return ops.logsumexp(inner + log_softmax(self.mixture_distribution.logits, dim=-1), dim=-1)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        with no_grad():
            rank, batch = len(sample_shape), len(self.batch_shape)
            chosen = self.mixture_distribution.sample(sample_shape)
            values = self.component_distribution.sample(sample_shape)
            places = chosen.reshape((*chosen.shape, *(1,) * (self._event_ndims + 1)))
            places = places.expand((*values.shape[: rank + batch], 1, *self.event_shape))
            return ops.gather(values, rank + batch, places).squeeze(rank + batch)

    def _pad(self, x: Tensor) -> Tensor:
        return x.unsqueeze(-1 - self._event_ndims)

    def _pad_mixture_dimensions(self, x: Tensor) -> Tensor:
        batch, choices = len(self.batch_shape), len(self.mixture_distribution.batch_shape)
        missing = 0 if choices == 0 else batch - choices
        return x.reshape((*x.shape[:-1], *(1,) * missing, *x.shape[-1:], *(1,) * self._event_ndims))

    def __repr__(self) -> str:
        return f"MixtureSameFamily(\n  {self.mixture_distribution},\n  {self.component_distribution})"
