"""Hooks on modules: registering them, for one module or for all, and the call of a module that has some.

`Module.__call__` comes here only where there is a hook; `call_with_hooks` is the whole order of events:

    forward pre-hooks (of all modules, then the module's own)     may replace the arguments
    forward, its inputs and outputs watched if there are backward hooks
    forward hooks (of all modules, then the module's own)         may replace the output
    and, when backward comes by: backward pre-hooks, backward hooks (`mashal.nn.boundary`)
"""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from mashal.core.handles import RemovableHandle
from mashal.core.tensor import Tensor
from mashal.nn.boundary import Boundary

Hook = Callable[..., Any]

# ---------------------------------------------------------------- hooks of all modules
_global_forward_pre_hooks: OrderedDict[int, Hook] = OrderedDict()
_global_forward_hooks: OrderedDict[int, Hook] = OrderedDict()
_global_forward_hooks_with_kwargs: OrderedDict[int, bool] = OrderedDict()
_global_forward_hooks_always_called: OrderedDict[int, bool] = OrderedDict()
_global_backward_pre_hooks: OrderedDict[int, Hook] = OrderedDict()
_global_backward_hooks: OrderedDict[int, Hook] = OrderedDict()
_global_module_registration_hooks: OrderedDict[int, Hook] = OrderedDict()
_global_parameter_registration_hooks: OrderedDict[int, Hook] = OrderedDict()
_global_buffer_registration_hooks: OrderedDict[int, Hook] = OrderedDict()


def put(hooks: OrderedDict, hook: Hook, prepend: bool = False, options: Any = ()) -> RemovableHandle:
    """Put a hook at the end (or the start) of `hooks`, and its number into the dictionaries of its options."""
    handle = RemovableHandle(hooks, extra_dict=list(options))
    hooks[handle.id] = hook
    if prepend:
        hooks.move_to_end(handle.id, last=False)
    for option in options:
        option[handle.id] = True
    return handle


def register_module_forward_pre_hook(hook: Hook) -> RemovableHandle:
    """Call hook(module, args) before forward of every module; what it returns, unless None, replaces args."""
    HookMethods._long_way = True
    return put(_global_forward_pre_hooks, hook)


def register_module_forward_hook(
    hook: Hook, *, with_kwargs: bool = False, always_call: bool = False
) -> RemovableHandle:
    """Call hook(module, args, output) after forward of every module; what it returns, unless None, is the output.

    with_kwargs: hook(module, args, kwargs, output). always_call: also where forward raised (output is then None).
    """
    HookMethods._long_way = True
    options = [_global_forward_hooks_with_kwargs] * with_kwargs + [_global_forward_hooks_always_called] * always_call
    return put(_global_forward_hooks, hook, options=options)


def register_module_full_backward_pre_hook(hook: Hook) -> RemovableHandle:
    """Call hook(module, grad_output) as backward reaches any module."""
    HookMethods._long_way = True
    return put(_global_backward_pre_hooks, hook)


def register_module_full_backward_hook(hook: Hook) -> RemovableHandle:
    """Call hook(module, grad_input, grad_output) as backward leaves any module."""
    HookMethods._long_way = True
    return put(_global_backward_hooks, hook)


def register_module_module_registration_hook(hook: Hook) -> RemovableHandle:
    """Call hook(module, name, submodule) where any module gets a submodule; it may return another in its place."""
    return put(_global_module_registration_hooks, hook)


def register_module_parameter_registration_hook(hook: Hook) -> RemovableHandle:
    """Call hook(module, name, parameter) where any module gets a parameter; it may return another in its place."""
    return put(_global_parameter_registration_hooks, hook)


def register_module_buffer_registration_hook(hook: Hook) -> RemovableHandle:
    """Call hook(module, name, buffer) where any module gets a buffer; it may return another in its place."""
    return put(_global_buffer_registration_hooks, hook)


def registered(hooks: OrderedDict[int, Hook], module: Any, name: str, value: Any) -> Any:
    """What is to be registered: value, or what the registration hooks put in its place."""
    for hook in hooks.values():
        other = hook(module, name, value)
        value = value if other is None else other
    return value


# ---------------------------------------------------------------- hooks of one module
class HookMethods:
    """The part of Module that registers hooks."""

    _long_way = False  # True on the class while hooks of all modules exist, on an instance while it has its own

    _forward_hooks: OrderedDict[int, Hook]
    _forward_hooks_with_kwargs: OrderedDict[int, bool]
    _forward_hooks_always_called: OrderedDict[int, bool]
    _forward_pre_hooks: OrderedDict[int, Hook]
    _forward_pre_hooks_with_kwargs: OrderedDict[int, bool]
    _backward_hooks: OrderedDict[int, Hook]
    _backward_pre_hooks: OrderedDict[int, Hook]
    _is_full_backward_hook: bool | None

    def register_forward_pre_hook(
        self, hook: Hook, *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """Call hook(module, args) before every forward; what it returns, unless None, replaces args.

        with_kwargs: hook(module, args, kwargs), which returns None or (args, kwargs). prepend: before the others.
        Returns a handle whose remove() takes the hook away.
        """
        options = [self._forward_pre_hooks_with_kwargs] * with_kwargs
        return put(self._forward_pre_hooks, hook, prepend, options)

    def register_forward_hook(
        self, hook: Hook, *, prepend: bool = False, with_kwargs: bool = False, always_call: bool = False
    ) -> RemovableHandle:
        """Call hook(module, args, output) after every forward; what it returns, unless None, is the output.

        with_kwargs: hook(module, args, kwargs, output). prepend: before the others. always_call: also where forward
        or another hook raised.

        >>> layer = nn.Linear(2, 3)
        >>> handle = layer.register_forward_hook(lambda module, args, output: print(output.shape))
        >>> _ = layer(torch.ones(4, 2))
        torch.Size([4, 3])
        >>> handle.remove()
        """
        options = [self._forward_hooks_with_kwargs] * with_kwargs + [self._forward_hooks_always_called] * always_call
        return put(self._forward_hooks, hook, prepend, options)

    def register_full_backward_pre_hook(self, hook: Hook, prepend: bool = False) -> RemovableHandle:
        """Call hook(module, grad_output) as backward reaches the module; it may return other gradients."""
        return put(self._backward_pre_hooks, hook, prepend)

    def register_full_backward_hook(self, hook: Hook, prepend: bool = False) -> RemovableHandle:
        """Call hook(module, grad_input, grad_output) as backward leaves the module.

        Both are tuples, None for what is no tensor. It may return other gradients in grad_input's place.
        """
        self._set_kind_of_backward_hook(full=True)
        return put(self._backward_hooks, hook, prepend)

    def register_backward_hook(self, hook: Hook) -> RemovableHandle:
        """Call hook(module, grad_input, grad_output) of the operation that made the output (the old manner).

        Where forward is several operations, grad_input are the last one's: use register_full_backward_hook.
        """
        self._set_kind_of_backward_hook(full=False)
        return put(self._backward_hooks, hook)

    def _set_kind_of_backward_hook(self, full: bool) -> None:
        if self._is_full_backward_hook is (not full):
            raise RuntimeError(
                f"{type(self).__name__}: full and non-full backward hooks cannot be used on one module; "
                "use register_full_backward_hook for both"
            )
        self._is_full_backward_hook = full


# ---------------------------------------------------------------- the call of a module that has hooks
def call_with_hooks(
    module: Any, args: tuple[Any, ...], kwargs: dict[str, Any], forward: Callable[..., Any] | None = None
) -> Any:
    """Call a module's forward between its hooks, in the order this file begins with. forward: what is called in its stead."""
    written: Callable[..., Any] = module.forward if forward is None else forward
    if not _has_hooks(module):
        return written(*args, **kwargs)
    called: set[int] = set()
    try:
        return _forward_between_hooks(module, args, kwargs, called, written)
    except Exception:
        _call_what_is_always_called(module, args, kwargs, called)
        raise


def _has_hooks(module: Any) -> bool:
    """Whether a call has to take the long way; if not, the next ones take the short one again."""
    everywhere = _global_forward_pre_hooks or _global_forward_hooks
    if not (everywhere or _global_backward_pre_hooks or _global_backward_hooks):
        HookMethods._long_way = False
    module.__dict__.pop("_long_way", None)
    hooked = module._forward_hooks or module._forward_pre_hooks or module._backward_hooks or module._backward_pre_hooks
    if hooked or module._compiled_call_impl is not None:
        module.__dict__["_long_way"] = True
    return bool(hooked) or HookMethods._long_way


def _forward_between_hooks(
    module: Any, args: tuple[Any, ...], kwargs: dict[str, Any], called: set[int], forward: Callable[..., Any]
) -> Any:
    args, kwargs = _before_forward(module, args, kwargs)
    full = list(_global_backward_hooks.values())
    if module._is_full_backward_hook:
        full += module._backward_hooks.values()
    before = [*_global_backward_pre_hooks.values(), *module._backward_pre_hooks.values()]
    boundary = Boundary(module, before, full) if full or before else None
    if boundary:
        args = boundary.around_inputs(args)
    output = forward(*args, **kwargs)
    for number, hook, with_kwargs, _ in _forward_hooks(module):
        called.add(number)
        returned = hook(module, args, kwargs, output) if with_kwargs else hook(module, args, output)
        output = output if returned is None else returned
    if boundary:
        output = boundary.around_output(output)
    if module._backward_hooks and not module._is_full_backward_hook:
        _watch_last_operation(module, output)
    return output


def _before_forward(module: Any, args: Any, kwargs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments after the forward pre-hooks."""
    own = module._forward_pre_hooks_with_kwargs
    for number, hook in [*_global_forward_pre_hooks.items(), *module._forward_pre_hooks.items()]:
        if number in own:
            returned = hook(module, args, kwargs)
            if returned is None:
                continue
            if not (isinstance(returned, tuple) and len(returned) == 2):
                raise RuntimeError(
                    f"{type(module).__name__}: a forward pre-hook with kwargs must return None or a tuple "
                    f"(args, kwargs), not {returned!r}"
                )
            args, kwargs = returned
        else:
            returned = hook(module, args)
            if returned is not None:
                args = returned if isinstance(returned, tuple) else (returned,)
    return args, kwargs


def _forward_hooks(module: Any) -> list[tuple[int, Hook, bool, bool]]:
    """Forward hooks in their order: number, hook, whether it takes kwargs, whether it is always called."""
    everywhere = _global_forward_hooks_with_kwargs, _global_forward_hooks_always_called
    own = module._forward_hooks_with_kwargs, module._forward_hooks_always_called
    return [
        (number, hook, number in with_kwargs, number in always)
        for hooks, (with_kwargs, always) in ((_global_forward_hooks, everywhere), (module._forward_hooks, own))
        for number, hook in list(hooks.items())
    ]


def _call_what_is_always_called(module: Any, args: Any, kwargs: Any, called: set[int]) -> None:
    """After an error: the hooks that asked to be called all the same, unless they were; their errors only warn."""
    for number, hook, with_kwargs, always in _forward_hooks(module):
        if not always or number in called:
            continue
        try:
            hook(module, args, kwargs, None) if with_kwargs else hook(module, args, None)
        except Exception as error:
            warnings.warn(
                f"{type(module).__name__}: a forward hook with always_call=True raised {error!r} while another error "
                "was being handled; that other error is raised",
                stacklevel=3,
            )


def _watch_last_operation(module: Any, output: Any) -> None:
    """Put the non-full backward hooks on the node of the first tensor in the output."""
    while not isinstance(output, Tensor):
        if isinstance(output, dict):
            output = next((value for value in output.values() if isinstance(value, Tensor)), None)
        elif isinstance(output, (tuple, list)):
            output = output[0] if output else None
        else:
            return
    if output.grad_fn is None:
        return
    for hook in module._backward_hooks.values():
        output.grad_fn.register_hook(lambda gradients, outer, hook=hook: hook(module, gradients, outer))
