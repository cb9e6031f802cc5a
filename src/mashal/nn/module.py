"""`Module`: what has parameters, submodules and a forward.

Its parts stand in files of their own: `registry` (the dictionaries of what is registered), `hooks` (hooks, and the
call of a module that has some), `tree` (walking and finding), `conversion` (dtype, device, mode), `state`
(state_dict). Here: registering, attributes, the call, printing, copying.

The one thing that would surprise: what is registered is also written into the module's `__dict__`, where Python
finds it without a detour; see `registry`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any, TypeVar

from mashal.core.tensor import Tensor
from mashal.later import later
from mashal.machine.calling import install
from mashal.machine.observing import changed
from mashal.nn import hooks
from mashal.nn.conversion import ConversionMethods
from mashal.nn.hooks import (
    HookMethods,
    call_with_hooks,
    register_module_buffer_registration_hook,
    register_module_forward_hook,
    register_module_forward_pre_hook,
    register_module_full_backward_hook,
    register_module_full_backward_pre_hook,
    register_module_module_registration_hook,
    register_module_parameter_registration_hook,
    registered,
)
from mashal.nn.parameter import Buffer, Parameter
from mashal.nn.printing import bracketed, indented
from mashal.nn.registry import HOOKS, MEMBERS, Hooks, Members, adopt, members, plain
from mashal.nn.state import StateMethods, _IncompatibleKeys
from mashal.nn.tree import TreeMethods

__all__ = [
    "Module",
    "_IncompatibleKeys",
    "register_module_buffer_registration_hook",
    "register_module_forward_hook",
    "register_module_forward_pre_hook",
    "register_module_full_backward_hook",
    "register_module_full_backward_pre_hook",
    "register_module_module_registration_hook",
    "register_module_parameter_registration_hook",
]

_LINKED = frozenset(MEMBERS + HOOKS)


class Module(HookMethods, TreeMethods, ConversionMethods, StateMethods):
    """The base of all layers and models: assign parameters and modules to attributes, and write `forward`.

    What is assigned to an attribute is registered: a Parameter is found by parameters(), a Module by modules(), both
    move with to(), are saved by state_dict() and printed.

    >>> class Model(nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.hidden = nn.Linear(4, 8)
    ...         self.output = nn.Linear(8, 2)
    ...     def forward(self, x):
    ...         return self.output(self.hidden(x).relu())
    >>> model = Model()
    >>> model
    Model(
      (hidden): Linear(in_features=4, out_features=8, bias=True)
      (output): Linear(in_features=8, out_features=2, bias=True)
    )
    >>> model(torch.ones(3, 4)).shape
    torch.Size([3, 2])
    """

    dump_patches: bool = False
    T_destination = TypeVar("T_destination", bound="dict[str, Any]")
    call_super_init: bool = False  # True: __init__ passes its arguments on to the next class of a subclass's bases

    training: bool

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if (args or kwargs) and not self.call_super_init:
            given = f"{len(args)} positional" if args else f"keyword argument {next(iter(kwargs))!r}"
            raise TypeError(f"{type(self).__name__}.__init__(): nn.Module takes no arguments, but was given {given}")
        self.__dict__.update(
            training=True,
            _parameters=Members(self),
            _buffers=Members(self),
            _non_persistent_buffers_set=set(),
            _backward_pre_hooks=Hooks(self),
            _backward_hooks=Hooks(self),
            _is_full_backward_hook=None,
            _forward_hooks=Hooks(self),
            _forward_hooks_with_kwargs=OrderedDict(),
            _forward_hooks_always_called=OrderedDict(),
            _forward_pre_hooks=Hooks(self),
            _forward_pre_hooks_with_kwargs=OrderedDict(),
            _state_dict_hooks=OrderedDict(),
            _state_dict_pre_hooks=OrderedDict(),
            _load_state_dict_pre_hooks=OrderedDict(),
            _load_state_dict_post_hooks=OrderedDict(),
            _modules=Members(self),
        )
        if self.call_super_init:
            super().__init__(*args, **kwargs)

    # ---------------------------------------------------------------- the call
    def forward(self, *input: Any) -> Any:
        """What the module computes; a subclass defines it."""
        raise NotImplementedError(f'Module [{type(self).__name__}] is missing the required "forward" function')

    __call__: Callable[
        ..., Any
    ]  # the same as _call_openly, but native where forward is all there is to call (see below)
    _compiled_call_impl: Any = None

    def _call_openly(self, *args: Any, **kwargs: Any) -> Any:
        if self._long_way:
            if self._compiled_call_impl is not None:
                return self._compiled_call_impl(*args, **kwargs)
            return call_with_hooks(self, args, kwargs)
        return self.forward(*args, **kwargs)

    def _call_impl(self, *args: Any, **kwargs: Any) -> Any:
        return call_with_hooks(self, args, kwargs)

    def _call_between_hooks(self, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """A call with another function in the place of forward."""
        return call_with_hooks(self, args, kwargs, forward)

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Calls of this module are compiled from now on; arguments as those of torch.compile.

        >>> model = torch.nn.ReLU()
        >>> model.compile()
        >>> model(torch.tensor([-1.0, 1.0]))
        tensor([0., 1.])
        """
        compiler = later("mashal.compiler")
        self.__dict__["_compiled_call_impl"] = compiler.compile(self._call_impl, *args, **kwargs)
        self.__dict__["_long_way"] = True

    # ---------------------------------------------------------------- registering
    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Register a parameter under a name; None keeps the name without a parameter, as Linear's bias=False does.

        Raises KeyError for a name that is taken, empty or has a dot, TypeError for what is no Parameter, ValueError
        for one that was computed from other tensors.
        """
        self._check_name("parameter", name, "_parameters")
        if param is not None:
            if not isinstance(param, Parameter):
                raise TypeError(
                    f"cannot assign '{_typename(param)}' object to parameter '{name}' "
                    "(torch.nn.Parameter or None required)"
                )
            if param.grad_fn is not None:
                raise ValueError(
                    f"register_parameter: {name!r} was computed from other tensors; a parameter is where computing "
                    "begins. Keep the tensors it comes from as parameters, and compute it in forward"
                )
            param = registered(hooks._global_parameter_registration_hooks, self, name, param)
        members(self, "_parameters")[name] = param

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Register a tensor that moves with the module and isn't trained; if persistent, it is in the state_dict.

        >>> m = nn.Module()
        >>> m.register_buffer("mean", torch.zeros(2))
        >>> m.mean
        tensor([0., 0.])
        """
        self._check_name("buffer", name, "_buffers")
        if tensor is not None and not isinstance(tensor, Tensor):
            raise TypeError(
                f"cannot assign '{_typename(tensor)}' object to buffer '{name}' (torch Tensor or None required)"
            )
        members(self, "_buffers")[name] = registered(hooks._global_buffer_registration_hooks, self, name, tensor)
        if persistent:
            self._non_persistent_buffers_set.discard(name)
        else:
            self._non_persistent_buffers_set.add(name)

    def add_module(self, name: str, module: Module | None) -> None:
        """Register a submodule under a name; the same as assigning it to that attribute."""
        if module is not None and not isinstance(module, Module):
            raise TypeError(f"{_typename(module)} is not a Module subclass")
        self._check_name("module", name, "_modules")
        members(self, "_modules")[name] = registered(hooks._global_module_registration_hooks, self, name, module)

    def register_module(self, name: str, module: Module | None) -> None:
        """The same as add_module."""
        self.add_module(name, module)

    def _check_name(self, kind: str, name: str, place: str) -> None:
        """Whether something of this kind may be registered under this name; errors if not."""
        if place not in self.__dict__:
            raise AttributeError(f"cannot assign {kind} before Module.__init__() call")
        if not isinstance(name, str):
            raise TypeError(f"{kind} name should be a string. Got {_typename(name)}")
        if name == "":
            raise KeyError(f'{kind} name can\'t be empty string ""')
        if "." in name:
            raise KeyError(f'{kind} name can\'t contain ".", got: {name}')
        if name not in self.__dict__[place] and hasattr(self, name):
            raise KeyError(f"attribute '{name}' already exists")

    # ---------------------------------------------------------------- attributes
    def __setattr__(self, name: str, value: Any) -> None:
        held = self.__dict__
        is_tensor = isinstance(value, Tensor)
        if is_tensor and isinstance(value, Parameter):
            if "_parameters" not in held:
                raise AttributeError("cannot assign parameters before Module.__init__() call")
            self._forget(name, "_parameters")
            self.register_parameter(name, value)
        elif isinstance(value, Module):
            if "_modules" not in held:
                raise AttributeError("cannot assign module before Module.__init__() call")
            self._forget(name, "_modules")
            value = registered(hooks._global_module_registration_hooks, self, name, value)
            members(self, "_modules")[name] = value
        elif name in held.get("_parameters", ()):
            self._set_registered(name, value, "_parameters", "parameter", "torch.nn.Parameter or None expected")
        elif name in held.get("_modules", ()):
            self._set_registered(name, value, "_modules", "child module", "torch.nn.Module or None expected")
        elif name in held.get("_buffers", ()) or (is_tensor and isinstance(value, Buffer)):
            self._set_buffer(name, value)
        elif name in _LINKED and isinstance(value, dict):
            adopt(self, name, value)
        else:
            changed()
            object.__setattr__(self, name, value)

    def _forget(self, name: str, but: str) -> None:
        """Drop what stands under a name anywhere except in the dictionary `but`."""
        for place in MEMBERS:
            if place != but and name in self.__dict__.get(place, ()):
                del members(self, place)[name]
        if name not in self.__dict__[but]:
            self.__dict__.pop(name, None)
        self._non_persistent_buffers_set.discard(name)

    def _set_registered(self, name: str, value: Any, place: str, kind: str, expected: str) -> None:
        """Assign None where a parameter or module is registered; anything else is an error."""
        if value is not None:
            raise TypeError(f"cannot assign '{_typename(value)}' as {kind} '{name}' ({expected})")
        members(self, place)[name] = None

    def _set_buffer(self, name: str, value: Any) -> None:
        """Assign a tensor or None to a buffer, new or not."""
        if value is not None and not isinstance(value, Tensor):
            raise TypeError(
                f"cannot assign '{_typename(value)}' as buffer '{name}' "
                "(torch.nn.Buffer, torch.Tensor or None expected)"
            )
        if "_buffers" not in self.__dict__:
            raise AttributeError("cannot assign buffer before Module.__init__() call")
        persistent = name not in self._non_persistent_buffers_set
        if isinstance(value, Buffer):
            persistent = getattr(value, "persistent", persistent)
            self._forget(name, "_buffers")
        self.register_buffer(name, value, persistent)

    def __getattr__(self, name: str) -> Any:
        # Reached only where the ordinary lookup fails: with dictionaries that came here without being linked.
        held = self.__dict__
        for place in MEMBERS:
            if name in held.get(place, ()):
                return held[place][name]
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'", name=name, obj=self)

    def __delattr__(self, name: str) -> None:
        for place in MEMBERS:
            if name in self.__dict__.get(place, ()):
                del members(self, place)[name]
                self._non_persistent_buffers_set.discard(name)
                return
        changed()
        object.__delattr__(self, name)

    def __dir__(self) -> list[str]:
        names = {*dir(type(self)), *self.__dict__}
        for place in MEMBERS:
            names.update(self.__dict__.get(place, ()))
        return sorted(name for name in names if not name[:1].isdigit())

    # ---------------------------------------------------------------- printing
    def _get_name(self) -> str:
        return type(self).__name__

    def extra_repr(self) -> str:
        """What stands between the brackets when the module is printed; a subclass defines it."""
        return ""

    def __repr__(self) -> str:
        extra = self.extra_repr()
        lines = extra.split("\n") if extra else []
        children = [f"({name}): {indented(repr(module))}" for name, module in self._modules.items()]
        return bracketed(self._get_name(), lines, children)

    # ---------------------------------------------------------------- copying
    def __getstate__(self) -> dict[str, Any]:
        return plain(self.__dict__)

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        for name in HOOKS + MEMBERS:
            adopt(self, name, self.__dict__.get(name, {}))
        self.__dict__.setdefault("_non_persistent_buffers_set", set())
        self.__dict__.setdefault("_is_full_backward_hook", None)
        for name in _UNLINKED_HOOKS:
            self.__dict__.setdefault(name, OrderedDict())


install(Module, "__call__", flag="_long_way", short="forward", long="_call_openly")

_UNLINKED_HOOKS = (
    "_forward_hooks_with_kwargs",
    "_forward_hooks_always_called",
    "_forward_pre_hooks_with_kwargs",
    "_state_dict_hooks",
    "_state_dict_pre_hooks",
    "_load_state_dict_pre_hooks",
    "_load_state_dict_post_hooks",
)


def _typename(value: Any) -> str:
    return value.type() if isinstance(value, Tensor) else type(value).__qualname__
