"""The geometric distribution."""

from __future__ import annotations

from typing import Any

from mashal import ops
from mashal.core.dtypes import finfo
from mashal.core.tape import no_grad
from mashal.core.tensor import Tensor
from mashal.distributions import constraints
from mashal.distributions.chances import Binary
from mashal.distributions.utils import broadcast_all
from mashal.nn.functional import binary_cross_entropy_with_logits
from mashal.ops.keeping import granted

__all__ = ["Geometric"]


class Geometric(Binary):
    """How many throws fail before the first success, of probability 0 < probs <= 1."""

    arg_constraints = {"probs": constraints.unit_interval, "logits": constraints.real}
    support = constraints.nonnegative_integer

    def __init__(self, probs: Any = None, logits: Any = None, validate_args: bool | None = None):
        self._hold_chance(probs, logits, validate_args)
        if self._validate_args and probs is not None and not granted((self.probs > 0).all()):
            raise ValueError(f"Geometric: every probability must be above 0, and they are\n{self.probs}")

    mean = property(lambda self: 1.0 / self.probs - 1.0, doc="1 / p - 1.")
    mode = property(lambda self: ops.zeros_like(self.probs), doc="0.")
    variance = property(lambda self: (1.0 / self.probs - 1.0) / self.probs, doc="(1 / p - 1) / p.")

    def sample(self, sample_shape: Any = ()) -> Tensor:
        with no_grad():
            u = self.probs.new_empty(self._extended_shape(sample_shape)).uniform_(finfo(self.probs.dtype).tiny, 1)
            return (u.log() / (-self.probs).log1p()).floor()

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        value, probs = broadcast_all(value, self.probs)
        probs = ops.where((probs == 1) & (value == 0), ops.zeros_like(probs), probs)
        return value * (-probs).log1p() + self.probs.log()

    def entropy(self) -> Tensor:
        return binary_cross_entropy_with_logits(self.logits, self.probs, reduction="none") / self.probs
