"""An optimizer's state as a dictionary, and back.

state_dict() has PyTorch's layout: parameters are numbered in the order of the groups,

    {"state": {0: {"step": tensor(3.), "exp_avg": …}, …}, "param_groups": [{"lr": 0.1, …, "params": [0, 1]}, …]}

and loading goes by these numbers alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from copy import deepcopy
from itertools import chain
from typing import Any

from mashal.core.dtypes import float32
from mashal.core.tensor import Tensor
from mashal.errors import message
from mashal.machine.observing import changed

StateDict = dict[str, Any]


class States(defaultdict):
    """The states of all parameters: a dictionary that tells when some are taken out or replaced (machine.observing)."""

    __slots__ = ()

    def __setitem__(self, key: Any, value: Any) -> None:
        changed()
        super().__setitem__(key, value)

    def __delitem__(self, key: Any) -> None:
        changed()
        super().__delitem__(key)

    def pop(self, *arguments: Any) -> Any:
        changed()
        return super().pop(*arguments)

    def popitem(self) -> tuple[Any, Any]:
        changed()
        return super().popitem()

    def clear(self) -> None:
        changed()
        super().clear()

    def update(self, *entries: Any, **named: Any) -> None:
        changed()
        super().update(*entries, **named)

    def __reduce__(self) -> tuple[Any, ...]:
        return defaultdict, (self.default_factory,), None, None, iter(self.items())

    def __repr__(self) -> str:
        return repr(self.copy())

    def copy(self) -> defaultdict:
        return defaultdict(self.default_factory, self)


class StateMethods:
    """state_dict and load_state_dict of an Optimizer."""

    def state_dict(self) -> StateDict:
        """The states by number of parameter, and the groups with numbers for parameters. Tensors are shared, not copied."""
        for hook in self._optimizer_state_dict_pre_hooks.values():
            hook(self)
        numbers: dict[int, int] = {}
        groups, start = [], 0
        for group in self.param_groups:
            for i, p in enumerate(group["params"], start):
                numbers.setdefault(id(p), i)
            packed = {key: value for key, value in group.items() if key != "params"}
            packed["params"] = [numbers[id(p)] for p in group["params"]]
            groups.append(packed)
            start += len(packed["params"])
        state = {(numbers[id(key)] if isinstance(key, Tensor) else key): value for key, value in self.state.items()}
        saved: StateDict = {"state": state, "param_groups": groups}
        for hook in self._optimizer_state_dict_post_hooks.values():
            other = hook(self, saved)
            saved = saved if other is None else other
        return saved

    def load_state_dict(self, state_dict: StateDict) -> None:
        """Takes over states and options from a state_dict of an optimizer with groups of the same sizes.

        States get their parameter's dtype (the count of steps keeps its own) and device. Make schedulers before loading:
        they set the learning rate when they are made.
        Raises ValueError where the number of groups, or of parameters in one, differs.
        """
        state_dict = state_dict.copy()
        for hook in self._optimizer_load_state_dict_pre_hooks.values():
            other = hook(self, state_dict)
            state_dict = state_dict if other is None else other
        groups, saved = self.param_groups, deepcopy(state_dict["param_groups"])
        _check_sizes([len(g["params"]) for g in groups], [len(g["params"]) for g in saved])
        owners = [dict(zip(loaded["params"], group["params"])) for group, loaded in zip(groups, saved)]
        for group, loaded in zip(groups, saved):
            loaded["params"] = group["params"]
            if "param_names" in group:
                loaded.setdefault("param_names", group["param_names"])
        state = States(dict)
        for key, value in state_dict["state"].items():
            found = next(((own[key], loaded) for own, loaded in zip(owners, saved) if key in own), None)
            if found is None:
                state[key] = value
            else:
                state[found[0]] = _suited(value, *found)
        self.__setstate__({"state": state, "param_groups": saved})
        for hook in self._optimizer_load_state_dict_post_hooks.values():
            hook(self)


def _check_sizes(own: list[int], loaded: list[int]) -> None:
    if len(own) != len(loaded):
        wrong = f"the state_dict has {len(loaded)} parameter groups"
        raise ValueError(message("load_state_dict", wrong, f"this optimizer has {len(own)}"))
    for i, (here, there) in enumerate(zip(own, loaded)):
        if here != there:
            wrong = f"group {i} of the state_dict has {there} parameters"
            raise ValueError(message("load_state_dict", wrong, f"that of this optimizer has {here}"))


def _suited(value: Any, p: Tensor, group: dict[str, Any], key: Any = None) -> Any:
    """A loaded value as it belongs to parameter p: tensors in its dtype and on its device."""
    if isinstance(value, Tensor):
        if key == "step":
            kept = not (group.get("capturable") or group.get("fused"))
            return value if kept else value.to(dtype=float32, device=p.device)
        return value.to(dtype=p.dtype, device=p.device) if p.is_floating_point() else value.to(device=p.device)
    if isinstance(value, dict):
        return {k: _suited(v, p, group, k) for k, v in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, (str, bytes)):
        return type(value)(_suited(v, p, group) for v in value)  # type: ignore[call-arg]
    return value


__all__ = ["StateDict", "StateMethods", "chain"]
