"""Tensors with a hidden batch dimension: what `vmap` hands to a function.

A `Batched` of a level has a `value` whose first dimension is the batch; it looks like one sample: its form has the sample's shape.
It has no data of its own, so nothing can compute with it by mistake. Every call on it arrives at `handle`:

    a rule for the function (rules, joined_rules)       the same operation on the value, dimensions moved
    what kind of operation it is                        pointwise, view, reduction: rules for all of a kind (kinds)
    what the function does                              composed of others, each of which comes here again
    one sample after another                            the rest, with a warning

Levels nest: the value may be a Batched of a lower level. Gradients are recorded on the values, so they need no rules.
"""

from __future__ import annotations

import contextlib
import threading
import types
import warnings
from collections.abc import Callable, Iterator
from typing import Any

from mashal import ops
from mashal.core.forms import Form
from mashal.core.shapes import Size
from mashal.core.tensor import Tensor
from mashal.ops.interception import arm, original_of
from mashal.ops.recording import Recorded
from mashal.ops.remembered import Remembered
from mashal.utils._pytree import tree_flatten, tree_map, tree_unflatten

RULES: dict[Any, Callable[..., Any]] = {}
"""Function -> rule(level, function, args, kwargs) -> the result."""


class VmapError(RuntimeError):
    """What cannot be done to a tensor of which there are many."""


class Nothing:
    """Stands where a batched tensor's data would be: whatever reads it fails."""

    __slots__ = ()


class _Levels(threading.local):
    """The levels that are open in this thread: (number, batch size, randomness), outermost first."""

    def __init__(self) -> None:
        self.open: list[tuple[int, int, str]] = []
        self.inside: list[Any] = []  # the functions that are being taken apart


levels = _Levels()


class Batched(Tensor):
    """One of many: see the module. value: (batch, *shape)."""

    _of_parts = True
    __slots__ = ("level", "value")
    inner = True
    value: Tensor
    level: int

    @classmethod
    def __torch_function__(cls, function: Any, kinds: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        return handle(function, args, kwargs or {})

    requires_grad = property(lambda self: self.value.requires_grad, doc="Whether its values are being recorded.")  # type: ignore[assignment]
    is_leaf = property(lambda self: self.value.is_leaf, doc="Whether no recorded operation made its values.")  # type: ignore[assignment]
    grad_fn = property(lambda self: self.value.grad_fn, doc="The node that made its values.")  # type: ignore[assignment]

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        self.value.requires_grad_(requires_grad)
        return self

    def _refuse(self, *_: Any, **__: Any) -> Any:
        raise VmapError(
            "vmap: it looks like you're attempting to use a Tensor in some data-dependent control flow or calling .item() on it; "
            "it stands for many samples, which may differ. torch.where chooses for each of them"
        )

    item = tolist = numpy = __array__ = __bool__ = __int__ = __float__ = __index__ = __complex__ = _refuse  # type: ignore[assignment]

    def data_ptr(self) -> int:
        raise RuntimeError("vmap: a batched tensor has no address of its own")

    untyped_storage = data_ptr  # type: ignore[assignment]

    def __repr__(self, *_: Any, **__: Any) -> str:
        return f"BatchedTensor(lvl={self.level}, bdim=0, value=\n{self.value!r}\n)"

    def __format__(self, spec: str) -> str:
        return repr(self)

    def __deepcopy__(self, memo: Any) -> Any:
        return wrap(self.value.clone(), self.level)

    __hash__ = Tensor.__hash__


def wrap(value: Tensor, level: int) -> Any:
    """A tensor (batch, *shape) as one of many of shape."""
    made = object.__new__(Batched)
    made.value, made.level = value, level
    made.capsule, made.offset, made.node, made.output, made.base = Nothing(), value.offset, None, False, None
    made.grad_, made.hooks, made.retains, made.version = None, None, False, [0]
    of = value.form
    made.form = Form(of.dtype, of.device, Size(of.shape[1:]), of.strides[1:])
    return made


def is_batched(x: Any, level: int) -> bool:
    """Whether x is one of many at this level."""
    return type(x) is Batched and x.level == level


def value_of(x: Any, level: int) -> Any:
    """The value behind x at this level; anything else as it is."""
    return x.value if type(x) is Batched and x.level == level else x


def whole(x: Tensor, level: int) -> Tensor:
    """x with the batch dimension of a level first: its value, or x for every sample."""
    if is_batched(x, level):
        return x.value  # type: ignore[attr-defined]
    if type(x) is Batched and x.level > level and level in levels_of(x.value):
        return wrap(whole(x.value, level).movedim(0, 1), x.level)  # type: ignore[attr-defined]
    return x.unsqueeze(0).expand((size_of(level), *x.shape))  # type: ignore[attr-defined]


def levels_of(x: Any) -> list[int]:
    """The levels at which x is one of many, innermost first."""
    found = []
    while type(x) is Batched:
        found.append(x.level)
        x = x.value
    return found


def below(x: Tensor, level: int) -> Any:
    """A tensor whose first dimension is the batch of a level, as one of many; higher levels stay outside."""
    if type(x) is Batched and x.level > level:
        return wrap(below(x.value.movedim(1, 0), level), x.level)  # type: ignore[attr-defined]
    return wrap(x, level)


@contextlib.contextmanager
def open_level(size: int, randomness: str = "error") -> Iterator[int]:
    """A new level of so many samples; gives its number."""
    arm()
    number = levels.open[-1][0] + 1 if levels.open else 1
    levels.open.append((number, size, randomness))
    try:
        yield number
    finally:
        levels.open.pop()


def size_of(level: int) -> int:
    """How many samples an open level has."""
    return next(size for number, size, _ in levels.open if number == level)


def rewrap(result: Any, level: int) -> Any:
    """A result whose tensors have the batch first, as results of many."""
    return tree_map(lambda x: wrap(x, level) if isinstance(x, Tensor) else x, result)


def batched_in(tree: Any) -> list[Any]:
    """All batched tensors in a structure."""
    return [x for x in tree_flatten(tree)[0] if type(x) is Batched]


# ---------------------------------------------------------------- what becomes of a call
def handle(function: Any, args: tuple, kwargs: dict) -> Any:
    """A call on batched tensors, at the innermost of their levels."""
    found = batched_in((args, kwargs))
    if not found:
        return function(*args, **kwargs)
    level = max(x.level for x in found)
    if not any(number == level for number, _, _ in levels.open):
        raise VmapError(f"vmap: {_name(function)} was called with a tensor of a vmap that has ended")
    rule = RULES.get(function)
    if rule is None:
        rule = _by_kind(getattr(function, "operation", function))
    if rule is not None:
        try:
            answer = rule(level, function, args, dict(kwargs))
        except VmapError:
            raise
        except Exception:  # a case the rule does not know, or a mistake that one sample shows better
            return one_by_one(level, function, args, kwargs)
        if answer is not NotImplemented:
            return answer
    if isinstance(function, types.FunctionType) and function not in levels.inside:
        answer = _taken_apart(function, args, kwargs)
        if answer is not NotImplemented:
            return answer
    elif not isinstance(function, types.FunctionType):
        raise RuntimeError(f"vmap: {_name(function)} has no rule for many samples")  # its caller goes one by one
    return one_by_one(level, function, args, kwargs)


KINDS: dict[type, Callable[..., Any]] = {}
"""Kind of operation -> rule."""


def _by_kind(operation: Any) -> Callable[..., Any] | None:
    return next((rule for kind, rule in KINDS.items() if isinstance(operation, kind)), None)


def _name(function: Any) -> str:
    return getattr(function, "__name__", type(function).__name__)


def _taken_apart(function: Any, args: tuple, kwargs: dict) -> Any:
    """What the function makes of batched tensors itself, if it is composed of operations; else NotImplemented."""
    levels.inside.append(function)
    try:
        result = original_of(function)(*args, **kwargs)
    except VmapError:
        raise
    except Exception:
        return NotImplemented
    finally:
        levels.inside.pop()
    for x in tree_flatten(result)[0]:
        if isinstance(x, Tensor) and type(x) is not Batched and type(x.capsule) is Nothing:
            return NotImplemented  # a view of nothing
    return result


def one_by_one(level: int, function: Any, args: tuple, kwargs: dict) -> Any:
    """The function of each sample, the results stacked."""
    name = _name(function)
    changes = name.endswith("_") and not name.endswith("__")
    if changes and not is_batched(args[0], level):
        raise VmapError(
            f"vmap: {name} cannot write the values of many samples into one tensor of shape {tuple(args[0].shape)}"
        )
    if isinstance(function, (Recorded, Remembered)):
        raise RuntimeError(f"vmap: {name} has no rule for many samples")  # its caller goes one by one
    if not name.startswith("_"):
        warnings.warn(
            f"There is a performance drop because we have not yet implemented the batching rule for aten::{name}.",
            stacklevel=4,
        )
    flat, spec = tree_flatten((args, kwargs))
    results = []
    for i in range(size_of(level)):
        one = [value_of(x, level)[i] if is_batched(x, level) else x for x in flat]
        some, named = tree_unflatten(one, spec)
        results.append(function(*some, **named))
    if changes:
        return args[0]  # each sample was changed in its place
    if not results:
        raise RuntimeError(f"vmap: {name} of no samples at all: what it gives is not known")
    return joined(results, level)


def joined(results: list[Any], level: int) -> Any:
    """Results of the samples, stacked into one of many."""
    rows = [tree_flatten(r) for r in results]
    columns = zip(*(row[0] for row in rows))
    made = [wrap(ops.stack(list(c)), level) if isinstance(c[0], Tensor) else c[0] for c in columns]
    return tree_unflatten(made, rows[0][1])
