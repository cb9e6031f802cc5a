"""Walking over a module's children, parameters and buffers, and finding one by its dotted name.

All walks go in the order of registration, parents before children, and name a thing by its path: "layers.0.weight".
A thing reachable by several paths comes once, under the first, unless remove_duplicate=False asks for all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from mashal.core.tensor import Tensor
from mashal.nn.parameter import Parameter


class TreeMethods:
    """The part of Module that walks."""

    _parameters: dict[str, Parameter | None]
    _buffers: dict[str, Tensor | None]
    _modules: dict[str, Any]

    # ---------------------------------------------------------------- modules
    def named_children(self) -> Iterator[tuple[str, Any]]:
        """The modules right below this one, with their names."""
        seen = set()
        for name, module in self._modules.items():
            if module is not None and module not in seen:
                seen.add(module)
                yield name, module

    def children(self) -> Iterator[Any]:
        """The modules right below this one."""
        for _, module in self.named_children():
            yield module

    def named_modules(
        self, memo: set[Any] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Any]]:
        """This module and all below it, with their paths; this one's is `prefix`.

        >>> model = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
        >>> [path for path, _ in model.named_modules()]
        ['', '0', '1']
        """
        memo = set() if memo is None else memo
        if self in memo:
            return
        if remove_duplicate:
            memo.add(self)
        yield prefix, self
        for name, module in self._modules.items():
            if module is not None:
                yield from module.named_modules(memo, _joined(prefix, name), remove_duplicate)

    def modules(self, remove_duplicate: bool = True) -> Iterator[Any]:
        """This module and all below it."""
        for _, module in self.named_modules(remove_duplicate=remove_duplicate):
            yield module

    # ---------------------------------------------------------------- parameters and buffers
    def _named_members(
        self,
        get_members_fn: Callable[[Any], Any],
        prefix: str = "",
        recurse: bool = True,
        remove_duplicate: bool = True,
    ) -> Iterator[tuple[str, Any]]:
        """What `get_members_fn` gives of this module and, with recurse, of all below it, with their paths."""
        seen = set()
        walk = self.named_modules(prefix=prefix, remove_duplicate=remove_duplicate) if recurse else [(prefix, self)]
        for path, module in walk:
            for name, value in get_members_fn(module):
                if value is None or value in seen:
                    continue
                if remove_duplicate:
                    seen.add(value)
                yield _joined(path, name), value

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """The parameters of this module and, with recurse, of all below it, with their paths.

        >>> [(path, p.shape) for path, p in nn.Linear(2, 3).named_parameters()]
        [('weight', torch.Size([3, 2])), ('bias', torch.Size([3]))]
        """
        return self._named_members(lambda module: module._parameters.items(), prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """The parameters of this module and, with recurse, of all below it: what an optimizer is given."""
        for _, parameter in self.named_parameters(recurse=recurse):
            yield parameter

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """The buffers of this module and, with recurse, of all below it, with their paths."""
        return self._named_members(lambda module: module._buffers.items(), prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """The buffers of this module and, with recurse, of all below it."""
        for _, buffer in self.named_buffers(recurse=recurse):
            yield buffer

    # ---------------------------------------------------------------- by dotted name
    def get_submodule(self, target: str) -> Any:
        """The module at a path such as "layers.0"; this one for "". AttributeError where there is none."""
        module: Any = self
        for name in target.split(".") if target else ():
            module = _attribute(module, name)
            if not isinstance(module, TreeMethods):
                raise AttributeError(f"get_submodule: {name!r} in {target!r} is a {type(module).__name__}, no module")
        return module

    def set_submodule(self, target: str, module: Any, strict: bool = False) -> None:
        """Put `module` at a path; with strict, only where a module already is.

        Raises ValueError for an empty path or something that is no module, AttributeError where the path leads
        through, or to, something that is no module.
        """
        if not target:
            raise ValueError('set_submodule: the path is "", which is the module itself; name one below it')
        if not isinstance(module, TreeMethods):
            raise ValueError(f"set_submodule: a {type(module).__name__} is no module; pass an nn.Module")
        path, _, name = target.rpartition(".")
        parent = self.get_submodule(path)
        if strict or hasattr(parent, name):
            present = _attribute(parent, name)
            if not isinstance(present, TreeMethods):
                raise AttributeError(f"set_submodule: {target!r} is a {type(present).__name__}, no module")
        setattr(parent, name, module)

    def get_parameter(self, target: str) -> Parameter:
        """The parameter at a path such as "layers.0.weight". AttributeError where there is none."""
        path, _, name = target.rpartition(".")
        parameter = _attribute(self.get_submodule(path), name)
        if not isinstance(parameter, Parameter):
            raise AttributeError(f"get_parameter: {target!r} is a {type(parameter).__name__}, no parameter")
        return parameter

    def get_buffer(self, target: str) -> Tensor:
        """The buffer at a path. AttributeError where there is none."""
        path, _, name = target.rpartition(".")
        module = self.get_submodule(path)
        buffer = _attribute(module, name)
        if name not in module._buffers:
            raise AttributeError(f"get_buffer: {target!r} is a {type(buffer).__name__}, no buffer")
        return buffer

    # ---------------------------------------------------------------- doing something everywhere
    def apply(self, fn: Callable[[Any], None]) -> Any:
        """Call fn(module) for all modules below this one, then for this one; returns this one.

        >>> def small(module):
        ...     if isinstance(module, nn.Linear):
        ...         nn.init.constant_(module.weight, 0.1)
        >>> model = nn.Sequential(nn.Linear(2, 2)).apply(small)
        """
        for module in self.children():
            module.apply(fn)
        fn(self)
        return self


def _joined(prefix: str, name: str) -> str:
    return f"{prefix}.{name}" if prefix else name


def _attribute(module: Any, name: str) -> Any:
    """An attribute on the way along a path; where there is none, the error says where."""
    if not hasattr(module, name):
        raise AttributeError(f"{type(module).__name__} has no attribute `{name}`")
    return getattr(module, name)
