"""What changes from call to call if only sizes do: one size or two (batch and time), which all others follow from.

    places that differ, in recordings and in this call      x.shape[0]: 4, 3, 7      x.shape[1]: 16, 20, 9      y.shape[0]: 8, 6, 14
    sizes, and laws for the rest                            n                        m                          2·n

Words that kernels are given are polynomials of the sizes: n, n·m + 1, n·m². They are found from their values at a few sizes near by.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from math import gcd
from typing import Any

from mashal.capture.guards import same
from mashal.capture.planning import past_of
from mashal.capture.recording import Recording
from mashal.core.forms import Form, form
from mashal.core.tape import AccumulateGrad, enable_grad, mode
from mashal.core.tensor import Tensor, alias, empty
from mashal.machine.replay_tables import ANY_HISTORY

Sizes = tuple[int, ...]
Place = tuple[int, int | None]
"""A leaf, and a dimension of it: None for an int; -1, -2, … for a stride of a tensor that isn't contiguous, from the last one on."""

MOST_SIZES = 2
NEAR: dict[int, list[Sizes]] = {
    1: [(0,), (1,), (2,)],
    2: [(0, 0), (1, 0), (0, 1), (1, 1), (2, 0), (0, 2), (1, 2), (2, 1)],
}
"""How many pitches from their base sizes are from whose words the polynomials are found."""
LEVELS: dict[int, tuple[int, ...]] = {1: (2, 3), 2: (4, 8)}
"""With how many of them it is tried: few words have squares in them."""


def basis(steps: Sizes) -> list[int]:
    """Newton's polynomials so many pitches from their base: each is 1 at its place in NEAR, and 0 at all places before.

    >>> basis((5,)), basis((3, 2))
    ([1, 5, 10], [1, 3, 2, 6, 3, 1, 3, 6])
    """
    t = steps[0]
    u = t * (t - 1) // 2
    if len(steps) == 1:
        return [1, t, u]
    s = steps[1]
    v = s * (s - 1) // 2
    return [1, t, s, t * s, u, v, t * v, u * s]


def law_through(values: Sequence[int], of: int) -> list[int]:
    """What the polynomials are to be multiplied with, to have these values at the places of NEAR. of: how many sizes there are.

    >>> law_through([3, 5, 7], 1)
    [3, 2, 0]
    """
    law: list[int] = []
    for value, steps in zip(values, NEAR[of]):
        law.append(value - sum(map(int.__mul__, law, basis(steps))))
    return law


def monomials(sizes: Sizes) -> Sizes:
    """What thresholds are compared with: sizes, and products of them.

    >>> monomials((7,)), monomials((2, 5))
    ((7,), (2, 5, 10, 20, 50))
    """
    if len(sizes) == 1:
        return sizes
    n, m = sizes
    return n, m, n * m, n * n * m, n * m * m


def near(base: Sizes, pitch: Sizes, count: int) -> list[Sizes]:
    """So many sizes from whose words the polynomials are found.

    >>> near((8,), (2,), 3)
    [(8,), (10,), (12,)]
    """
    return [tuple([n + p * k for n, p, k in zip(base, pitch, steps)]) for steps in NEAR[len(base)][:count]]


@dataclass(frozen=True)
class Growth:
    """How the leaves of calls follow from sizes: (place, factors, addend). The first laws are the sizes themselves.

    pitch: of what the sizes of all calls are multiples (images of 32, 64, 96: halves of odd sizes need no law). situation:
    what must be the same, which the laws do not say: the modes, and which tensors are leaves or computed.
    """

    laws: tuple[tuple[Place, Sizes, int], ...]
    pitch: Sizes
    situation: tuple = ()

    @staticmethod
    def between(others: Sequence[Recording], leaves: Sequence[Any]) -> Growth | None:
        """What differs between recorded calls and another one, if that can be sizes alone."""
        changes = [found for found in (changes_between(other, leaves) for other in others) if found]
        now = {place: after for found in changes for place, (_, after) in found.items()}
        columns = {p: [*(found.get(p, (x, x))[0] for found in changes), x] for p, x in now.items()}
        lengths = sorted(p for p in columns if p[1] is not None and p[1] >= 0)
        ints = [p for p in columns if p[1] is None]
        sizes: list[Place] = []
        for place in (*lengths, *ints):
            if _law([columns[p] for p in sizes], columns[place]) is None:
                sizes.append(place)
        if not 0 < len(sizes) <= MOST_SIZES or min(now[p] for p in sizes) < 2:
            return None
        rest = [p for p in (*lengths, *ints) if p not in sizes]
        laws = []
        for p in (*sizes, *rest, *(p for p in columns if p not in lengths and p not in ints)):
            law = _law([columns[size] for size in sizes], columns[p])
            if law is None or (p[1] is not None and type(leaves[p[0]]) is not Tensor):
                return None
            laws.append((p, *law))
        pasts = [past_of(leaves[i]) for i in others[0].places]
        return Growth(tuple(laws), tuple([gcd(*columns[p]) for p in sizes]), (mode.recording, mode.inference, *pasts))

    @property
    def count(self) -> int:
        """How many sizes there are."""
        return len(self.laws[0][1])

    @property
    def what(self) -> tuple:
        """What it is that changes, without how."""
        return self.count, *[law[0] for law in self.laws], self.situation

    def mixes(self, whole: Growth) -> bool:
        """Whether it takes for one size, seen in two calls, what more calls have shown to be several."""
        return {law[0] for law in whole.laws[: whole.count]} <= {law[0] for law in self.laws}

    def sizes(self, leaves: Sequence[Any]) -> Sizes:
        """Those of a call."""
        return tuple([leaves[i] if d is None else leaves[i].form.shape[d] for (i, d), _, _ in self.laws[: self.count]])

    def sizes_of(self, recording: Recording) -> Sizes:
        """Those of a recorded call."""
        return tuple([_recorded(recording, place) for place, _, _ in self.laws[: self.count]])

    def numbers(self, sizes: Sizes) -> dict[int, int]:
        """The leaves that are ints."""
        return {i: _at(sizes, factors, addend) for (i, d), factors, addend in self.laws if d is None}

    def reaches(self, sizes: Sizes) -> bool:
        """Whether there is such a call with these sizes: none is negative."""
        return all(_at(sizes, factors, addend) >= 0 for (_, d), factors, addend in self.laws if d is not None)

    def at(self, sizes: Sizes, leaves: Sequence[Any]) -> list[Any]:
        """The leaves with other sizes: ints, and zeros in place of tensors."""
        changed, shapes, strides = list(leaves), {}, {}
        for (i, d), factors, addend in self.laws:
            if d is None:
                changed[i] = _at(sizes, factors, addend)
                continue
            shape = shapes.setdefault(i, list(leaves[i].form.shape))
            if d >= 0:
                shape[d] = _at(sizes, factors, addend)
            else:
                strides.setdefault(i, list(leaves[i].form.strides))[d] = _at(sizes, factors, addend)
        forms = {}
        for i, shape in shapes.items():
            x = leaves[i].form
            given = None if x.contiguous else tuple(strides.get(i, x.strides))
            forms[i] = form(x.dtype, x.device, tuple(shape), given)
        sharing: dict[tuple, list[int]] = {}
        for i, x in enumerate(leaves):
            if isinstance(x, Tensor):
                sharing.setdefault((id(x.capsule), x.form.dtype), []).append(i)
        for of in sharing.values():
            if not forms.keys().isdisjoint(of):
                like = [leaves[i] for i in of]
                changed_ones = _laid_out([forms.get(i, x.form) for i, x in zip(of, like)], like)
                for i, x in zip(of, changed_ones):
                    changed[i] = x
        return changed


def _at(sizes: Sizes, factors: Sizes, addend: int) -> int:
    return addend + sum(map(int.__mul__, factors, sizes))


def _recorded(recording: Recording, place: Place) -> int:
    """What stood at a place in a recorded call."""
    i, d = place
    if d is None:
        return dict(recording.fixed)[i]
    operand = recording.program.plan.operands[recording.places.index(i)]
    assert operand.value is not None, "an operand whose size changes has a place of its own"
    return operand.value.form.shape[d]


def changes_between(before: Recording, leaves: Sequence[Any]) -> dict[Place, tuple[int, int]] | None:
    """At which places a call differs from a recorded one: what was there, and what is there now; None if it differs in more."""
    changes: dict[Place, tuple[int, int]] = {}
    for i, x in before.fixed:
        if type(x) is int and type(leaves[i]) is int and x != leaves[i]:
            changes[i, None] = x, leaves[i]
        elif not same(leaves[i], x):
            return None
    for i, operand in zip(before.places, before.program.plan.operands):
        x = leaves[i]
        if operand.value is None:
            if x is not operand.same:
                return None
            continue
        if not isinstance(x, Tensor) or operand.history not in (ANY_HISTORY, past_of(x)):
            return None
        was, now = operand.value.form, x.form
        if was is now:
            continue
        if was.dtype is not now.dtype or was.rank != now.rank or was.contiguous != now.contiguous:
            return None
        sizes: dict[Place, tuple[int, int]] = {
            (i, d): (a, b) for d, (a, b) in enumerate(zip(was.shape, now.shape)) if a != b
        }
        if any(min(pair) < 2 for pair in sizes.values()):
            return None
        changes.update(sizes)
        if not was.contiguous:
            strides = enumerate(zip(was.strides, now.strides), -was.rank)
            changes.update({(i, d): (a, b) for d, (a, b) in strides if a != b})
    return changes


def _law(sizes: Sequence[Sequence[int]], values: Sequence[int]) -> tuple[Sizes, int] | None:
    """(factors, addend) by which values follow from sizes, each given for several calls; None if they don't."""
    *before, now = values
    moved = [v - now for v in before]
    steps = [[n - column[-1] for n in column[:-1]] for column in sizes]
    factors = _factors(steps, moved)
    if factors is None or any(sum(map(int.__mul__, factors, row)) != v for row, v in zip(zip(*steps), moved)):
        return None
    return factors, now - sum(f * column[-1] for f, column in zip(factors, sizes))


def _factors(steps: Sequence[Sequence[int]], moved: Sequence[int]) -> Sizes | None:
    """Whole numbers whose sum of products with steps may be `moved`."""
    for own in range(len(steps)):  # it is one of the sizes, or goes with one of them
        k = next((k for k, step in enumerate(steps[own]) if step), None)
        if k is None or moved[k] % steps[own][k]:
            continue
        factor = moved[k] // steps[own][k]
        if all(factor * step == v for step, v in zip(steps[own], moved)):
            return tuple([factor * (j == own) for j in range(len(steps))])
    if len(steps) == 2:
        (s, t), v = steps, moved
        for j, k in combinations(range(len(v)), 2):
            area = s[j] * t[k] - s[k] * t[j]
            if area:
                f, g = v[j] * t[k] - v[k] * t[j], s[j] * v[k] - s[k] * v[j]
                return None if f % area or g % area else (f // area, g // area)
    return None


def _laid_out(forms: Sequence[Form], like: Sequence[Tensor]) -> list[Tensor]:
    """Zeros of these forms that share a storage, as far apart there as other tensors, and with such histories."""
    first = min(x.offset for x in like)
    places = [x.offset - first for x in like]
    length = max(place + f.extent for place, f in zip(places, forms))
    whole = empty(form(forms[0].dtype, forms[0].device, (length,))).fill_(0)  # type: ignore[attr-defined]
    made = []
    for f, x, place in zip(forms, like, places):
        zeros = alias(whole) if len(like) > 1 else whole
        zeros.form, zeros.offset = f, place
        made.append(_with_a_past(zeros, x))
    return made


def _with_a_past(x: Tensor, like: Tensor) -> Tensor:
    """x, a leaf or computed as `like` is."""
    if like.node is None:
        return x
    with enable_grad():
        x.requires_grad_()  # type: ignore[attr-defined]
        return x if isinstance(like.node, AccumulateGrad) else x.as_strided(x.shape, x.stride())  # type: ignore[attr-defined]
