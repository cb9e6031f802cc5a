"""Hooks on optimizers: before and after a step, and around saving and loading; for one optimizer or for all."""

from __future__ import annotations

import functools
from collections import OrderedDict
from collections.abc import Callable
from itertools import chain
from typing import Any

from mashal.core.handles import RemovableHandle
from mashal.errors import message
from mashal.machine.observing import watch

Hook = Callable[..., Any]

_global_optimizer_pre_hooks: OrderedDict[int, Hook] = OrderedDict()
_global_optimizer_post_hooks: OrderedDict[int, Hook] = OrderedDict()


def _put(hooks: OrderedDict, hook: Hook, prepend: bool = False) -> RemovableHandle:
    handle = RemovableHandle(hooks)
    hooks[handle.id] = hook
    if prepend:
        hooks.move_to_end(handle.id, last=False)
    return handle


def register_optimizer_step_pre_hook(hook: Hook) -> RemovableHandle:
    """Call hook(optimizer, args, kwargs) before each step of every optimizer; it may return other (args, kwargs)."""
    return _put(_global_optimizer_pre_hooks, hook)


def register_optimizer_step_post_hook(hook: Hook) -> RemovableHandle:
    """Call hook(optimizer, args, kwargs) after each step of every optimizer."""
    return _put(_global_optimizer_post_hooks, hook)


class HookMethods:
    """What an Optimizer has for its own hooks."""

    def _make_hooks(self) -> None:
        for name in (
            "step_pre",
            "step_post",
            "state_dict_pre",
            "state_dict_post",
            "load_state_dict_pre",
            "load_state_dict_post",
        ):
            self.__dict__.setdefault(f"_optimizer_{name}_hooks", OrderedDict())

    def register_step_pre_hook(self, hook: Hook) -> RemovableHandle:
        """Call hook(optimizer, args, kwargs) before each step; it may return other (args, kwargs) for the step."""
        return _put(self._optimizer_step_pre_hooks, hook)

    def register_step_post_hook(self, hook: Hook) -> RemovableHandle:
        """Call hook(optimizer, args, kwargs) after each step."""
        return _put(self._optimizer_step_post_hooks, hook)

    def register_state_dict_pre_hook(self, hook: Hook, prepend: bool = False) -> RemovableHandle:
        """Call hook(optimizer) at the beginning of state_dict."""
        return _put(self._optimizer_state_dict_pre_hooks, hook, prepend)

    def register_state_dict_post_hook(self, hook: Hook, prepend: bool = False) -> RemovableHandle:
        """Call hook(optimizer, state_dict) at the end of state_dict; it may return another dictionary."""
        return _put(self._optimizer_state_dict_post_hooks, hook, prepend)

    def register_load_state_dict_pre_hook(self, hook: Hook, prepend: bool = False) -> RemovableHandle:
        """Call hook(optimizer, state_dict) with a shallow copy of what is loaded; it may return another dictionary."""
        return _put(self._optimizer_load_state_dict_pre_hooks, hook, prepend)

    def register_load_state_dict_post_hook(self, hook: Hook, prepend: bool = False) -> RemovableHandle:
        """Call hook(optimizer) when everything has been loaded."""
        return _put(self._optimizer_load_state_dict_post_hooks, hook, prepend)

    @staticmethod
    def profile_hook_step(func: Callable[..., Any]) -> Callable[..., Any]:
        """A class's `step` with the hooks around it."""

        @functools.wraps(func)
        def step(self: Any, *args: Any, **kwargs: Any) -> Any:
            own = self.__dict__
            own["_opt_called"] = True  # schedulers look at it
            if watch.recorder is not None:
                watch.recorder.hooks += [own["_optimizer_step_pre_hooks"], own["_optimizer_step_post_hooks"]]
                watch.recorder.hooks += [_global_optimizer_pre_hooks, _global_optimizer_post_hooks]
            if not (
                own["_optimizer_step_pre_hooks"] or own["_optimizer_step_post_hooks"]
                or _global_optimizer_pre_hooks or _global_optimizer_post_hooks
            ):  # fmt: skip
                return func(self, *args, **kwargs) if args or kwargs else func(self)
            return _hooked(func, self, (self, *args), kwargs)

        step.hooked = True  # type: ignore[attr-defined]
        return step


def _hooked(func: Callable[..., Any], optimizer: Any, args: tuple, kwargs: dict[str, Any]) -> Any:
    """func(*args, **kwargs) between the hooks; args begin with the optimizer."""
    for hook in chain(_global_optimizer_pre_hooks.values(), optimizer._optimizer_step_pre_hooks.values()):
        changed = hook(optimizer, args, kwargs)
        if changed is not None:
            if not (isinstance(changed, tuple) and len(changed) == 2):
                wrong = f"the pre-hook {hook!r} returned {changed!r}"
                raise RuntimeError(message("step", wrong, "it must return None or a tuple (args, kwargs)"))
            args, kwargs = changed
    result = func(*args, **kwargs)
    for hook in chain(optimizer._optimizer_step_post_hooks.values(), _global_optimizer_post_hooks.values()):
        hook(optimizer, args, kwargs)
    return result
