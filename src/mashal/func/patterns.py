"""rearrange: other orders, groups and splits of dimensions, written as patterns of names (einops' language).

b h w c -> (b h) w c        in brackets: dimensions that are one in the tensor, the first outermost
... c -> c ...              ...: all dimensions without a name
a b -> a 1 b                1 or (): a dimension of size 1
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from math import prod
from typing import Any

from mashal.core.tensor import Tensor
from mashal.errors import message
from mashal.ops.joining import stack

__all__ = ["rearrange"]

_TOKEN = re.compile(r"\.\.\.|[()]|[^\s().]+|\.")
REST, JOINED_REST = "...", "(...)"  # the latter in brackets


def rearrange(tensor: Tensor | Sequence[Tensor], pattern: str, **axes_lengths: int) -> Tensor:
    """A tensor's elements in dimensions that a pattern names: "before -> after"; several tensors are stacked first.

    axes_lengths: sizes of names in brackets before; one in each pair of brackets may be left out. Errors: ValueError.

    >>> images = torch.zeros(32, 30, 40, 3)
    >>> rearrange(images, "b h w c -> b c h w").shape
    torch.Size([32, 3, 30, 40])
    >>> rearrange(images, "b (h h1) (w w1) c -> b h w (c h1 w1)", h1=2, w1=2).shape
    torch.Size([32, 15, 20, 12])
    """
    x: Any = tensor if isinstance(tensor, Tensor) else stack(list(tensor))
    before, after = _sides(pattern)
    _check(pattern, before, after, axes_lengths)
    rest = _rest(pattern, before, x.form.rank)
    before, after = _spelled_out(before, rest), _spelled_out(after, rest)
    sizes = _sizes(pattern, before, x.form.shape, axes_lengths)
    names = _names(before)
    split = x.reshape([sizes[name] for name in names])
    turned = split.permute([names.index(name) for name in _names(after)])
    return turned.reshape([prod([sizes[name] for name in group]) for group in after])


# ---------------------------------------------------------------- reading
Group = list[str]  # names of one dimension of the tensor; none for a size of 1


def _wrong(pattern: str, what: str, fix: str = "") -> ValueError:
    return ValueError(message("rearrange", f"pattern {pattern!r}: {what}", *([fix] if fix else [])))


def _sides(pattern: str) -> tuple[list[Group], list[Group]]:
    sides = pattern.split("->")
    if len(sides) != 2:
        raise _wrong(pattern, "there must be one '->'")
    return _groups(pattern, sides[0]), _groups(pattern, sides[1])


def _groups(pattern: str, side: str) -> list[Group]:
    groups: list[Group] = []
    inside = False
    for token in _TOKEN.findall(side):
        if token in "()":
            if inside == (token == "("):
                raise _wrong(pattern, "brackets inside brackets" if inside else "brackets do not match")
            inside = token == "("
            if inside:
                groups.append([])
        elif token != "1":
            _check_name(pattern, token)
            if inside:
                groups[-1].append(JOINED_REST if token == REST else token)
            else:
                groups.append([token])
        elif not inside:
            groups.append([])
    if inside:
        raise _wrong(pattern, "brackets do not match")
    names = _names(groups)
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise _wrong(pattern, f"{', '.join(sorted(twice))} stands twice on one side")
    return groups


def _check_name(pattern: str, token: str) -> None:
    if token == REST:
        return
    if token.isdecimal():
        raise _wrong(pattern, f"a dimension of size {token}", "only those of size 1 go without a name")
    if not token.isidentifier() or token.startswith("_") or token.endswith("_"):
        raise _wrong(
            pattern, f"{token!r} is no name", "names are as Python's, with no _ at their ends; three dots for the rest"
        )


def _names(groups: Iterable[Group]) -> list[str]:
    return [name for group in groups for name in group]


def _check(pattern: str, before: list[Group], after: list[Group], lengths: dict[str, int]) -> None:
    if JOINED_REST in _names(before):
        raise _wrong(pattern, "... in brackets before the arrow")
    one_sided = set(_names(before)) ^ {REST if name == JOINED_REST else name for name in _names(after)}
    if one_sided:
        raise _wrong(pattern, f"{', '.join(sorted(one_sided))} must stand on both sides")
    for name, n in lengths.items():
        if name not in _names(before):
            raise _wrong(pattern, f"{name} has a length, but is not there")
        if not isinstance(n, int):
            raise TypeError(message("rearrange", f"length {n!r} of {name}", "an int is expected"))
        if n < 0:
            raise _wrong(pattern, f"length {n} of {name} is negative")


# ---------------------------------------------------------------- sizes
def _rest(pattern: str, before: list[Group], rank: int) -> list[str]:
    """Names for the dimensions that ... stands for."""
    named = len(before) - ([REST] in before)
    if named > rank or (named < rank and [REST] not in before):
        raise _wrong(pattern, f"{named} dimensions, and the tensor has {rank}")
    return [f"...{i}" for i in range(rank - named)]


def _spelled_out(groups: list[Group], rest: list[str]) -> list[Group]:
    found: list[Group] = []
    for group in groups:
        if group == [REST]:
            found += [[name] for name in rest]
        else:
            found.append([name for one in group for name in (rest if one == JOINED_REST else [one])])
    return found


def _sizes(pattern: str, before: list[Group], shape: Sequence[int], lengths: dict[str, int]) -> dict[str, int]:
    """Name -> size."""
    sizes = dict(lengths)
    for group, n in zip(before, shape):
        unknown = [name for name in group if name not in sizes]
        known = prod([sizes[name] for name in group if name in sizes])
        if len(unknown) > 1:
            raise _wrong(pattern, f"the sizes of {' and '.join(unknown)} cannot both be found", "give one")
        if n % known if unknown and known else n != known:
            raise _wrong(pattern, f"({' '.join(group)}) has size {n}, and {known} does not fit")
        if unknown:
            sizes[unknown[0]] = n // known if known else 0
    return sizes
