"""Modules as functions of their parameters."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from mashal import ops
from mashal.core.tensor import Tensor
from mashal.nn.batchnorm import _BatchNorm
from mashal.nn.module import Module

__all__ = ["functional_call", "replace_all_batch_norm_modules_", "stack_module_state"]


def functional_call(
    module: Module,
    parameter_and_buffer_dicts: Any,
    args: Any = None,
    kwargs: dict[str, Any] | None = None,
    *,
    tie_weights: bool = True,
    strict: bool = False,
) -> Any:
    """module(*args, **kwargs) with these tensors in place of parameters and buffers; afterwards the module is as it was.

    parameter_and_buffer_dicts: name -> tensor, one dictionary or several. tie_weights: whether a tensor given for one of several names
    of a shared parameter stands for all of them. strict: RuntimeError unless every parameter and buffer is given, and nothing else.

    >>> layer = nn.Linear(2, 1, bias=False)
    >>> torch.func.functional_call(layer, {"weight": torch.tensor([[1.0, 2.0]])}, (torch.ones(2),))
    tensor([3.])
    """
    if isinstance(parameter_and_buffer_dicts, dict):
        given = parameter_and_buffer_dicts
    elif isinstance(parameter_and_buffer_dicts, Sequence):
        if not all(isinstance(d, dict) for d in parameter_and_buffer_dicts):
            raise ValueError("functional_call: expected all elements of parameter_and_buffer_dicts to be dictionaries")
        names = [name for d in parameter_and_buffer_dicts for name in d]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(
                f"functional_call: {twice} appeared in multiple dictionaries; behavior of functional call is ambiguous"
            )
        given = {name: x for d in parameter_and_buffer_dicts for name, x in d.items()}
    else:
        kind = type(parameter_and_buffer_dicts).__name__
        raise ValueError(
            f"functional_call: expected parameter_and_buffer_dicts to be a dict or a list/tuple of dicts, but got {kind}"
        )
    arguments = () if args is None else args if isinstance(args, tuple) else (args,)
    with exchanged(module, given, tie_weights, strict):
        return module(*arguments, **(kwargs or {}))


def _places(module: Module) -> dict[str, tuple[dict, str]]:
    """Full name -> (the dictionary that holds the parameter or buffer, its name there)."""
    found: dict[str, tuple[dict, str]] = {}
    for prefix, part in module.named_modules(remove_duplicate=False):
        for held in (part._parameters, part._buffers):
            for name in held:
                found[f"{prefix}.{name}" if prefix else name] = held, name
    return found


@contextmanager
def exchanged(module: Module, given: dict[str, Any], tie_weights: bool, strict: bool) -> Iterator[None]:
    """Inside, the module has these tensors."""
    places = _places(module)
    unexpected = [name for name in given if name not in places]
    missing = [name for name, (held, own) in places.items() if name not in given and held[own] is not None]
    shared: dict[str, Any] = dict(given)
    if tie_weights:
        by_identity = {id(places[n][0][places[n][1]]): (n, x) for n, x in given.items() if n in places}
        for name, (held, own) in places.items():
            known = by_identity.get(id(held[own])) if held[own] is not None else None
            if known is not None and name not in given:
                shared[name] = known[1]
        missing = [name for name in missing if name not in shared]
    if unexpected or (strict and missing):
        parts = [f"Unexpected key(s): {', '.join(unexpected)}."] if unexpected else []
        parts += [f"Missing key(s): {', '.join(missing)}."] if strict and missing else []
        if strict or unexpected:
            raise (RuntimeError if strict else AttributeError)(
                f"Error(s) in {type(module).__name__}: {' '.join(parts)}"
            )
    before = []
    try:
        for name, x in shared.items():
            if not isinstance(x, Tensor):
                raise TypeError(f"functional_call: {x!r} for {name} is not an instance of torch.Tensor")
            held, own = places[name]
            before.append((held, own, held[own]))
            held[own] = x
        yield
    finally:
        for held, own, x in reversed(before):
            held[own] = x


def stack_module_state(models: Sequence[Module]) -> tuple[dict[str, Any], dict[str, Any]]:
    """(parameters, buffers) of several modules of one kind, each stacked along a new first dimension, for vmap over the modules.

    RuntimeError unless there is one at least, and all are of one class and one training mode.

    >>> params, buffers = torch.func.stack_module_state([nn.Linear(2, 1), nn.Linear(2, 1)])
    >>> params["weight"].shape
    torch.Size([2, 1, 2])
    """
    if not models:
        raise RuntimeError("stack_module_state: Expected at least one model, got 0.")
    if not all(m.training for m in models) and any(m.training for m in models):
        raise RuntimeError("stack_module_state: Expected all models to have the same training/eval mode.")
    if any(type(m) is not type(models[0]) for m in models):
        raise RuntimeError("stack_module_state: Expected all models to be of the same class.")
    parameters = {
        name: _stacked([dict(m.named_parameters())[name] for m in models]) for name, _ in models[0].named_parameters()
    }
    buffers = {name: _stacked([dict(m.named_buffers())[name] for m in models]) for name, _ in models[0].named_buffers()}
    return parameters, buffers


def _stacked(tensors: list[Any]) -> Tensor:
    wanted = {x.requires_grad for x in tensors}
    if len(wanted) > 1:
        raise RuntimeError("stack_module_state: Expected parameters with the same name to have the same requires_grad")
    return ops.stack([x.detach() for x in tensors]).requires_grad_(wanted.pop())


def replace_all_batch_norm_modules_(root: Module) -> Module:
    """Makes all batch norms in a module do without running statistics, which vmap could not write; returns it."""
    for part in root.modules():
        if isinstance(part, _BatchNorm):
            part.running_mean = part.running_var = part.num_batches_tracked = None
            part.track_running_stats = False
    return root
