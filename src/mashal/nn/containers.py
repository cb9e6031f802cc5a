"""Modules that hold modules: a chain, a list, a dictionary.

`Sequential` calls what it holds one after another. `ModuleList` and `ModuleDict` only hold: a model's forward uses
them as the Python list and dictionary they resemble. Those that hold parameters are in `parameter_containers`.
"""

from __future__ import annotations

import operator
from collections import OrderedDict
from collections.abc import ItemsView, Iterable, Iterator, KeysView, Mapping, ValuesView
from typing import Any

from mashal.nn.module import Module
from mashal.nn.printing import bracketed, indented


class _Numbered(Module):
    """What a chain and a list have in common: modules under the names "0", "1", …, reached by position."""

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._modules.values())

    def __dir__(self) -> list[str]:
        return [name for name in super().__dir__() if not name.isdigit()]

    def _position(self, idx: Any) -> int:
        """idx as a position from 0; negative ones count from the end."""
        position = operator.index(idx)
        if not -len(self) <= position < len(self):
            raise IndexError(f"{type(self).__name__}: index {position} is out of range for {len(self)} modules")
        return position % len(self)

    def _get_abs_string_index(self, idx: Any) -> str:
        return str(self._position(idx))

    def _name_at(self, idx: Any) -> str:
        return list(self._modules)[self._position(idx)]

    def __setitem__(self, idx: int, module: Module) -> None:
        setattr(self, self._name_at(idx), module)

    def __delitem__(self, idx: int | slice) -> None:
        names = list(self._modules)
        for name in names[idx] if isinstance(idx, slice) else [self._name_at(idx)]:
            delattr(self, name)
        self._renumber(list(self._modules.values()))

    def _renumber(self, modules: list[Any]) -> None:
        """Hold these modules, under "0", "1", …"""
        self._modules = {str(number): module for number, module in enumerate(modules)}

    def append(self, module: Module) -> Any:
        """Put a module at the end; returns the container."""
        self.add_module(str(len(self)), module)
        return self

    def pop(self, key: int | slice) -> Any:
        """Take the module at a position out, and return it."""
        taken = self[key]  # pyright: ignore[reportIndexIssue]
        del self[key]
        return taken

    def _insert(self, position: int, module: Module) -> None:
        if not isinstance(module, Module):
            raise TypeError(f"{type(self).__name__}.insert: {type(module).__name__} is not a Module subclass")
        modules = list(self._modules.values())
        modules.insert(position, module)
        self._renumber(modules)


class Sequential(_Numbered):
    """Modules called one after another, each with what the one before returned.

    args: the modules, or one OrderedDict of names to modules.

    >>> nn.Sequential(nn.Linear(2, 3), nn.ReLU())
    Sequential(
      (0): Linear(in_features=2, out_features=3, bias=True)
      (1): ReLU()
    )
    """

    def __init__(self, *args: Any) -> None:
        super().__init__()
        named = args[0].items() if len(args) == 1 and isinstance(args[0], OrderedDict) else enumerate(args)
        for name, module in named:
            self.add_module(name if isinstance(name, str) else str(name), module)

    def forward(self, input: Any) -> Any:
        for module in self._modules.values():
            input = module(input)
        return input

    def __getitem__(self, idx: int | slice) -> Any:
        if isinstance(idx, slice):
            return type(self)(OrderedDict(list(self._modules.items())[idx]))
        return self._modules[self._name_at(idx)]

    def extend(self, sequential: Iterable[Module]) -> Sequential:
        """Put the modules of an iterable at the end; returns the chain."""
        for module in list(sequential):
            self.append(module)
        return self

    def insert(self, index: int, module: Module) -> Sequential:
        """Put a module before the one at a position; returns the chain."""
        if not -len(self) <= index <= len(self):
            raise IndexError(f"Sequential: index {index} is out of range for inserting into {len(self)} modules")
        self._insert(index, module)
        return self

    def __add__(self, other: Any) -> Sequential:
        if not isinstance(other, Sequential):
            raise ValueError(f"Sequential: + takes another Sequential, not a {type(other).__name__}")
        return Sequential(*self, *other)

    def __iadd__(self, other: Any) -> Sequential:
        if not isinstance(other, Sequential):
            raise ValueError(f"Sequential: += takes another Sequential, not a {type(other).__name__}")
        return self.extend(other)

    def __mul__(self, other: int) -> Sequential:
        return Sequential(*(list(self) * self._factor(other)))

    __rmul__ = __mul__

    def __imul__(self, other: int) -> Sequential:
        return self.extend(list(self) * (self._factor(other) - 1))

    def _factor(self, other: Any) -> int:
        if not isinstance(other, int):
            raise TypeError(f"Sequential: * takes a positive integer, not a {type(other).__name__}")
        if other <= 0:
            raise ValueError(f"Sequential: * takes a positive integer, not {other}")
        return other


class ModuleList(_Numbered):
    """A list of modules, whose parameters the model it is assigned to finds.

    modules: an iterable of modules.

    >>> nn.ModuleList(nn.Linear(2, 2) for _ in range(3))
    ModuleList(
      (0-2): 3 x Linear(in_features=2, out_features=2, bias=True)
    )
    """

    def __init__(self, modules: Iterable[Module] | None = None) -> None:
        super().__init__()
        if modules is not None:
            self.extend(modules)

    def __getitem__(self, idx: int | slice) -> Any:
        if isinstance(idx, slice):
            return type(self)(list(self._modules.values())[idx])
        return self._modules[self._name_at(idx)]

    def extend(self, modules: Iterable[Module]) -> ModuleList:
        """Put the modules of an iterable at the end; returns the list."""
        if not isinstance(modules, Iterable):
            raise TypeError(f"ModuleList.extend: expected an iterable of modules, not a {type(modules).__name__}")
        for module in list(modules):
            self.append(module)
        return self

    def insert(self, index: int, module: Module) -> None:
        """Put a module before the one at a position."""
        self._insert(index, module)

    def __iadd__(self, modules: Iterable[Module]) -> ModuleList:
        return self.extend(modules)

    def __add__(self, other: Iterable[Module]) -> ModuleList:
        return ModuleList([*self, *other])

    def __repr__(self) -> str:
        runs: list[list[Any]] = []  # [first position, last position, text] of equal neighbours
        for position, module in enumerate(self):
            text = repr(module)
            if runs and runs[-1][2] == text:
                runs[-1][1] = position
            else:
                runs.append([position, position, text])
        lines = [
            f"({first}): {text}" if first == last else f"({first}-{last}): {last - first + 1} x {text}"
            for first, last, text in runs
        ]
        return bracketed(self._get_name(), [], [indented(line) for line in lines])


class ModuleDict(Module):
    """A dictionary of modules in the order of insertion, whose parameters the model it is assigned to finds.

    modules: a mapping from names to modules, or an iterable of pairs.

    >>> nn.ModuleDict({"tanh": nn.Tanh(), "relu": nn.ReLU()})["relu"]
    ReLU()
    """

    def __init__(self, modules: Mapping[str, Module] | None = None) -> None:
        super().__init__()
        if modules is not None:
            self.update(modules)

    def __getitem__(self, key: str) -> Any:
        return self._modules[key]

    def __setitem__(self, key: str, module: Module) -> None:
        self.add_module(key, module)

    def __delitem__(self, key: str) -> None:
        del self._modules[key]

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __contains__(self, key: str) -> bool:
        return key in self._modules

    def clear(self) -> None:
        """Take everything out."""
        self._modules.clear()

    def pop(self, key: str) -> Any:
        """Take the module under a name out, and return it."""
        return self._modules.pop(key)

    def keys(self) -> KeysView[str]:
        """The names."""
        return self._modules.keys()

    def items(self) -> ItemsView[str, Any]:
        """Pairs of name and module."""
        return self._modules.items()

    def values(self) -> ValuesView[Any]:
        """The modules."""
        return self._modules.values()

    def update(self, modules: Any) -> None:
        """Take modules from a mapping or an iterable of pairs; those under names that exist are replaced."""
        for name, module in pairs("ModuleDict", modules):
            self[name] = module


def pairs(kind: str, entries: Any) -> list[tuple[str, Any]]:
    """What a dictionary-like container is given: a mapping, a container, or an iterable of pairs."""
    if isinstance(entries, Mapping) or (isinstance(entries, Module) and hasattr(entries, "items")):
        return list(entries.items())
    if not isinstance(entries, Iterable):
        raise TypeError(f"{kind}.update: expected an iterable of key/value pairs, not a {type(entries).__name__}")
    found = []
    for position, pair in enumerate(entries):
        if not isinstance(pair, Iterable):
            raise TypeError(
                f"{kind}.update: element {position} is a {type(pair).__name__}, not a pair of name and value"
            )
        pair = tuple(pair)
        if len(pair) != 2:
            raise ValueError(f"{kind}.update: element {position} has length {len(pair)}, not 2")
        found.append(pair)
    return found


class Container(Module):
    """Modules under keyword names: the old way, kept for old programs; assign attributes of a Module instead."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__()
        for name, module in kwargs.items():
            self.add_module(name, module)
