"""Optimizer: what all optimizers share, and what one's own is made of.

An optimizer holds parameters in groups, each a dictionary of its options, and one dictionary of states for each parameter.
A subclass gives its default options to __init__ and defines `step`. Those of this package don't: they are an update
rule each (`mashal.optim.rules`).
"""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

from mashal.core.tensor import Tensor
from mashal.errors import message
from mashal.machine.observing import changed, watch
from mashal.optim.hooks import HookMethods, register_optimizer_step_post_hook, register_optimizer_step_pre_hook
from mashal.optim.state import StateDict, StateMethods, States

__all__ = [
    "Optimizer",
    "ParamsT",
    "StateDict",
    "register_optimizer_step_post_hook",
    "register_optimizer_step_pre_hook",
    "required",
]

ParamsT = Iterable[Tensor] | Iterable[dict[str, Any]] | Iterable[tuple[str, Tensor]]


class _RequiredParameter:
    """The default of an option that every group must give."""

    def __repr__(self) -> str:
        return "<required parameter>"


required = _RequiredParameter()


class Optimizer(HookMethods, StateMethods):
    """The base of all optimizers.

    params: tensors, (name, tensor) pairs, or dictionaries {"params": …, option: value …} that make a group each.
    defaults: the options of groups that don't give them.
    Attributes: `param_groups`, a list of dictionaries; `state`, the states by parameter; `defaults`.

    >>> class Halving(torch.optim.Optimizer):
    ...     def __init__(self, params):
    ...         super().__init__(params, {"factor": 0.5})
    ...
    ...     @torch.no_grad()
    ...     def step(self, closure=None):
    ...         for group in self.param_groups:
    ...             for p in group["params"]:
    ...                 p.mul_(group["factor"])
    >>> w = torch.ones(2, requires_grad=True)
    >>> Halving([w]).step()
    >>> w
    tensor([0.5000, 0.5000], requires_grad=True)
    """

    OptimizerPreHook = Callable[[Any, tuple, dict], tuple[tuple, dict] | None]
    OptimizerPostHook = Callable[[Any, tuple, dict], None]
    state: defaultdict[Any, Any]
    param_groups: list[dict[str, Any]]

    def __init__(self, params: ParamsT, defaults: dict[str, Any]) -> None:
        self.defaults = defaults
        self._make_hooks()
        self._patch_step_function()
        if isinstance(params, Tensor):
            raise TypeError(
                message(type(self).__name__, "params is a single Tensor", "give a list of tensors, or of dictionaries")
            )
        self.state = States(dict)
        self.param_groups = []
        groups: list[Any] = list(params)
        if not groups:
            raise ValueError(
                message(type(self).__name__, "the list of parameters is empty", "there must be something to optimize")
            )
        for group in groups if isinstance(groups[0], dict) else [{"params": groups}]:
            self.add_param_group(group)

    def _patch_step_function(self) -> None:
        """Puts the hooks around the class's step, once."""
        step = type(self).step
        if not getattr(step, "hooked", False):
            type(self).step = self.profile_hook_step(step)  # type: ignore[method-assign]

    def __getstate__(self) -> dict[str, Any]:
        return {"defaults": self.defaults, "state": self.state, "param_groups": self.param_groups}

    def __setstate__(self, state: dict[str, Any]) -> None:
        changed()
        self.__dict__.update(state)
        self._make_hooks()
        self._patch_step_function()
        self.defaults.setdefault("differentiable", False)

    def __repr__(self) -> str:
        lines = [type(self).__name__ + " ("]
        for i, group in enumerate(self.param_groups):
            lines.append(f"Parameter Group {i}")
            lines += [f"    {key}: {group[key]}" for key in sorted(group) if key != "params"]
        return "\n".join(lines) + "\n)"

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Adds a group: {"params": tensors or (name, tensor) pairs, and options that differ from the defaults}.

        Raises TypeError for what is no dictionary, no ordered collection or no tensor; ValueError for tensors that are
        no leaves, stand in another group, or have names only in part, and for an option that is required and not given.
        """
        if not isinstance(param_group, dict):
            raise TypeError(
                message("add_param_group", f"got a {type(param_group).__name__}", "a group is a dictionary")
            )
        params, names = _separated(param_group["params"])
        param_group["params"] = params
        if names:
            param_group["param_names"] = names
        for i, p in enumerate(params):
            self._check_parameter(i, p)
        for name, default in self.defaults.items():
            if default is required and name not in param_group:
                raise ValueError(
                    message("add_param_group", f"the group does not give {name!r}", "this option has no default")
                )
            param_group.setdefault(name, default)
        self._check_distinct(param_group)
        changed()
        self.param_groups.append(param_group)

    def _check_parameter(self, i: int, p: Any) -> None:
        if not isinstance(p, Tensor):
            raise TypeError(
                message("add_param_group", f"parameter {i} is a {type(p).__name__}", "an optimizer changes tensors")
            )
        if not self.defaults.get("differentiable") and not (p.is_leaf or p.retains):
            wrong = f"parameter {i} is not a leaf: {p.grad_fn.name()} made it"  # type: ignore[union-attr]
            raise ValueError(message("add_param_group", wrong, "a tensor without history is needed"))

    def _check_distinct(self, group: dict[str, Any]) -> None:
        params = set(map(id, group["params"]))
        if len(params) != len(group["params"]):
            warnings.warn(
                message("add_param_group", "a parameter is in the group twice", "each step will change it twice"),
                stacklevel=4,
            )
        for i, other in enumerate(self.param_groups):
            if ("param_names" in group) != ("param_names" in other):
                with_, without = ("this group", f"group {i}")[:: 1 if "param_names" in group else -1]
                wrong = f"{with_} has names of parameters and {without} has none"
                raise ValueError(message("add_param_group", wrong, "all groups must have them, or none"))
            if any(id(p) in params for p in other["params"]):
                raise ValueError(
                    message("add_param_group", f"a parameter is already in group {i}", "it can be in one group only")
                )

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forgets the gradients of all parameters; set_to_none=False: fills them with zeros instead."""
        for group in self.param_groups:
            for p in group["params"]:
                if set_to_none:
                    if watch.recorder is not None:
                        watch.recorder.forget_gradient(p)
                    p.grad_ = None
                elif p.grad is not None:  # which a recording sees
                    if p.grad_.grad_fn is not None:
                        p.grad_.detach_()
                    else:
                        p.grad_.requires_grad_(False)
                    p.grad_.zero_()

    def _relies_on(self, group: dict[str, Any], p: Tensor, options: Sequence[str], states: Sequence[str]) -> None:
        """Tells a recording on which options, beside those given as numbers (`machine.observing.number`), the step of a parameter
        depends, and which states it has; some that are only made now will be there in the next call."""
        recorder, own = watch.recorder, self.state[p]
        if recorder is None:
            return
        recorder.relies(self.__dict__, "state")
        recorder.relies(group, *options)
        if all(name in own for name in states):
            recorder.relies(own, *states)
        else:
            recorder.takes_back(partial(self.state.pop, p, None))
            recorder.unfinished(f"{type(self).__name__} makes its states")

    def _runs_in_python(self) -> None:
        """Tells a recording that what follows, its numbers and its branches, may be other ones in the next call."""
        if watch.recorder is not None:
            watch.recorder.obstacle(f"{type(self).__name__} computes this step in Python")

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Changes all parameters once. closure: computes the loss anew (with its gradients); it is what step returns."""
        raise NotImplementedError(
            message(type(self).__name__, "it does not say what a step is", "define step in the subclass")
        )


def _separated(params: Any) -> tuple[list[Any], list[str]]:
    """Parameters and names of what a group was given as "params"."""
    if isinstance(params, Tensor):
        return [params], []
    if isinstance(params, (set, frozenset)):
        raise TypeError(message("add_param_group", "params is a set, which has no order", "give a list"))
    given = list(params)
    named = [p for p in given if isinstance(p, tuple)]
    if named and len(named) != len(given):
        wrong = f"{len(named)} of {len(given)} parameters have names"
        raise ValueError(message("add_param_group", wrong, "all must have one, or none"))
    return ([p for _, p in named], [name for name, _ in named]) if named else (given, [])
