"""Kullback and Leibler's divergence KL(p, q) = E_p[log p - log q], by pairs of classes.

The pairs are in kl_crossed and kl_pairs; new ones are added with register_kl. Of several that fit, the most special is taken."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import total_ordering
from typing import Any

from mashal.core.tensor import Tensor
from mashal.distributions.distribution import Distribution

__all__ = ["kl_divergence", "register_kl"]

_KL_REGISTRY: dict[tuple[type, type], Callable[[Any, Any], Tensor]] = {}
_KL_MEMOIZE: dict[tuple[type, type], Any] = {}


def register_kl(type_p: type, type_q: type) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A decorator: the function (p, q) gives the divergence for objects of these classes and of their subclasses.

    ValueError if they are no classes of distributions.
    """
    for kind in (type_p, type_q):
        if not (isinstance(kind, type) and issubclass(kind, Distribution)):
            raise ValueError(f"register_kl: expected a subclass of Distribution, not {kind!r}")

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        _KL_REGISTRY[type_p, type_q] = function
        _KL_MEMOIZE.clear()
        return function

    return decorate


@total_ordering
class _Match:
    """A pair of classes, smaller than another if both are its subclasses, or the first is where they differ."""

    def __init__(self, *types: type):
        self.types = types

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Match) and self.types == other.types

    def __le__(self, other: _Match) -> bool:
        for mine, theirs in zip(self.types, other.types):
            if not issubclass(mine, theirs):
                return False
            if mine is not theirs:
                break
        return True


def _dispatch_kl(type_p: type, type_q: type) -> Callable[..., Any]:
    """The most special function for two classes; NotImplemented if there is none."""
    fits = [(a, b) for a, b in _KL_REGISTRY if issubclass(type_p, a) and issubclass(type_q, b)]
    if not fits:
        return NotImplemented
    left = min(_Match(*pair) for pair in fits).types
    right = min(_Match(*reversed(pair)) for pair in fits).types
    if _KL_REGISTRY[left] is not _KL_REGISTRY[right[1], right[0]]:  # type: ignore[index]
        names = ", ".join(kind.__name__ for kind in (type_p, type_q))
        warnings.warn(
            f"Ambiguous kl_divergence({names}). Please register_kl({left[0].__name__}, {right[0].__name__})",
            RuntimeWarning,
            stacklevel=3,
        )
    return _KL_REGISTRY[left]  # type: ignore[index]


def kl_divergence(p: Distribution, q: Distribution) -> Tensor:
    """How much p differs from q: the expected log p - log q under p, of the batch shape.

    NotImplementedError if nothing is registered for the pair of classes.

    >>> torch.distributions.kl_divergence(torch.distributions.Normal(0.0, 1.0), torch.distributions.Normal(1.0, 1.0))
    tensor(0.5000)
    """
    kinds = type(p), type(q)
    function = _KL_MEMOIZE.get(kinds)
    if function is None:
        function = _KL_MEMOIZE[kinds] = _dispatch_kl(*kinds)
    if function is NotImplemented:
        raise NotImplementedError(
            f"No KL(p || q) is implemented for p type {kinds[0].__name__} and q type {kinds[1].__name__}"
        )
    return function(p, q)
