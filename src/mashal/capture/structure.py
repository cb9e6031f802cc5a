"""Arguments and results as flat lists: tensors and other objects out of containers and plain objects, and back.

Containers are tuples, lists, dictionaries, named tuples and instances of dataclasses; in results, where `Results` says what the call
made, also sets, deques and other objects that are nothing but their attributes and items. What was there before the call is a leaf.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from types import MemberDescriptorType
from typing import Any, Generic, NamedTuple

from mashal.capture.looking import dictionary_of
from mashal.capture.modules import is_module
from mashal.core.tensor import Tensor

PLAIN = (int, float, complex, str, bytes, bool, type(None))
DEEPEST = 100  # containers in one another; what lies deeper is a leaf
_BASES = (object, dict, OrderedDict, Generic)  # of classes whose instances are attributes and items alone


class Results:
    """What is known of the containers in a result. is_new: whether the call made an object."""

    def __init__(self, is_new: Callable[[Any], bool]) -> None:
        self.is_new = is_new
        self.numbers: dict[int, int] = {}  # of containers that were met, in the order in which they are rebuilt


class Again(NamedTuple):
    """The container that was rebuilt as the so many-th one."""

    number: int


class Shape(NamedTuple):
    """An object: its class, the names of its attributes, the keys of its items; how: what else its maker needs."""

    kind: Any
    names: tuple = ()
    keys: tuple = ()
    how: Any = None


def flatten(x: Any, leaves: list[Any], results: Results | None = None, depth: int = 0) -> Any:
    """Appends the leaves of x, and returns its structure: hashable, equal for equal structures."""
    kind = type(x)
    if kind in PLAIN or isinstance(x, Tensor) or depth > DEEPEST:
        leaves.append(x)
        return None
    if kind is tuple or (isinstance(x, tuple) and hasattr(kind, "_fields")):
        return (kind, *[flatten(y, leaves, results, depth + 1) for y in x])
    if results is not None and id(x) in results.numbers:
        return Again(results.numbers[id(x)])
    opened = _opened(x, results)
    if opened is None:
        leaves.append(x)
        return None
    head, parts = opened
    structure = (*head, *[flatten(y, leaves, results, depth + 1) for y in parts])
    if results is not None:
        results.numbers[id(x)] = len(results.numbers)
    return structure


def _opened(x: Any, results: Results | None) -> tuple[tuple, list[Any]] | None:
    """The beginning of the structure of a container, and what it holds; None for anything else."""
    kind = type(x)
    if results is not None and not results.is_new(x):
        return None
    if kind is list:
        return (list,), x
    if kind is dict:
        return (dict, tuple(x)), list(x.values())
    if results is None:
        return _opened_object(x) if hasattr(kind, "__dataclass_fields__") else None
    if kind is set:
        return (set,), list(x)
    if kind is deque:
        return (Shape(deque, how=x.maxlen),), list(x)
    if kind is defaultdict:
        return (Shape(defaultdict, keys=tuple(x), how=x.default_factory),), list(x.values())
    return _opened_object(x)


def _opened_object(x: Any) -> tuple[tuple, list[Any]] | None:
    kind, own = type(x), dictionary_of(x) or {}
    plain = all(base in _BASES or base.__flags__ & _HEAP for base in kind.__mro__)
    makers = (object.__new__, dict.__new__, OrderedDict.__new__, Generic.__new__)
    if isinstance(x, type) or is_module(x) or not plain or kind.__new__ not in makers:
        return None
    if kind.__module__.partition(".")[0] == "mashal" and not own:
        return None
    held = {**own, **{name: getattr(x, name) for name in _slots(kind) if hasattr(x, name)}}
    keys = tuple(dict.keys(x)) if isinstance(x, dict) else ()
    return (Shape(kind, tuple(held), keys),), [*held.values(), *(dict.__getitem__(x, key) for key in keys)]


_HEAP = 1 << 9  # Py_TPFLAGS_HEAPTYPE: a class that was made by Python code


def _slots(kind: type) -> list[str]:
    return [name for base in kind.__mro__ for name, x in vars(base).items() if isinstance(x, MemberDescriptorType)]


def containers(x: Any) -> Iterator[Any]:
    """The containers in arguments: they are flattened, so what they hold needs no guards. Of objects their dictionaries too."""
    if isinstance(x, tuple):
        for y in x:
            yield from containers(y)
    elif type(x) is not set and (opened := None if isinstance(x, Tensor) else _opened(x, None)) is not None:
        yield x
        yield from [] if dictionary_of(x) is None else [dictionary_of(x)]
        for y in opened[1]:
            yield from containers(y)


# ---------------------------------------------------------------- and back
def rebuild(structure: Any, leaves: Sequence[Any]) -> Any:
    """The object with this structure and these leaves."""
    return leaves[0] if structure is None else _rebuild(structure, iter(leaves), [])


def _rebuild(structure: Any, leaves: Iterator[Any], made: list[Any]) -> Any:
    if structure is None:
        return next(leaves)
    if type(structure) is Again:
        return made[structure.number]
    kind: Any = structure[0]
    if kind is dict:
        result: Any = {key: _rebuild(part, leaves, made) for key, part in zip(structure[1], structure[2:])}
    else:
        parts = [_rebuild(part, leaves, made) for part in structure[1:]]
        if kind is tuple or (isinstance(kind, type) and issubclass(kind, tuple)):
            return tuple(parts) if kind is tuple else kind(*parts)
        shape: Any = kind
        result = parts if kind is list else set(parts) if kind is set else _object(shape, parts)
    made.append(result)
    return result


def _object(shape: Shape, parts: list[Any]) -> Any:
    if shape.kind is deque:
        return deque(parts, shape.how)
    if shape.kind is defaultdict:
        return defaultdict(shape.how, zip(shape.keys, parts))
    made = shape.kind.__new__(shape.kind)
    for name, part in zip(shape.names, parts):
        object.__setattr__(made, name, part)
    put = OrderedDict.__setitem__ if isinstance(made, OrderedDict) else dict.__setitem__
    for key, part in zip(shape.keys, parts[len(shape.names) :]):
        put(made, key, part)
    return made
