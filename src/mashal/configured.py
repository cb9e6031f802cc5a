"""Modules whose names are settings: torch._dynamo.config, torch._inductor.config and the like.

    configured(__name__, defaults)                       at the end of such a module
    configured(__name__, defaults, SETTINGS)             with the dictionary that others read

Stands on nearest.
"""

from __future__ import annotations

import copy
import pickle
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from mashal.nearest import nearest_names

__all__ = ["AbsentSetting", "Settings", "configured"]


class AbsentSetting(AttributeError):
    """There is no such setting; which ones come nearest is looked for when the message is read."""

    obj: Settings

    def __str__(self) -> str:
        near = nearest_names(str(self.name), [*self.obj._defaults, *self.obj._aliases])
        wrong = f"{self.obj._title} has no setting {self.name!r}"
        return f"{wrong}; the nearest it has: {', '.join(near)}" if near else wrong


class Settings(ModuleType):
    """Settings as attributes. What is no setting is an AttributeError, a limit that is no whole number a TypeError.

    >>> torch._dynamo.config.recompile_limit
    8
    >>> with torch._dynamo.config.patch(recompile_limit=2):
    ...     torch._dynamo.config.cache_size_limit
    2
    """

    _defaults: dict[str, Any]
    _values: dict[str, Any]
    _aliases: Mapping[str, str]
    _elsewhere: Mapping[str, str]

    def _known(self, name: str) -> str:
        """The name by which a setting is kept."""
        name = self._aliases.get(name, name)
        if name not in self._defaults:
            raise AbsentSetting(name=name, obj=self)
        return name

    @property
    def _title(self) -> str:
        return self.__name__.replace("mashal", "torch", 1)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if any(known.startswith(f"{name}.") for known in self._defaults):
            return Group(self, f"{name}.")
        known = self._known(name)
        if known not in self._values:
            raise AttributeError(f"{self._title}: the setting {name!r} was deleted", name=name, obj=self)
        return self._values[known]

    def __setattr__(self, name: str, value: Any) -> None:
        if name.startswith("_"):
            super().__setattr__(name, value)
        else:
            self.set(name, value)

    def __delattr__(self, name: str) -> None:
        if name.startswith("_"):
            super().__delattr__(name)
        else:
            del self._values[self._known(name)]

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *(name.partition(".")[0] for name in self._defaults), *self._aliases})

    def set(self, name: str, value: Any) -> None:
        """Sets one; RuntimeError for a value that asks for something that is to be had elsewhere."""
        known = self._known(name)
        default = self._defaults[known]
        if known in self._elsewhere and value != default:
            raise RuntimeError(f"{self._title}.{name} can only be {default!r}: {self._elsewhere[known]}")
        if known.endswith("_limit") and type(default) is int and type(value) is not int:
            raise TypeError(f"{self._title}.{name} is an int, not {type(value).__name__}")
        self._values[known] = value

    @contextmanager
    def patch(self, arg1: Any = None, arg2: Any = None, **changes: Any) -> Iterator[None]:
        """Other settings for a while: by keywords, a dictionary, or a name and a value. Also a decorator."""
        changes = {arg1: arg2} if isinstance(arg1, str) else {**(arg1 or {}), **changes}
        before = {name: self._values[self._known(name)] for name in changes}
        try:
            for name, value in changes.items():
                self.set(name, value)
            yield
        finally:
            for name, value in before.items():
                self.set(name, value)

    def get_config_copy(self) -> dict[str, Any]:
        """All settings by name."""
        return copy.deepcopy(self._values)

    shallow_copy_dict = to_dict = get_config_copy

    def save_config(self) -> bytes:
        """All settings as bytes, for `load_config`."""
        return pickle.dumps(self._values)

    def load_config(self, saved: bytes | Mapping[str, Any]) -> None:
        """Sets what `save_config` gave, or a dictionary's settings."""
        for name, value in (pickle.loads(saved) if isinstance(saved, bytes) else saved).items():
            self.set(name, value)


class Group:
    """Settings whose names begin alike: `config.triton.cudagraphs` is the setting "triton.cudagraphs"."""

    def __init__(self, settings: Settings, prefix: str) -> None:
        self.__dict__.update(_settings=settings, _prefix=prefix)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._settings, self._prefix + name)

    def __setattr__(self, name: str, value: Any) -> None:
        self._settings.set(self._prefix + name, value)

    def __delattr__(self, name: str) -> None:
        delattr(self._settings, self._prefix + name)

    def __dir__(self) -> list[str]:
        return [name.removeprefix(self._prefix) for name in self._settings._defaults if name.startswith(self._prefix)]


def configured(
    name: str,
    defaults: dict[str, Any],
    values: dict[str, Any] | None = None,
    *,
    aliases: Mapping[str, str] | None = None,
    elsewhere: Mapping[str, str] | None = None,
) -> None:
    """Makes the module of this name one of settings.

    values: where they are kept. aliases: other names of some. elsewhere: of settings that can only have their default, where
    what another value asks for is to be had.
    """
    module = sys.modules[name]
    vars(module).update(
        _defaults=defaults,
        _values=copy.deepcopy(defaults) if values is None else values,
        _aliases=aliases or {},
        _elsewhere=elsewhere or {},
    )
    module.__class__ = Settings
