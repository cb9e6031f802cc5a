"""Parameters that are computed from others: a module in their place makes them anew whenever they are asked for.

A module with such a parameter gets a class of its own, with a property under the parameter's name; what is trained lies in
`module.parametrizations.NAME.original`. state_dict has it under that path.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from mashal.core.tape import no_grad
from mashal.core.tensor import Tensor
from mashal.nearest import nearest
from mashal.nn.containers import ModuleDict, ModuleList
from mashal.nn.module import Module
from mashal.nn.parameter import Parameter
from mashal.nn.registry import plain

__all__ = [
    "ParametrizationList",
    "cached",
    "is_parametrized",
    "register_parametrization",
    "remove_parametrizations",
    "transfer_parametrizations_and_params",
    "type_before_parametrizations",
]


class _Cache:
    """What was computed while `cached` is on: (module, name) -> tensor."""

    depth = 0
    found: dict[tuple[int, str], Tensor | None] = {}


@contextmanager
def cached() -> Iterator[None]:
    """Within, every parametrized tensor is computed once and then kept.

    >>> with nn.utils.parametrize.cached():
    ...     pass
    """
    _Cache.depth += 1
    try:
        yield
    finally:
        _Cache.depth -= 1
        if not _Cache.depth:
            _Cache.found = {}


def _hold(module: Any, name: str, x: Tensor) -> None:
    if isinstance(x, Parameter):
        module.register_parameter(name, x)
    else:
        module.register_buffer(name, x)


def _put(original: Tensor, new: Tensor) -> None:
    """New data for a parameter that stays the same object, for its optimizer's sake."""
    with no_grad():
        original.set_(new)  # type: ignore[attr-defined]


def _check(what: str, x: Any, like: Tensor, shape: bool = True) -> None:
    if not isinstance(x, Tensor):
        raise ValueError(f"register_parametrization: {what} must return a tensor, not {type(x).__name__}")
    if x.dtype is not like.dtype:
        raise ValueError(
            f"register_parametrization: {what} may not change the dtype; it made {x.dtype} of {like.dtype}"
        )
    if shape and x.shape != like.shape:
        raise ValueError(
            f"register_parametrization: {what} may not change the shape; it made {tuple(x.shape)} of {tuple(like.shape)}; "
            "if it must, pass unsafe=True"
        )


class ParametrizationList(ModuleList):
    """The parametrizations of one tensor, in the order in which they are applied, and what they start from.

    original: that tensor; original0, original1, … where the first one's right_inverse gives several.
    """

    original: Tensor
    unsafe: bool

    def __init__(self, modules: Sequence[Module], original: Tensor, unsafe: bool = False) -> None:
        if not len(modules):
            raise ValueError("ParametrizationList: requires one or more modules, but there are none")
        super().__init__(modules)
        self.unsafe = unsafe
        shape, dtype, new = original.shape, original.dtype, self._start(original)
        if not isinstance(new, (Tensor, Sequence)):
            raise ValueError(
                f"ParametrizationList: right_inverse must return a tensor or a sequence of tensors, not {type(new).__name__}"
            )
        self.is_tensor = isinstance(new, Tensor)
        self.ntensors = 1 if isinstance(new, Tensor) else len(new)
        if isinstance(new, Tensor):
            _check("right_inverse", new, original, shape=False)
            _put(original, new)
            _hold(self, "original", original)
        else:
            for i, part in enumerate(new):
                if not isinstance(part, Tensor):
                    raise ValueError(
                        f"ParametrizationList: right_inverse must return a sequence of tensors; element {i} is "
                        f"{type(part).__name__}"
                    )
                if isinstance(original, Parameter):
                    part = Parameter(part, original.requires_grad)
                part.requires_grad_(original.requires_grad)
                _hold(self, f"original{i}", part)
        if not unsafe:
            made = self()
            if not isinstance(made, Tensor):
                raise ValueError(
                    f"register_parametrization: a parametrization must return a tensor, not {type(made).__name__}"
                )
            if made.dtype is not dtype:
                raise ValueError(
                    f"register_parametrization: a parametrization may not change the dtype; it made {made.dtype} of {dtype}"
                )
            if made.shape != shape:
                raise ValueError(
                    "register_parametrization: a parametrization may not change the shape; it made "
                    f"{tuple(made.shape)} of {tuple(shape)}; if it must, pass unsafe=True"
                )

    def _start(self, original: Tensor) -> Any:
        new: Any = original
        with no_grad():
            for module in reversed(list(self)):
                if hasattr(module, "right_inverse"):
                    try:
                        new = module.right_inverse(new)
                    except NotImplementedError:
                        pass
        return new

    def _originals(self) -> list[Tensor]:
        names = ["original"] if self.is_tensor else [f"original{i}" for i in range(self.ntensors)]
        return [getattr(self, name) for name in names]

    def right_inverse(self, value: Tensor) -> None:
        """Gives the originals values from which this one is made. RuntimeError: a parametrization has no right_inverse."""
        with no_grad():
            for module in reversed(list(self)):
                if not hasattr(module, "right_inverse"):
                    raise RuntimeError(
                        f"parametrization: {type(module).__name__} does not implement right_inverse, so that no value can be assigned"
                    )
                value = module.right_inverse(value)
        new = [value] if self.is_tensor else list(value)  # type: ignore[call-overload]
        if len(new) != self.ntensors:
            raise ValueError(f"parametrization: right_inverse must return {self.ntensors} tensors, got {len(new)}")
        for original, part in zip(self._originals(), new):
            _check("right_inverse", part, original, shape=False)
            _put(original, part)

    def forward(self) -> Tensor:
        first, *others = list(self)
        x = first(*self._originals())
        for module in others:
            x = module(x)
        return x


# ---------------------------------------------------------------- a class with a property
def _own_class(module: Any) -> None:
    """Gives a module a class of its own, made from its class."""
    cls = type(module)

    def getstate(self: Any) -> Any:
        raise RuntimeError(
            "pickle: a parametrized module is saved by its state_dict() only, for its class exists in this process alone"
        )

    def deep_copy(self: Any, memo: dict) -> Any:
        if id(self) not in memo:
            memo[id(self)] = copied = self.__new__(type(self))
            copied.__setstate__(copy.deepcopy(plain(self.__dict__), memo))
        return memo[id(self)]

    body = {"__getstate__": getstate, "__module__": cls.__module__}
    if not hasattr(cls, "__deepcopy__"):
        body["__deepcopy__"] = deep_copy
    module.__class__ = type(f"Parametrized{cls.__name__}", (cls,), body)


def _add_property(module: Any, name: str) -> None:
    def get(self: Any) -> Tensor:
        if not _Cache.depth:
            return self.parametrizations[name]()
        key = id(module), name
        found = _Cache.found.get(key)
        if found is None:
            found = _Cache.found[key] = self.parametrizations[name]()
        return found

    def set(self: Any, value: Tensor) -> None:
        self.parametrizations[name].right_inverse(value)

    setattr(type(module), name, property(get, set))


# ---------------------------------------------------------------- public
def is_parametrized(module: Module, tensor_name: str | None = None) -> bool:
    """Whether a module has parametrizations, or one of this tensor."""
    held = getattr(module, "parametrizations", None)
    if not isinstance(held, ModuleDict):
        return False
    return len(held) > 0 if tensor_name is None else tensor_name in held


def register_parametrization(
    module: Module, tensor_name: str, parametrization: Module, *, unsafe: bool = False
) -> Module:
    """Computes a module's parameter (or buffer) by another module from now on; returns the module.

    parametrization: its forward makes the tensor of the original; right_inverse, if it has one, makes an original (or
    several) of a tensor that is assigned. A second one is applied behind the first. unsafe: it may change the shape.

    >>> class Symmetric(nn.Module):
    ...     def forward(self, x):
    ...         return x.triu() + x.triu(1).transpose(-1, -2)
    >>> layer = nn.utils.parametrize.register_parametrization(nn.Linear(3, 3), "weight", Symmetric())
    >>> bool((layer.weight == layer.weight.T).all())
    True
    """
    parametrization.train(module.training)
    held: Any = module
    if is_parametrized(module, tensor_name):
        if not unsafe:
            before = getattr(module, tensor_name)
            after = parametrization(before)
            _check("a parametrization", after, before)
            if hasattr(parametrization, "right_inverse"):
                try:
                    back = parametrization.right_inverse(after)  # type: ignore[operator]
                except NotImplementedError:
                    back = before
                _check("right_inverse", back, before)
        held.parametrizations[tensor_name].append(parametrization)
        held.parametrizations[tensor_name].unsafe |= unsafe
    elif tensor_name in module._buffers or tensor_name in module._parameters:
        held_list = ParametrizationList([parametrization], getattr(module, tensor_name), unsafe)
        delattr(module, tensor_name)
        if not is_parametrized(module):
            _own_class(module)
            held.parametrizations = ModuleDict()
        _add_property(module, tensor_name)
        held.parametrizations[tensor_name] = held_list
    else:
        raise ValueError(f"register_parametrization: {module} has no parameter or buffer named {tensor_name!r}")
    return module


def remove_parametrizations(module: Module, tensor_name: str, leave_parametrized: bool = True) -> Module:
    """Takes the parametrizations of a tensor away; returns the module.

    leave_parametrized: the tensor keeps the value that they gave; otherwise it is the original again.
    ValueError: there are none, or the original is several tensors.
    """
    held: Any = module
    if not is_parametrized(module, tensor_name):
        raise ValueError(f"remove_parametrizations: {module} has no parametrization of {tensor_name!r}")
    entry = held.parametrizations[tensor_name]
    if entry.is_tensor:
        original = entry.original
        if leave_parametrized:
            with no_grad():
                value = getattr(module, tensor_name)
            _put(original, value)
    elif leave_parametrized:
        value = getattr(module, tensor_name)
        original = Parameter(value.detach()) if value.requires_grad else value
    else:
        raise ValueError(
            "remove_parametrizations: an original of several tensors can't be left; pass leave_parametrized=True"
        )
    delattr(type(module), tensor_name)
    del held.parametrizations[tensor_name]
    _hold(module, tensor_name, original)
    if not is_parametrized(module):
        del held.parametrizations
        module.__class__ = type(module).__bases__[0]
    return module


def type_before_parametrizations(module: Module) -> type:
    """A module's class as it was before it got parametrizations."""
    return type(module).__bases__[0] if is_parametrized(module) else type(module)


def transfer_parametrizations_and_params(
    from_module: Module, to_module: Module, tensor_name: str | None = None
) -> Module:
    """Gives another module the parametrizations of one, with their originals; returns it. tensor_name: of this tensor only."""
    source: Any = from_module
    if not is_parametrized(from_module):
        return to_module
    names = list(source.parametrizations) if tensor_name is None else [tensor_name]
    if tensor_name is not None and tensor_name not in source.parametrizations:
        raise ValueError(
            f"transfer_parametrizations_and_params: {from_module} has no parametrization of {tensor_name!r}"
        )
    target: Any = to_module
    for name in names:
        if not hasattr(to_module, name):
            setattr(to_module, name, Parameter(getattr(from_module, name).detach().clone()))
        entry = source.parametrizations[name]
        for parametrization in entry:
            register_parametrization(to_module, name, parametrization, unsafe=entry.unsafe)
        mine = target.parametrizations[name]
        for key in ["original"] if entry.is_tensor else [f"original{i}" for i in range(entry.ntensors)]:
            if hasattr(mine, key):
                setattr(mine, key, getattr(entry, key))
    return to_module


__getattr__ = nearest(__name__)
