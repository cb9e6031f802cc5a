"""Methods that few programs use: Python functions over elements, names of old, and what is asked of devices there are none of."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable
from typing import Any

from mashal.core.dtypes import dtype, float32
from mashal.core.layouts import memory_format
from mashal.core.nested import tensor_from_data
from mashal.core.tensor import Tensor, gradient_dtype
from mashal.errors import message
from mashal.ops import division
from mashal.ops.copying import copy_


# ---------------------------------------------------------------- Python functions over elements
def _no_gradient(name: str, x: Tensor) -> None:
    if x.node is not None:
        raise RuntimeError(
            message(name, f"can't call {name}() on a tensor that requires grad", f"use detach().{name}()")
        )


def _elements(name: str, x: Tensor, other: Tensor) -> list:
    if not isinstance(other, Tensor):
        raise TypeError(f"{name}(): argument 'tensor' must be Tensor, not {type(other).__name__}")
    _no_gradient(name, other)
    return other.expand(x.form.shape).reshape(-1).tolist()  # type: ignore[attr-defined]


def _replaced(x: Tensor, name: str, values: list) -> Tensor:
    made = tensor_from_data(_in_kind(values, x.form.dtype.kind), x.form.dtype)
    return copy_(x, made.reshape(x.form.shape))  # type: ignore[attr-defined]


def _in_kind(values: list, kind: str) -> list:
    convert: Callable[[Any], Any] = {"i": int, "u": int, "b": bool, "f": float, "c": complex}[kind]
    return [convert(v) for v in values]


def apply_(self: Tensor, callable: Callable[[Any], Any]) -> Tensor:
    """Replaces each element by what a Python function gives for it; slow, on the cpu only, not recorded.

    >>> torch.tensor([1.0, 2.0]).apply_(lambda x: x * 10)
    tensor([10., 20.])
    """
    _no_gradient("apply_", self)
    return _replaced(self, "apply_", [callable(x) for x in self.reshape(-1).tolist()])  # type: ignore[attr-defined]


def map_(self: Tensor, tensor: Tensor, callable: Callable[[Any, Any], Any]) -> Tensor:
    """Replaces each element by what a Python function gives for it and another tensor's; slow, not recorded.

    >>> torch.tensor([1.0, 2.0]).map_(torch.tensor([3.0, 4.0]), lambda x, y: x * y)
    tensor([3., 8.])
    """
    _no_gradient("map_", self)
    others = _elements("map_", self, tensor)
    return _replaced(self, "map_", [callable(x, y) for x, y in zip(self.reshape(-1).tolist(), others)])  # type: ignore[attr-defined]


def map2_(self: Tensor, x: Tensor, y: Tensor, callable: Callable[[Any, Any, Any], Any]) -> Tensor:
    """Replaces each element by what a Python function gives for it and those of two other tensors; slow, not recorded."""
    _no_gradient("map2_", self)
    own = self.reshape(-1).tolist()  # type: ignore[attr-defined]
    return _replaced(
        self, "map2_", [callable(*each) for each in zip(own, _elements("map2_", self, x), _elements("map2_", self, y))]
    )


# ---------------------------------------------------------------- shapes and memory
def fill_diagonal_(self: Tensor, fill_value: float, wrap: bool = False) -> Tensor:
    """Puts a number on the main diagonal; returns the tensor.

    More than two dimensions must be of one size. wrap: of a tall matrix, the diagonal starts anew below each square.

    >>> torch.zeros(2, 2).fill_diagonal_(1)
    tensor([[1., 0.],
            [0., 1.]])
    """
    shape, strides = self.form.shape, self.form.strides
    if len(shape) < 2:
        raise RuntimeError(message("fill_diagonal_", f"dimensions must larger than 1, the input is {tuple(shape)}"))
    if len(shape) > 2 and len(set(shape)) > 1:
        wrong = f"all dimensions of input must be of equal length, it is {tuple(shape)}"
        raise RuntimeError(message("fill_diagonal_", wrong))
    size, step = min(shape), sum(strides)
    self.as_strided((size,), (step,), self.offset).fill_(fill_value)  # type: ignore[attr-defined]
    if wrap and len(shape) == 2 and shape[0] > shape[1] + 1:
        below = self[shape[1] + 1 :]  # type: ignore[index]
        if below.form.shape[0]:
            fill_diagonal_(below, fill_value, True)
    return self


def resize(self: Tensor, *sizes: Any) -> Tensor:
    """The tensor in another shape of as many elements; old: use reshape."""
    warnings.warn("non-inplace resize is deprecated", stacklevel=2)
    shape = tuple(sizes[0]) if len(sizes) == 1 and isinstance(sizes[0], (tuple, list)) else sizes
    try:
        return self.reshape(shape)  # type: ignore[attr-defined]
    except RuntimeError:
        wrong = f"requested resize to {tuple(shape)}, but the tensor of shape {tuple(self.shape)} has {self.numel()} elements"
        raise RuntimeError(
            message("resize", wrong, "resize can only change the shape, not the number of elements")
        ) from None


def resize_as(self: Tensor, tensor: Tensor) -> Tensor:
    """The tensor in another tensor's shape, of as many elements; old: use reshape."""
    warnings.warn("non-inplace resize_as is deprecated", stacklevel=2)
    return self.reshape(tensor.shape)  # type: ignore[attr-defined]


def dim_order(self: Tensor, *, ambiguity_check: Any = False) -> tuple[int, ...]:
    """The dimensions from the outermost in memory to the innermost.

    ambiguity_check: True raises RuntimeError where sizes of 1 or equal strides leave more than one order; a list of memory formats
    does so unless just one of them is the tensor's.

    >>> torch.zeros(2, 3).t().dim_order()
    (1, 0)
    """
    formats = ambiguity_check if isinstance(ambiguity_check, list) else []
    if not isinstance(ambiguity_check, (bool, list)) or not all(isinstance(f, memory_format) for f in formats):
        raise TypeError(
            message("dim_order", f"ambiguity_check {ambiguity_check!r}", "a bool or a list of memory formats")
        )
    shape, strides = self.form.shape, self.form.strides
    several = any(a == b for a, b in itertools.pairwise(strides)) or 1 in shape
    fitting = [f for f in formats if several and self.is_contiguous(memory_format=f)]  # type: ignore[attr-defined]
    if ambiguity_check and several and len(fitting) != 1:
        wrong = "The tensor does not have unique dim order, or cannot map to exact one of the given memory formats"
        raise RuntimeError(message("dim_order", wrong, f"it has shape {tuple(shape)} and strides {tuple(strides)}"))
    if ambiguity_check and (0 in strides or len(set(strides)) < len(strides)):
        wrong = f"The tensor does not have unique dim order: strides {tuple(strides)}"
        raise RuntimeError(message("dim_order", wrong))
    return tuple(reversed(_from_innermost(shape, strides)))


def _from_innermost(shape: Any, strides: Any) -> list[int]:
    """The dimensions by stride, and by size where those are equal; by insertion, since strides of 0 stay where they are."""
    order = list(reversed(range(len(shape))))
    for i in range(1, len(order)):
        at = i
        for before in reversed(range(i)):
            a, b = order[before], order[at]
            if not strides[a] or not strides[b]:
                continue
            if (strides[a], shape[a]) > (strides[b], shape[b]):
                order[before], order[at] = b, a
                at = before
            elif strides[a] < strides[b]:
                break
    return order


def const_data_ptr(self: Tensor) -> int:
    """The address of the first element, for reading."""
    return self.data_ptr()


def record_stream(self: Tensor, s: Any) -> None:
    """Says that a queue of a device uses the tensor; on the cpu nothing needs to know."""
    if not hasattr(s, "wait_stream"):
        raise RuntimeError(message("record_stream", f"a stream is expected, not {type(s).__name__}"))


def pin_memory(self: Tensor, device: Any = None) -> Tensor:
    """A copy in memory that an accelerator reads directly; RuntimeError, unless one is there."""
    if self.form.device.type != "cpu":
        raise RuntimeError(
            message("pin_memory", f"cannot pin a tensor on {self.form.device}", "only dense CPU tensors can be pinned")
        )
    if self.is_pinned():  # type: ignore[attr-defined]
        return self
    raise RuntimeError(message("pin_memory", "Cannot access accelerator device when none is available."))


# ---------------------------------------------------------------- names of old, and other worlds
def module_load(self: Tensor, other: Any, assign: bool = False) -> Any:
    """What load_state_dict puts in the place of this tensor: other copied into it, or other itself."""
    if assign:
        return other.detach()
    return copy_(self, other).detach()  # type: ignore[attr-defined]


def dequantize(self: Tensor) -> Tensor:
    """The numbers that the elements stand for, in float32."""
    return self.to(float32)  # type: ignore[attr-defined]


def _of_quantized(name: str, doc: str) -> Callable[[Tensor], Any]:
    def ask(self: Tensor) -> Any:
        if not self.is_quantized:  # type: ignore[attr-defined]
            raise NotImplementedError(
                message(name, "the tensor is not quantized", "torch.quantize_per_tensor makes one that is")
            )
        return getattr(type(self), name)(self)

    ask.__name__, ask.__doc__ = name, f"{doc}, of a quantized tensor; NotImplementedError for others."
    return ask


QUANTIZED = {
    "q_scale": "The scale", "q_zero_point": "The whole number that stands for 0", "qscheme": "How numbers became whole ones",
    "int_repr": "The whole numbers that are kept", "q_per_channel_scales": "The scales of the channels",
    "q_per_channel_zero_points": "The zero points of the channels", "q_per_channel_axis": "The channels' axis",
}  # fmt: skip


def volatile(self: Tensor) -> bool:
    """Whether backward ignores it: no; old, see no_grad."""
    warnings.warn("volatile was removed (Variable.volatile is always False); use torch.no_grad()", stacklevel=2)
    return False


def delete_item(self: Tensor, index: Any) -> None:
    """A tensor keeps its elements: TypeError."""
    raise TypeError("Tensor does not support deleting items")


def grad_dtype(self: Tensor) -> Any:
    """The dtype of a leaf's gradient: the tensor's own unless another is set, which backward brings gradients to; None: any.

    >>> x = torch.ones(2, requires_grad=True)
    >>> x.grad_dtype = torch.float16
    >>> x.sum().backward()
    >>> x.grad
    tensor([1., 1.], dtype=torch.float16)
    """
    _only_leaf(self)
    return gradient_dtype(self) if self.form.dtype.kind in "fc" else None


def set_grad_dtype(self: Tensor, wanted: Any) -> None:
    _only_leaf(self)
    if wanted is not None and not isinstance(wanted, dtype):
        raise RuntimeError(message("grad_dtype", f"a dtype or None is expected, not {type(wanted).__name__}"))
    if wanted is not None and wanted.kind not in "fc":
        raise RuntimeError(message("grad_dtype", f"gradients cannot be {wanted}", "use a floating or complex dtype"))
    if self.node is None:
        raise RuntimeError(message("grad_dtype", "the tensor requires no grad", "call requires_grad_() first"))
    if self.grad_ is not None and wanted not in (None, self.grad_.form.dtype):
        wrong = f"there is already a gradient of {self.grad_.form.dtype}, so it cannot become {wanted}"
        raise RuntimeError(message("grad_dtype", wrong, "set grad to None first"))
    self.node._hooks().dtype = wanted


def _only_leaf(x: Tensor) -> None:
    if not x.is_leaf:
        raise RuntimeError(message("grad_dtype", "the tensor is no leaf", "only leaves have it"))


def _to(device: str) -> Callable[..., Tensor]:
    def move(self: Tensor, *arguments: Any, **options: Any) -> Tensor:
        return self.to(device)  # type: ignore[attr-defined]

    move.__name__ = device
    move.__doc__ = f"The tensor on an {device} device; an error, for this build has none."
    return move


METHODS: dict[str, Any] = {
    "apply_": apply_, "map_": map_, "map2_": map2_, "fill_diagonal_": fill_diagonal_, "resize": resize, "resize_as": resize_as,
    "dim_order": dim_order, "const_data_ptr": const_data_ptr, "record_stream": record_stream, "pin_memory": pin_memory,
    "module_load": module_load, "dequantize": dequantize, "volatile": property(volatile, doc=volatile.__doc__),
    "__delitem__": delete_item, "grad_dtype": property(grad_dtype, set_grad_dtype, doc=grad_dtype.__doc__),
    "is_distributed": lambda self: False, "is_maia": property(lambda self: False, doc="Whether it lies on a MAIA device: no."),
    "__div__": division.div, "__idiv__": division.div_, "__rdiv__": lambda self, other: division.div(other, self),
    "__long__": Tensor.__int__, "__nonzero__": Tensor.__bool__, "ipu": _to("ipu"), "xpu": _to("xpu"), "mtia": _to("mtia"),
}  # fmt: skip
METHODS |= {name: _of_quantized(name, doc) for name, doc in QUANTIZED.items()}
for _name, _method in METHODS.items():
    setattr(Tensor, _name, _method)
