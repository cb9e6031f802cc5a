"""Recipes: what a plan computes, kept beside its kernel so that `compile` can join it with its neighbours.

A plan without a recipe is computed by its kernel as it is.
"""

from __future__ import annotations

from dataclasses import dataclass

from mashal.core.forms import Form
from mashal.lang.nest import Nest


@dataclass(frozen=True, eq=False)
class Elements:
    """A pointwise nest over elements of `shape`. operands: forms that broadcast to it, None for a number. in_place: the
    results are the first operands of the plan, before those of the nest."""

    nest: Nest
    operands: tuple[Form | None, ...]
    shape: tuple[int, ...]
    results: tuple[Form, ...]
    in_place: bool


@dataclass(frozen=True, eq=False)
class Rows:
    """A rowwise nest over elements of `shape`, rows along `dims`. given: the forms in which the results are handed out."""

    nest: Nest
    operands: tuple[Form | None, ...]
    shape: tuple[int, ...]
    dims: tuple[int, ...]
    results: tuple[Form, ...]
    given: tuple[Form, ...]


@dataclass(frozen=True, eq=False)
class Product:
    """a (..., m, k) times b (..., k, n), plus a bias of n if there is one (else the plan's third operand is a number).

    how: the form of its kernel (lower.matmul), if it isn't the one that suits its sizes.
    """

    a: Form
    b: Form
    bias: Form | None
    result: Form
    how: str | None = None


@dataclass(frozen=True, eq=False)
class Copy:
    """Elements moved as they are, by a kernel of its own. in_place: into the plan's first operand, from its second."""

    source: Form
    result: Form
    in_place: bool


@dataclass(frozen=True)
class Counted:
    """A kernel of its own, of which nothing is known but how many additions, products and functions it computes."""

    arithmetic: int


Recipe = Elements | Rows | Product | Copy | Counted
