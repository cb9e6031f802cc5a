"""Modules called with other parameters; new code takes torch.func.functional_call."""

from __future__ import annotations

import warnings
from typing import Any

from mashal.core.tensor import Tensor
from mashal.later import later
from mashal.nearest import nearest
from mashal.nn.module import Module

__all__ = ["functional_call"]

_modules = later("mashal.func.modules")


def functional_call(
    module: Module,
    parameters_and_buffers: dict[str, Tensor],
    args: Any = None,
    kwargs: dict[str, Any] | None = None,
    *,
    tie_weights: bool = True,
    strict: bool = False,
) -> Any:
    """module(*args, **kwargs) with these tensors in place of parameters and buffers; see torch.func.functional_call."""
    warnings.warn(
        "nn.utils.stateless.functional_call is deprecated; take torch.func.functional_call", FutureWarning, stacklevel=2
    )
    return _modules.functional_call(
        module, parameters_and_buffers, args, kwargs, tie_weights=tie_weights, strict=strict
    )


__getattr__ = nearest(__name__)
