"""The multinomial distribution."""

from __future__ import annotations

from typing import Any

from mashal import ops
from mashal.core.shapes import Size
from mashal.core.tape import no_grad
from mashal.core.tensor import Tensor
from mashal.distributions import constraints
from mashal.distributions.binomial import Binomial
from mashal.distributions.categorical import Categorical
from mashal.distributions.chances import Many
from mashal.distributions.utils import broadcast_all

__all__ = ["Multinomial"]


class Multinomial(Many):
    """How often each of k categories comes in total_count draws."""

    arg_constraints = {"probs": constraints.simplex, "logits": constraints.real_vector}

    def __init__(
        self,
        total_count: int = 1,
        probs: Tensor | None = None,
        logits: Tensor | None = None,
        validate_args: bool | None = None,
    ):
        if not isinstance(total_count, int):
            raise NotImplementedError("inhomogeneous total_count is not supported")
        self.total_count = total_count
        self._categorical = Categorical(probs=probs, logits=logits)
        self._binomial = Binomial(total_count=total_count, probs=self.probs)
        super().__init__(self._categorical.batch_shape, self._categorical.param_shape[-1:], validate_args=validate_args)

    def _expand_more(self, new: Any, batch_shape: Size) -> None:
        super()._expand_more(new, batch_shape)
        new.total_count, new._binomial = self.total_count, self._binomial

    @constraints.dependent_property(is_discrete=True, event_dim=1)
    def support(self) -> Any:
        return constraints.multinomial(self.total_count)

    mean = property(lambda self: self.probs * self.total_count, doc="n·p.")
    variance = property(lambda self: self.total_count * self.probs * (1 - self.probs), doc="n·p·(1 - p).")

    def sample(self, sample_shape: Any = ()) -> Tensor:
        sample_shape = Size(sample_shape)
        with no_grad():
            drawn = self._categorical.sample(Size((self.total_count, *sample_shape)))
            drawn = drawn.permute((*range(1, drawn.ndim), 0))  # the draws of one value last
            counts = self._categorical._new(self._extended_shape(sample_shape)).zero_()
            counts.scatter_add_(-1, drawn, ops.ones_like(drawn).type_as(counts))
            return counts.type_as(self.probs)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        logits, value = broadcast_all(self.logits, value)
        logits = logits.clone()
        choices = ops.lgamma(value.sum(-1) + 1) - ops.lgamma(value + 1).sum(-1)
        logits = logits.masked_fill((value == 0) & (logits == -float("inf")), 0)
        return choices + (logits * value).sum(-1)

    def entropy(self) -> Tensor:
        n = ops.tensor(self.total_count)
        alone = n * self._categorical.entropy() - ops.lgamma(n + 1)
        support = self._binomial.enumerate_support(expand=False)[1:]
        chances = ops.exp(self._binomial.log_prob(support))
        weights = ops.lgamma(support + 1)
        return alone + (chances * weights).sum([0, -1])
