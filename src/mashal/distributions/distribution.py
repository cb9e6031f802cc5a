"""The base of all distributions: shapes, validation of parameters and values, and what follows from other methods.

A distribution has a batch shape (independent distributions side by side) and an event shape (of one value);
sample(shape) is of shape + batch_shape + event_shape. A class names its batch-shaped parameters in `batched`, and the number
of event dimensions each has; expand and construction follow from that.
"""

from __future__ import annotations

import warnings
from numbers import Number
from typing import Any, ClassVar

from mashal import ops
from mashal.core.shapes import Size
from mashal.core.tape import no_grad
from mashal.core.tensor import Tensor
from mashal.distributions import constraints
from mashal.distributions.utils import broadcast_all, lazy_property
from mashal.errors import message
from mashal.ops.keeping import granted

__all__ = ["Distribution"]


def _missing(self: Any) -> Any:
    """What a distribution of this class does not have."""
    raise NotImplementedError(f"{type(self).__name__} does not say what this is")


class Distribution:
    """A probability distribution. Subclasses give arg_constraints, support, sample or rsample, and log_prob.

    validate_args: whether parameters and values are checked; by default as Python's assertions are (`-O` switches it off).
    """

    has_rsample: Any = False
    """Whether rsample gives samples with gradients to the parameters."""
    has_enumerate_support: Any = False
    """Whether enumerate_support lists all values."""
    batched: ClassVar[dict[str, int]] = {}
    """The parameters that have the batch shape, with how many event dimensions each has."""
    _validate_args = __debug__

    @staticmethod
    def set_default_validate_args(value: bool) -> None:
        """Sets whether distributions made from now on check their arguments."""
        if value not in [True, False]:
            raise ValueError(f"set_default_validate_args: expected a bool, got {value!r}")
        Distribution._validate_args = value

    def __init__(self, batch_shape: Any = (), event_shape: Any = (), validate_args: bool | None = None):
        self._batch_shape, self._event_shape = Size(batch_shape), Size(event_shape)
        if validate_args is not None:
            self._validate_args = validate_args
        if self._validate_args:
            self._check_parameters()
        super().__init__()

    def _check_parameters(self) -> None:
        try:
            regions = self.arg_constraints
        except NotImplementedError:
            regions = {}
            warnings.warn(
                f"{type(self).__name__} does not define `arg_constraints`: its parameters are not validated. Define it, or "
                "initialize with validate_args=False",
                stacklevel=4,
            )
        for name, region in regions.items():
            computed = name not in self.__dict__ and isinstance(getattr(type(self), name, None), lazy_property)
            if constraints.is_dependent(region) or computed:
                continue
            value = getattr(self, name)
            if not granted(region.check(value).all()):
                raise ValueError(
                    f"Expected parameter {name} ({type(value).__name__} of shape {tuple(value.shape)}) of distribution {self!r} "
                    f"to satisfy the constraint {region!r}, but found invalid values:\n{value}"
                )

    # ---------------------------------------------------------------- what subclasses start with
    def _hold(self, validate_args: bool | None, **parameters: Any) -> None:
        """Keeps elementwise parameters, broadcast to one batch shape (a number alone has none)."""
        values = broadcast_all(*parameters.values())
        self.__dict__.update(zip(parameters, values))
        numbers = all(isinstance(p, Number) for p in parameters.values())
        Distribution.__init__(self, Size() if numbers else values[0].size(), validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        """The same distribution with a larger batch shape; no memory is taken for the repetitions."""
        new = self._get_checked_instance(Distribution, _instance)
        batch_shape = Size(batch_shape)
        for name, event_dims in self.batched.items():
            if name in self.__dict__:
                value = self.__dict__[name]
                setattr(new, name, value.expand((*batch_shape, *value.shape[value.ndim - event_dims :])))
        self._expand_more(new, batch_shape)
        Distribution.__init__(new, batch_shape, self._event_shape, validate_args=False)
        new._validate_args = self._validate_args
        return new

    def _expand_more(self, new: Any, batch_shape: Size) -> None:
        """What an expanded distribution has besides its batched parameters."""

    def _get_checked_instance(self, cls: type, _instance: Any = None) -> Any:
        """The object to fill, a new one by default; not of a subclass that is made in another way than cls."""
        own = type(self).__init__
        if _instance is None and own is not cls.__init__ and not own.__module__.startswith("mashal."):
            raise NotImplementedError(
                f"Subclass {type(self).__name__} of {cls.__name__} that defines a custom __init__ method must also define a custom "
                ".expand() method."
            )
        return type(self).__new__(type(self)) if _instance is None else _instance

    # ---------------------------------------------------------------- what it is
    @property
    def batch_shape(self) -> Size:
        """The shape over which parameters are batched."""
        return self._batch_shape

    @property
    def event_shape(self) -> Size:
        """The shape of one value, without the batch."""
        return self._event_shape

    arg_constraints: Any = property(_missing, doc="Parameter name -> the constraint it must satisfy.")
    support: Any = property(_missing, doc="The constraint that values satisfy.")
    mean: Any = property(_missing, doc="The expected value.")
    mode: Any = property(_missing, doc="The most likely value.")
    variance: Any = property(_missing, doc="The expected squared distance from the mean.")
    stddev: Any = property(lambda self: self.variance.sqrt(), doc="The square root of the variance.")

    # ---------------------------------------------------------------- what it does
    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Random values, of shape sample_shape + batch_shape + event_shape, without history."""
        with no_grad():
            return self.rsample(sample_shape)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """Random values that are functions of the parameters, so gradients flow to them."""
        raise NotImplementedError

    def sample_n(self, n: int) -> Tensor:
        """n samples; deprecated, sample((n,)) is the same."""
        warnings.warn("sample_n will be deprecated. Use .sample((n,)) instead", UserWarning, stacklevel=2)
        return self.sample(Size((n,)))

    def log_prob(self, value: Tensor) -> Tensor:
        """The logarithm of the density (or probability) at value, of value's shape without the event."""
        raise NotImplementedError

    def cdf(self, value: Tensor) -> Tensor:
        """The probability of at most value."""
        raise NotImplementedError

    def icdf(self, value: Tensor) -> Tensor:
        """The value below which a probability lies."""
        raise NotImplementedError

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """All values along a new first dimension, expanded over the batch or with batch dimensions of size 1."""
        raise NotImplementedError

    def entropy(self) -> Tensor:
        """The expected -log_prob, of the batch shape."""
        raise NotImplementedError

    def perplexity(self) -> Tensor:
        """exp(entropy)."""
        return ops.exp(self.entropy())

    # ---------------------------------------------------------------- shapes and checks
    def _extended_shape(self, sample_shape: Any = ()) -> Size:
        """The shape of samples."""
        return Size((*sample_shape, *self._batch_shape, *self._event_shape))

    def _validate_sample(self, value: Tensor) -> None:
        """ValueError unless value is a tensor of a fitting shape, inside the support."""
        if not isinstance(value, Tensor):
            raise ValueError("The value argument to log_prob must be a Tensor")
        first_event = value.ndim - len(self._event_shape)
        if value.size()[first_event:] != self._event_shape:
            raise ValueError(
                f"The right-most size of value must match event_shape: {value.size()} vs {self._event_shape}."
            )
        wanted = self._batch_shape + self._event_shape
        for i, j in zip(reversed(value.size()), reversed(wanted)):
            if i != 1 and j != 1 and i != j:
                raise ValueError(
                    f"Value is not broadcastable with batch_shape+event_shape: {value.size()} vs {Size(wanted)}."
                )
        try:
            region = self.support
        except NotImplementedError:
            warnings.warn(
                f"{type(self).__name__} does not define `support`: values are not validated. Define it, or initialize with "
                "validate_args=False",
                stacklevel=3,
            )
            return
        if not granted(region.check(value).all()):
            raise ValueError(
                f"Expected value argument ({type(value).__name__} of shape {tuple(value.shape)}) to be within the support "
                f"({region!r}) of the distribution {self!r}, but found invalid values:\n{value}"
            )

    def __repr__(self) -> str:
        shown = [
            f"{name}: {value if value.numel() == 1 else value.size()}"
            for name, value in ((n, self.__dict__[n]) for n in self.arg_constraints if n in self.__dict__)
        ]
        return f"{type(self).__name__}({', '.join(shown)})"


def one_of(name: str, first: str, a: Any, second: str, b: Any) -> None:
    """ValueError unless exactly one of two parameters was given."""
    if (a is None) == (b is None):
        given = "neither was" if a is None else "both were"
        raise ValueError(message(name, f"either {first} or {second} must be given, but not both", f"{given} given"))
