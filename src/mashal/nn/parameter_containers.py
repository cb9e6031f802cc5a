"""Modules that hold parameters: a list and a dictionary.

A tensor that is put in becomes a Parameter; anything else is kept as it is, and is not part of the state.
"""

from __future__ import annotations

import operator
from collections import OrderedDict
from collections.abc import Iterable, Iterator, KeysView
from typing import Any

from mashal.core.tensor import Tensor
from mashal.nn.containers import pairs
from mashal.nn.module import Module
from mashal.nn.parameter import Parameter
from mashal.nn.printing import indented

_absent = object()


def _as_parameter(value: Any) -> Any:
    return Parameter(value) if isinstance(value, Tensor) and not isinstance(value, Parameter) else value


def _line(name: str, value: Any, type_text: str) -> str:
    """One entry as printed."""
    if not isinstance(value, Tensor):
        return f"  ({name}): " + indented(f"Object of type: {type(value).__name__}")
    kind = "Parameter" if isinstance(value, Parameter) else "Tensor"
    size = "x".join(str(n) for n in value.shape)
    place = "" if value.device.type == "cpu" else f" ({value.device})"
    return f"  ({name}): {kind} containing: [{type_text} of size {size}{place}]"


class ParameterList(Module):
    """A list of parameters, which the model it is assigned to finds.

    values: an iterable of tensors, which become parameters, or other values.

    >>> weights = nn.ParameterList([torch.zeros(2), torch.zeros(3, 4)])
    >>> weights
    ParameterList(
        (0): Parameter containing: [torch.float32 of size 2]
        (1): Parameter containing: [torch.float32 of size 3x4]
    )
    """

    def __init__(self, values: Iterable[Any] | None = None) -> None:
        super().__init__()
        self._size = 0
        if values is not None:
            self.extend(values)

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[Any]:
        return iter([self[position] for position in range(len(self))])

    def __dir__(self) -> list[str]:
        return [name for name in super().__dir__() if not name.isdigit()]

    def _get_abs_string_index(self, idx: Any) -> str:
        """The name under which the entry at a position is held."""
        position = operator.index(idx)
        if not -len(self) <= position < len(self):
            raise IndexError(f"ParameterList: index {position} is out of range for {len(self)} entries")
        return str(position % len(self))

    def __getitem__(self, idx: int | slice) -> Any:
        if isinstance(idx, slice):
            return type(self)([self[position] for position in range(*idx.indices(len(self)))])
        return getattr(self, self._get_abs_string_index(idx))

    def __setitem__(self, idx: int, param: Any) -> None:
        setattr(self, self._get_abs_string_index(idx), _as_parameter(param))

    def append(self, value: Any) -> ParameterList:
        """Put a value at the end; returns the list."""
        self._size += 1
        self[-1] = value
        return self

    def extend(self, values: Iterable[Any]) -> ParameterList:
        """Put the values of an iterable (no single tensor) at the end; returns the list."""
        if not isinstance(values, Iterable) or isinstance(values, Tensor):
            raise TypeError(f"ParameterList.extend: expected an iterable of values, not a {type(values).__name__}")
        for value in list(values):
            self.append(value)
        return self

    def __iadd__(self, parameters: Iterable[Any]) -> ParameterList:
        return self.extend(parameters)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise RuntimeError("ParameterList should not be called.")

    def extra_repr(self) -> str:
        texts = [str(value.dtype) if isinstance(value, Tensor) else "" for value in self]
        return "\n".join(_line(str(n), value, text) for n, (value, text) in enumerate(zip(self, texts, strict=True)))


class ParameterDict(Module):
    """A dictionary of parameters in the order of insertion, which the model it is assigned to finds.

    parameters: a mapping from names to tensors, which become parameters, or other values; or an iterable of pairs.

    >>> nn.ParameterDict({"left": torch.zeros(2)})["left"]
    Parameter containing:
    tensor([0., 0.], requires_grad=True)
    """

    def __init__(self, parameters: Any = None) -> None:
        super().__init__()
        self._keys: dict[str, None] = {}
        if parameters is not None:
            self.update(parameters)

    def _key_to_attr(self, key: str) -> str:
        """The attribute that holds what is under a key; keys are strings."""
        if not isinstance(key, str):
            raise TypeError(f"ParameterDict: a key must be a string, not {key!r} of type {type(key).__name__}")
        return key

    def __getitem__(self, key: str) -> Any:
        return getattr(self, self._key_to_attr(key))

    def __setitem__(self, key: str, value: Any) -> None:
        name = self._key_to_attr(key)
        if key not in self._keys and hasattr(self, name):
            raise KeyError(f"attribute '{name}' already exists")
        setattr(self, name, _as_parameter(value))
        self._keys[key] = None

    def __delitem__(self, key: str) -> None:
        del self._keys[key]
        delattr(self, self._key_to_attr(key))

    def __len__(self) -> int:
        return len(self._keys)

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __reversed__(self) -> Iterator[str]:
        return reversed(list(self._keys))

    def __contains__(self, key: str) -> bool:
        return key in self._keys

    def copy(self) -> ParameterDict:
        """A new dictionary with the same parameters."""
        return ParameterDict(OrderedDict(self.items()))

    def setdefault(self, key: str, default: Any = None) -> Any:
        """What is under a key; default, put there, if nothing is."""
        if key not in self:
            self[key] = default
        return self[key]

    def clear(self) -> None:
        """Take everything out."""
        for key in list(self._keys):
            del self[key]

    def pop(self, key: str) -> Any:
        """Take what is under a key out, and return it."""
        value = self[key]
        del self[key]
        return value

    def popitem(self) -> tuple[str, Any]:
        """Take the last entry out, and return its key and value."""
        key: Any = next(reversed(self), _absent)
        if key is _absent:
            raise KeyError("ParameterDict.popitem: the dictionary is empty")
        return key, self.pop(key)

    def get(self, key: str, default: Any = None) -> Any:
        """What is under a key, or default."""
        if key not in self:
            return default
        return self[key]

    def fromkeys(self, keys: Iterable[str], default: Any = None) -> ParameterDict:
        """A new dictionary with the same value under all keys."""
        return ParameterDict((key, default) for key in keys)

    def keys(self) -> KeysView[str]:
        """The keys."""
        return self._keys.keys()

    def items(self) -> Iterable[tuple[str, Any]]:
        """Pairs of key and value."""
        return ((key, self[key]) for key in self._keys)

    def values(self) -> Iterable[Any]:
        """The values."""
        return (self[key] for key in self._keys)

    def update(self, parameters: Any) -> None:
        """Take values from a mapping or an iterable of pairs; those under keys that exist are replaced."""
        entries = pairs("ParameterDict", parameters)
        if isinstance(parameters, dict) and not isinstance(parameters, OrderedDict):
            entries = sorted(
                entries, key=lambda entry: entry[0]
            )  # PyTorch's order for a plain dict; parameters() and state_dict() show it
        for key, value in entries:
            self[key] = value

    def __or__(self, other: Any) -> ParameterDict:
        union = self.copy()
        union.update(other)
        return union

    def __ror__(self, other: Any) -> Any:
        union = other.copy()
        union.update(dict(self.items()))
        return union

    def __ior__(self, other: Any) -> ParameterDict:
        self.update(other)
        return self

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise RuntimeError("ParameterDict should not be called.")

    def extra_repr(self) -> str:
        texts = [value.type() if isinstance(value, Tensor) else "" for value in self.values()]
        return "\n".join(_line(key, value, text) for (key, value), text in zip(self.items(), texts, strict=True))
