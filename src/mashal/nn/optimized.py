"""What compile makes of a module: a module around it, whose call is compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mashal.nn.module import Module


class OptimizedModule(Module):
    """A compiled module. The module itself is `_orig_mod`; attributes are its attributes, and parameters stay where they are.

    dynamo_ctx: compiles what it is given as this module was compiled.

    >>> layer = torch.compile(nn.Linear(2, 1))
    >>> layer
    OptimizedModule(
      (_orig_mod): Linear(in_features=2, out_features=1, bias=True)
    )
    """

    def __init__(self, mod: Module, dynamo_ctx: Callable[[Any], Any]) -> None:
        super().__init__()
        self._orig_mod = mod
        self.__dict__["dynamo_ctx"] = dynamo_ctx
        self.__dict__["forward"] = dynamo_ctx(mod.__call__)

    @property
    def training(self) -> bool:  # type: ignore[override]
        """The module's own."""
        return self._orig_mod.training

    @training.setter
    def training(self, mode: bool) -> None:
        if "_orig_mod" in self.__dict__:
            self._orig_mod.training = mode

    def __getattr__(self, name: str) -> Any:
        if name == "_orig_mod":
            raise AttributeError(name)
        return getattr(self._orig_mod, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "training" or name in self.__dict__ or "_orig_mod" not in self.__dict__:
            super().__setattr__(name, value)
        else:
            setattr(self._orig_mod, name, value)

    def __delattr__(self, name: str) -> None:
        delattr(self._orig_mod, name)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *dir(self._orig_mod)})

    def __len__(self) -> int:
        return len(self._orig_mod)  # type: ignore[arg-type]

    def __bool__(self) -> bool:
        return True

    def __getitem__(self, key: Any) -> Any:
        return self._orig_mod[key]  # type: ignore[index]

    def __iter__(self) -> Any:
        return iter(self._orig_mod)  # type: ignore[call-overload]

    def __contains__(self, x: Any) -> bool:
        return x in self._orig_mod  # type: ignore[operator]

    def __reduce__(self) -> Any:
        return _again, (self._orig_mod, self.dynamo_ctx)


def _again(module: Module, dynamo_ctx: Callable[[Any], Any]) -> Any:
    return dynamo_ctx(module)
