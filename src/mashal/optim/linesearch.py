"""A step length that satisfies the strong Wolfe conditions: enough descent, and a slope that has flattened.

Nocedal and Wright, Numerical Optimization, algorithms 3.5 and 3.6: steps grow until a bracket is found that must hold such
a length, then the bracket is narrowed by cubic interpolation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mashal.core.tensor import Tensor

DESCENT = 1e-4  # of the descent that the first slope promises
FLATTENED = 0.9  # of the first slope may remain


@dataclass
class Point:
    """A length t along the direction: the loss there, its gradient, and the gradient's part along the direction.

    Lengths that follow from slopes are tensors as these are, of the parameters' dtype: with as many digits as PyTorch's.
    """

    t: Any
    loss: float
    gradient: Tensor
    slope: Tensor


def cubic_minimum(a: Point, b: Point, bounds: tuple[Any, Any] | None = None) -> Any:
    """Where the cubic through two points (with their slopes) is least, within bounds (or between them)."""
    left, right = bounds or ((a.t, b.t) if a.t <= b.t else (b.t, a.t))
    d1 = a.slope + b.slope - 3 * (a.loss - b.loss) / (a.t - b.t)
    square = d1**2 - a.slope * b.slope
    if not square >= 0:
        return (left + right) / 2.0
    d2 = square.sqrt()
    if a.t <= b.t:
        t = b.t - (b.t - a.t) * ((b.slope + d2 - d1) / (b.slope - a.slope + 2 * d2))
    else:
        t = a.t - (a.t - b.t) * ((a.slope + d2 - d1) / (a.slope - b.slope + 2 * d2))
    return min(max(t, left), right)


def strong_wolfe(
    evaluate: Callable[[Any], tuple[float, Tensor]],
    t: Any,
    direction: Tensor,
    loss: float,
    gradient: Tensor,
    slope: Tensor,
    tolerance_change: float = 1e-9,
    most: int = 25,
) -> tuple[float, Tensor, Any, int]:
    """The loss, gradient and length found, and how often evaluate(length) -> (loss, gradient) was called.

    t: the first length to try. loss, gradient, slope: those at length 0. most: how many more evaluations are allowed.
    """
    search = _Search(evaluate, direction, Point(0, loss, gradient, slope), most)
    points, done = search.bracket(t)
    if not done:
        points = search.narrow(points, tolerance_change)
    best = points[0]
    return best.loss, best.gradient, best.t, search.evaluations


class _Search:
    def __init__(self, evaluate: Callable[[Any], tuple[float, Tensor]], direction: Tensor, start: Point, most: int):
        self.evaluate, self.direction, self.start, self.most = evaluate, direction, start, most
        self.evaluations, self.rounds = 0, 0

    def at(self, t: Any) -> Point:
        loss, gradient = self.evaluate(t)
        self.evaluations += 1
        return Point(t, loss, gradient, gradient.dot(self.direction))

    def too_high(self, point: Point) -> bool:
        return point.loss > self.start.loss + DESCENT * point.t * self.start.slope

    def flat(self, point: Point) -> bool:
        return abs(point.slope) <= -FLATTENED * self.start.slope

    def bracket(self, t: Any) -> tuple[list[Point], bool]:
        """Two points with a good length between them, the better one first; or one that is good, and True."""
        before, point = self.start, self.at(t)
        while self.rounds < self.most:
            if self.too_high(point) or (self.rounds > 1 and point.loss >= before.loss):
                return _better_first(before, point), False
            if self.flat(point):
                return [point], True
            if point.slope >= 0:
                return _better_first(before, point), False
            bounds = point.t + 0.01 * (point.t - before.t), point.t * 10
            following = cubic_minimum(before, point, bounds)
            before, point = point, self.at(following)
            self.rounds += 1
        return _better_first(self.start, point), False

    def narrow(self, points: list[Point], tolerance_change: float) -> list[Point]:
        """The bracket, made smaller until its better end is good or too little can change."""
        low, high = points
        largest = self.direction.abs().max()
        stuck = False
        while self.rounds < self.most and abs(high.t - low.t) * largest >= tolerance_change:
            first, second = sorted((low, high), key=lambda point: point.t)
            t, stuck = _apart_from_ends(cubic_minimum(first, second), first.t, second.t, stuck)
            point = self.at(t)
            self.rounds += 1
            if self.too_high(point) or point.loss >= low.loss:
                low, high = _better_first(low, point)
                continue
            if self.flat(point):
                return [point]
            if point.slope * (high.t - low.t) >= 0:
                high = low
            low = point
        return [low, high]


def _better_first(a: Point, b: Point) -> list[Point]:
    return [a, b] if a.loss <= b.loss else [b, a]


def _apart_from_ends(t: Any, left: Any, right: Any, stuck: bool) -> tuple[Any, bool]:
    """A length that is not too near to an end of the bracket twice in a row; and whether this one was."""
    margin = 0.1 * (right - left)
    if min(right - t, t - left) >= margin:
        return t, False
    if stuck or t >= right or t <= left:
        return (right - margin if abs(t - right) < abs(t - left) else left + margin), False
    return t, True
