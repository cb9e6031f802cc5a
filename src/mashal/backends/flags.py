"""What a backend module is made of: settings that may be read and assigned, and answers."""

from __future__ import annotations

import types
from typing import Any

__all__ = ["Backend"]


class Backend(types.ModuleType):
    """A module of settings: `torch.backends.cudnn.benchmark = True` is accepted, noted, and changes nothing here.

    settings: names and first values. `flags(**new)` sets them for a block.
    """

    def __init__(self, name: str, doc: str, **settings: Any):
        super().__init__(name, doc)
        self.__dict__.update(settings)
        self.flags = lambda **new: _Flags(self, new)


class _Flags:
    """Settings that hold within a block."""

    def __init__(self, backend: Backend, new: dict[str, Any]):
        self.backend, self.new, self.before = backend, new, {}

    def __enter__(self) -> None:
        self.before = {name: getattr(self.backend, name, None) for name in self.new}
        self.backend.__dict__.update(self.new)

    def __exit__(self, *exception: Any) -> None:
        self.backend.__dict__.update(self.before)
