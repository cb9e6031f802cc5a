"""Tensors of small whole numbers that stand for others by a scale: x ≈ (q - zero_point)·scale.

They are made from floating tensors, looked at, moved around and turned back; nothing is computed in them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mashal import ops
from mashal.core.dtypes import dtype as DType
from mashal.core.dtypes import float32, float64, int8, int32, int64, qint8, qint32, quint8, uint8
from mashal.core.layouts import per_channel_affine, per_tensor_affine
from mashal.core.tensor import Tensor, as_subclass
from mashal.errors import message
from mashal.methods.subclasses import DisableTorchFunctionSubclass
from mashal.nearest import nearest

__all__ = ["QuantizedTensor", "dequantize", "fake_quantize_per_channel_affine", "fake_quantize_per_tensor_affine",
           "quantize_per_channel", "quantize_per_tensor"]  # fmt: skip

# pyright: reportAttributeAccessIssue=false, reportOperatorIssue=false, reportCallIssue=false

_KEPT = {quint8: (uint8, 0, 255), qint8: (int8, -128, 127), qint32: (int32, -(2**31), 2**31 - 1)}
_MOVES = {"clone", "reshape", "view", "permute", "t", "transpose", "contiguous", "squeeze", "unsqueeze", "flatten", "detach",
          "__getitem__", "getitem", "expand", "select", "narrow"}  # fmt: skip


class QuantizedTensor(Tensor):
    """A quantized tensor: whole numbers, their dtype's name, and one scale and zero point, or one for each slice of an axis."""

    _of_parts = True
    _made_as: DType
    _scale: Any
    _zero_point: Any
    _axis: int | None

    @property
    def dtype(self) -> DType:
        """quint8, qint8 or qint32."""
        return self._made_as

    @property
    def is_quantized(self) -> bool:
        """Whether the elements stand for numbers by a scale: yes."""
        return True

    def int_repr(self) -> Tensor:
        """The whole numbers that are kept."""
        with DisableTorchFunctionSubclass():
            return self.as_subclass(Tensor).clone()

    def dequantize(self) -> Tensor:
        """The numbers that the elements stand for, in float32."""
        scale, zero = self._scale, self._zero_point
        if self._axis is not None:
            shape = [-1 if d == self._axis else 1 for d in range(self.form.rank)]
            scale, zero = scale.reshape(shape), zero.reshape(shape)
        return ((self.int_repr().to(float64) - zero) * scale).to(float32)

    def q_scale(self) -> float:
        """The scale; RuntimeError if there is one for each channel."""
        return self._of_all("q_scale", self._scale)

    def q_zero_point(self) -> int:
        """The whole number that stands for 0; RuntimeError if there is one for each channel."""
        return self._of_all("q_zero_point", self._zero_point)

    def _of_all(self, name: str, value: Any) -> Any:
        if self._axis is not None:
            raise RuntimeError(
                message(name, "there is one for each channel", "ask q_per_channel_scales and its relatives")
            )
        return value

    def qscheme(self) -> Any:
        """torch.per_tensor_affine or torch.per_channel_affine."""
        return per_tensor_affine if self._axis is None else per_channel_affine

    def q_per_channel_scales(self) -> Tensor:
        """The scales, one for each slice of the axis."""
        return self._of_channels("q_per_channel_scales", self._scale)

    def q_per_channel_zero_points(self) -> Tensor:
        """The whole numbers that stand for 0, one for each slice of the axis."""
        return self._of_channels("q_per_channel_zero_points", self._zero_point)

    def q_per_channel_axis(self) -> int:
        """The axis along which the scales differ."""
        return self._of_channels("q_per_channel_axis", self._axis)

    def _of_channels(self, name: str, value: Any) -> Any:
        if self._axis is None:
            raise RuntimeError(message(name, "there is one scale for all", "ask q_scale and its relatives"))
        return value

    @classmethod
    def __torch_function__(
        cls, func: Callable[..., Any], types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        name = getattr(func, "__name__", "")
        x = args[0]
        with DisableTorchFunctionSubclass():
            if name in _MOVES and isinstance(x, QuantizedTensor) and x._axis is None:
                made = func(x.as_subclass(Tensor), *args[1:], **(kwargs or {}))
                return _wrapped(made, x._made_as, x._scale, x._zero_point, None)
            if name in ("eq", "ne", "lt", "le", "gt", "ge"):
                return func(*(a.dequantize() if isinstance(a, QuantizedTensor) else a for a in args), **(kwargs or {}))
        raise NotImplementedError(
            message(name, "not implemented for quantized tensors", "dequantize() gives a floating tensor")
        )

    def __repr__(self) -> str:
        body = repr(self.dequantize())
        parts = [f"size={tuple(self.shape)}", f"dtype={self.dtype}", f"quantization_scheme={self.qscheme()}",
                 f"scale={self._scale}", f"zero_point={self._zero_point}"]  # fmt: skip
        parts += [f"axis={self._axis}"] if self._axis is not None else []
        return f"{body[:-1]}, {', '.join(parts)})"


def _unconverted(name: str) -> Callable[..., Any]:
    def convert(self: Tensor, *arguments: Any, **options: Any) -> Any:
        raise RuntimeError(
            message(name, "a quantized tensor is converted to quantized dtypes only", "dequantize() gives float32")
        )

    return convert


for _name in ("float", "double", "half", "bfloat16", "int", "long", "short", "char", "byte", "bool"):
    setattr(QuantizedTensor, _name, _unconverted(_name))


def _wrapped(whole: Tensor, d: DType, scale: Any, zero_point: Any, axis: int | None) -> Any:
    made: Any = as_subclass(QuantizedTensor, whole)
    made._made_as, made._scale, made._zero_point, made._axis = d, scale, zero_point, axis
    return made


def _checked(name: str, input: Any, d: DType) -> tuple[DType, int, int]:
    if not isinstance(input, Tensor) or input.form.dtype is not float32:
        found = input.dtype if isinstance(input, Tensor) else type(input).__name__
        raise RuntimeError(message(name, f"quantizes float32 tensors, got {found}"))
    if d not in _KEPT:
        raise RuntimeError(message(name, f"{d} is no quantized dtype", "torch.quint8, torch.qint8 or torch.qint32"))
    return _KEPT[d]


def quantize_per_tensor(input: Tensor, scale: Any, zero_point: Any, dtype: DType) -> Any:
    """The nearest multiples of scale, as whole numbers from zero_point on; what is too large or small is cut off.

    >>> torch.quantize_per_tensor(torch.tensor([0.0, 1.0]), 0.1, 10, torch.quint8).int_repr()
    tensor([10, 20], dtype=torch.uint8)
    """
    kept, low, high = _checked("quantize_per_tensor", input, dtype)
    scale, zero_point = float(scale), int(zero_point)
    if scale <= 0:
        raise RuntimeError(message("quantize_per_tensor", f"scale {scale} must be positive"))
    whole = ((input.detach() * (1 / scale)).round() + zero_point).clamp(low, high).to(kept)
    return _wrapped(whole, dtype, scale, zero_point, None)


def quantize_per_channel(input: Tensor, scales: Tensor, zero_points: Tensor, axis: int, dtype: DType) -> Any:
    """quantize_per_tensor with a scale and a zero point of its own for each slice of an axis.

    >>> scales, zeros = torch.tensor([0.1, 0.5]), torch.tensor([0, 0])
    >>> torch.quantize_per_channel(torch.ones(2, 1), scales, zeros, 0, torch.qint8).int_repr().flatten()
    tensor([10,  2], dtype=torch.int8)
    """
    kept, low, high = _checked("quantize_per_channel", input, dtype)
    if scales.numel() != input.shape[axis] or zero_points.numel() != input.shape[axis]:
        wrong = f"{scales.numel()} scales and {zero_points.numel()} zero points for {input.shape[axis]} slices"
        raise RuntimeError(message("quantize_per_channel", wrong, "there must be one for each"))
    axis = axis % input.form.rank
    shape = [-1 if d == axis else 1 for d in range(input.form.rank)]
    scaled = (input.detach() / scales.reshape(shape)).round() + zero_points.reshape(shape)
    return _wrapped(scaled.clamp(low, high).to(kept), dtype, scales.to(float64), zero_points.to(int64), axis)


def dequantize(tensor: Any) -> Any:
    """The numbers that a quantized tensor stands for, or those of several tensors."""
    return type(tensor)(map(dequantize, tensor)) if isinstance(tensor, (list, tuple)) else tensor.dequantize()


# ---------------------------------------------------------------- as if quantized
def fake_quantize_per_tensor_affine(
    input: Tensor, scale: Any, zero_point: Any, quant_min: int, quant_max: int
) -> Tensor:
    """What is left of floating numbers after quantizing and turning back; the gradient passes where nothing was cut off.

    >>> torch.fake_quantize_per_tensor_affine(torch.tensor([0.26, 9.0]), 0.1, 0, 0, 50)
    tensor([0.3000, 5.0000])
    """
    return _faked(input, scale, zero_point, quant_min, quant_max)


def fake_quantize_per_channel_affine(
    input: Tensor, scale: Tensor, zero_point: Tensor, axis: int, quant_min: int, quant_max: int
) -> Tensor:
    """fake_quantize_per_tensor_affine with a scale and a zero point of its own for each slice of an axis."""
    shape = [-1 if d == axis % input.form.rank else 1 for d in range(input.form.rank)]
    return _faked(input, scale.reshape(shape), zero_point.reshape(shape), quant_min, quant_max)


def _faked(x: Tensor, scale: Any, zero_point: Any, low: int, high: int) -> Tensor:
    if low > high:
        raise RuntimeError(message("fake_quantize", f"quant_min {low} must not exceed quant_max {high}"))
    whole = (x.detach() / scale).round() + zero_point
    inside = (whole >= low) & (whole <= high)
    rounded = (whole.clamp(low, high) - zero_point) * scale
    passed = x.where(inside, ops.zeros_like(x))  # the value rounded, the slope of x
    return passed + (rounded - passed.detach())


__getattr__ = nearest(__name__)
