"""Parameters as one vector, one after another, and back."""

from __future__ import annotations

from collections.abc import Iterable

from mashal import ops
from mashal.core.tensor import Tensor


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """All values of all parameters, in their order, as one vector; on one device (TypeError).

    >>> nn.utils.parameters_to_vector([torch.ones(2), torch.zeros(1, 1)])
    tensor([1., 1., 0.])
    """
    tensors = list(parameters)
    _check_devices("parameters_to_vector", tensors)
    return ops.cat([tensor.reshape(-1) for tensor in tensors])


def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Make the parameters views of a vector's values, one after another."""
    if not isinstance(vec, Tensor):
        raise TypeError(f"vector_to_parameters: expected a tensor, got a {type(vec).__name__}")
    tensors = list(parameters)
    _check_devices("vector_to_parameters", tensors)
    start = 0
    for tensor in tensors:
        end = start + tensor.numel()
        tensor.data = vec[start:end].view_as(tensor).data
        start = end


def _check_devices(operation: str, tensors: list[Tensor]) -> None:
    devices = {str(tensor.device) for tensor in tensors}
    if len(devices) > 1:
        raise TypeError(f"{operation}: the parameters must be on one device; they are on {', '.join(sorted(devices))}")
