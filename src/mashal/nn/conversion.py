"""Changing a module's tensors in place: dtype, device, mode, gradients.

Everything that moves or converts goes through `_apply`: one function over all parameters, their gradients and all
buffers. Parameters stay the same objects with other data, so an optimizer that holds them goes on working; only those that
leave the meta device, where there is no data, are new ones.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from mashal.core.devices import device as Device
from mashal.core.dtypes import dtype as Dtype
from mashal.core.tape import no_grad
from mashal.core.tensor import Tensor, as_subclass
from mashal.nn.parameter import Parameter, is_lazy
from mashal.ops import empty_like


class ConversionMethods:
    """The part of Module that moves, converts and switches."""

    training: bool
    _parameters: dict[str, Any]
    _buffers: dict[str, Any]

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        """Replace the data of all parameters, of their gradients and of all buffers by what fn makes of them."""
        if recurse:
            for module in self.children():
                module._apply(fn)
        for name, parameter in self._parameters.items():
            if parameter is None:
                continue
            gradient = parameter.grad
            with no_grad():
                data = fn(parameter)
                new_gradient = None if gradient is None else fn(gradient)
            if (parameter.device.type == "meta") != (data.device.type == "meta"):
                self._parameters[name] = Parameter(data, parameter.requires_grad)
                continue
            parameter.grad = None  # while it has the old dtype, and the data the new one, it wouldn't be accepted
            parameter.data = data
            if gradient is not None:
                gradient.data = new_gradient
                parameter.grad = gradient
        for name, buffer in self._buffers.items():
            if buffer is not None:
                made = fn(buffer)
                self._buffers[name] = as_subclass(type(buffer), made) if is_lazy(buffer) else made
        return self

    def _floating(self, convert: Callable[[Tensor], Tensor]) -> Any:
        """convert what is floating; leave integers (a counter, indices) as they are."""
        return self._apply(lambda t: convert(t) if t.is_floating_point() else t)

    # ---------------------------------------------------------------- dtype and device
    def to(self, *args: Any, **kwargs: Any) -> Any:
        """Move to a device, convert to a dtype, or both; returns the module itself.

        to(device, dtype, non_blocking), to(dtype, non_blocking), to(tensor, non_blocking), to(memory_format=...).
        Only floating-point and complex tensors are converted; the dtype must be one of those (TypeError).

        >>> nn.Linear(2, 2).to(torch.float64).weight.dtype
        torch.float64
        """
        device, dtype, non_blocking, memory_format = _destination(*args, **kwargs)
        if dtype is not None and not (dtype.is_floating_point or dtype.is_complex):
            raise TypeError(f"nn.Module.to only accepts floating point or complex dtypes, but got dtype={dtype}")
        if dtype is not None and dtype.is_complex:
            warnings.warn("Module.to: not every module works with complex parameters", stacklevel=2)

        def convert(t: Tensor) -> Tensor:
            if t.device.type == "meta" and device is not None and device.type != "meta":
                raise NotImplementedError(
                    "to: Cannot copy out of meta tensor; no data! Use to_empty(device=...) to move the module without "
                    "values, then fill it"
                )
            wanted = dtype if t.is_floating_point() or t.is_complex() else None
            if memory_format is not None and t.dim() in (4, 5):
                return t.to(device, wanted, non_blocking, memory_format=memory_format)
            return t.to(device, wanted, non_blocking)

        return self._apply(convert)

    def float(self) -> Any:
        """Convert floating-point parameters and buffers to float32."""
        return self._floating(lambda t: t.float())

    def double(self) -> Any:
        """Convert floating-point parameters and buffers to float64."""
        return self._floating(lambda t: t.double())

    def half(self) -> Any:
        """Convert floating-point parameters and buffers to float16."""
        return self._floating(lambda t: t.half())

    def bfloat16(self) -> Any:
        """Convert floating-point parameters and buffers to bfloat16."""
        return self._floating(lambda t: t.bfloat16())

    def type(self, dst_type: Any) -> Any:
        """Convert all parameters and buffers, integers too, to a dtype."""
        return self._apply(lambda t: t.type(dst_type))

    def cpu(self) -> Any:
        """Move to the CPU."""
        return self._apply(lambda t: t.cpu())

    def cuda(self, device: Any = None) -> Any:
        """Move to a CUDA device, the current one if none is named."""
        return self._apply(lambda t: t.cuda(device))

    def xpu(self, device: Any = None) -> Any:
        """Move to an XPU device."""
        return self._apply(lambda t: t.to(_numbered("xpu", device)))

    def mtia(self, device: Any = None) -> Any:
        """Move to an MTIA device."""
        return self._apply(lambda t: t.to(_numbered("mtia", device)))

    def ipu(self, device: Any = None) -> Any:
        """Move to an IPU device."""
        return self._apply(lambda t: t.to(_numbered("ipu", device)))

    def to_empty(self, *, device: Any, recurse: bool = True) -> Any:
        """Move to a device without the values: what to do with a module made on the meta device."""
        return self._apply(lambda t: empty_like(t, device=device), recurse=recurse)

    def share_memory(self) -> Any:
        """Move the tensors into memory that other processes can see."""
        return self._apply(lambda t: t.share_memory_())

    # ---------------------------------------------------------------- mode and gradients
    def train(self, mode: bool = True) -> Any:
        """Set training mode for this module and all below it: what Dropout and BatchNorm look at."""
        if not isinstance(mode, bool):
            raise ValueError(f"train: mode must be True or False, not {mode!r}")
        self.training = mode
        for module in self.children():
            module.train(mode)
        return self

    def eval(self) -> Any:
        """Set evaluation mode: train(False)."""
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True) -> Any:
        """Set whether backward computes gradients of the parameters; False freezes the module."""
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of all parameters; with set_to_none=False, fill them with 0."""
        for parameter in self.parameters():
            if set_to_none:
                parameter.grad = None
                continue
            if parameter.grad is None:
                continue
            if parameter.grad.grad_fn is not None:
                parameter.grad.detach_()
            else:
                parameter.grad.requires_grad_(False)
            parameter.grad.zero_()


def _numbered(kind: str, device: Any) -> Any:
    return kind if device is None else f"{kind}:{device}" if isinstance(device, int) else device


def _destination(*args: Any, **kwargs: Any) -> tuple[Any, Any, bool, Any]:
    """What Module.to was asked for: device, dtype, non_blocking, memory_format."""
    device, dtype = kwargs.pop("device", None), kwargs.pop("dtype", None)
    non_blocking, memory_format = kwargs.pop("non_blocking", False), kwargs.pop("memory_format", None)
    tensor = kwargs.pop("tensor", None)
    if kwargs:
        raise TypeError(f"to: {next(iter(kwargs))!r} is no argument of Module.to")
    for value in args:
        if isinstance(value, Tensor):
            tensor = value
        elif isinstance(value, Dtype):
            dtype = value
        elif isinstance(value, bool):
            non_blocking = value
        elif isinstance(value, (str, int, Device)):
            device = value
        elif value is not None:
            raise TypeError(f"to: expected a device, a dtype or a tensor, not a {type(value).__name__}")
    if tensor is not None:
        device, dtype = tensor.device, tensor.dtype
    if device is not None and not isinstance(device, Device):
        device = Device(device)
    return device, dtype, non_blocking, memory_format
