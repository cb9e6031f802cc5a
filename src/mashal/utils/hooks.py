"""torch.utils.hooks: handles of hooks, and hooks that are not saved with what they hang on."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

from mashal.core.handles import RemovableHandle
from mashal.core.tensor import Tensor
from mashal.errors import message

__all__ = ["BackwardHook", "RemovableHandle", "unserializable_hook", "warn_if_has_hooks"]


def unserializable_hook(f: Callable[..., Any]) -> Callable[..., Any]:
    """Marks a hook as one that may be lost without a word when its tensor is saved."""
    f.__torch_unserializable__ = True  # type: ignore[attr-defined]
    return f


def warn_if_has_hooks(tensor: Tensor) -> None:
    """Warns of a tensor's hooks that saving it would lose."""
    for hook in (tensor.hooks or {}).values():
        if not hasattr(hook, "__torch_unserializable__"):
            warnings.warn(
                f"backward hook {hook!r} on the tensor will not be serialized; mark it with unserializable_hook",
                stacklevel=2,
            )


class BackwardHook:
    """Calls hooks with the gradients of a module's inputs and outputs, when both are there.

    `setup_input_hook(args)` and `setup_output_hook(outputs)` are called around the module's forward, and give what it is
    called with and what it returns. user_hooks(module, grad_input, grad_output) may replace grad_input,
    user_pre_hooks(module, grad_output) the other.
    """

    def __init__(self, module: Any, user_hooks: Sequence[Callable], user_pre_hooks: Sequence[Callable]):
        self.module, self.user_hooks, self.user_pre_hooks = module, user_hooks, user_pre_hooks
        self.grad_outputs: tuple | None = None

    def setup_output_hook(self, args: Any) -> Any:
        """Watches the outputs' gradients."""
        outputs = args if isinstance(args, tuple) else (args,)
        node = next((x.grad_fn for x in outputs if isinstance(x, Tensor) and x.grad_fn is not None), None)  # type: ignore[attr-defined]
        if node is None:
            return args

        def before(gradients: tuple) -> tuple:
            for hook in self.user_pre_hooks:
                answer = hook(self.module, gradients)
                gradients = gradients if answer is None else _as_many(answer, gradients)
            self.grad_outputs = gradients
            return gradients

        node.register_prehook(before)
        return args

    def setup_input_hook(self, args: Any) -> Any:
        """Watches the inputs' gradients: what is returned is to be handed to the module in their place."""
        inputs = args if isinstance(args, tuple) else (args,)
        places = [i for i, x in enumerate(inputs) if isinstance(x, Tensor) and x.requires_grad]  # type: ignore[attr-defined]
        if not places:
            return args
        made = list(inputs)
        first = places[0]
        made[first] = inputs[first].view_as(inputs[first])
        node = made[first].grad_fn

        def after(gradients: tuple, _: tuple) -> tuple | None:
            whole = tuple(gradients[0] if i == first else None for i in range(len(inputs)))
            for hook in self.user_hooks:
                answer = hook(self.module, whole, self.grad_outputs)
                whole = whole if answer is None else _as_many(answer, whole)
            return (whole[first],)

        node.register_hook(after)
        return tuple(made) if isinstance(args, tuple) else made[0]


def _as_many(answer: Any, wanted: tuple) -> tuple:
    answer = answer if isinstance(answer, tuple) else (answer,)
    if len(answer) != len(wanted):
        raise RuntimeError(
            message("BackwardHook", f"a hook returned {len(answer)} gradients where there are {len(wanted)}")
        )
    return answer
