"""MaskedTensor: a tensor some of whose elements are not there.

Element by element, both operands must have one mask, which the result has too. Reductions look at what is there only; a result
of nothing is masked out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mashal import ops
from mashal.core.dtypes import bool as bool_
from mashal.core.tensor import Tensor, as_subclass
from mashal.errors import message
from mashal.masked import reductions, rows
from mashal.masked.filling import shown
from mashal.methods.subclasses import DisableTorchFunctionSubclass

__all__ = ["MaskedTensor", "as_masked_tensor", "is_masked_tensor", "masked_tensor"]

# pyright: reportAttributeAccessIssue=false, reportOperatorIssue=false, reportCallIssue=false

_REDUCED = {name: getattr(reductions, name) for name in ("sum", "mean", "amax", "amin", "prod", "norm", "var", "std")}
_ROWS = {name: getattr(rows, name) for name in ("softmax", "log_softmax", "cumsum", "cumprod")}


class MaskedTensor(Tensor):
    """A tensor and its mask (True: the element is there), of one shape.

    >>> torch.masked.MaskedTensor(torch.tensor([1.0, 2.0]), torch.tensor([True, False])).sum().get_data()
    tensor(1.)
    """

    _of_parts = True
    _masked_data: Tensor
    _masked_mask: Tensor

    @staticmethod
    def __new__(cls: type, data: Tensor, mask: Tensor, requires_grad: bool = False) -> Any:
        if not isinstance(data, Tensor) or not isinstance(mask, Tensor):
            raise TypeError("MaskedTensor: data and mask must be Tensors")
        if mask.dtype is not bool_:
            raise TypeError(message("MaskedTensor", f"the mask's dtype is {mask.dtype}", "it must be torch.bool"))
        if mask.shape != data.shape:
            wrong = f"data is {tuple(data.shape)}, mask {tuple(mask.shape)}"
            raise ValueError(message("MaskedTensor", wrong, "they must be of one shape"))
        made = as_subclass(cls, data.detach().clone())
        made._masked_data = as_subclass(Tensor, made)  # the method would ask __torch_function__, which wants the mask
        made._masked_mask = mask.clone()
        return made.requires_grad_() if requires_grad else made

    def get_data(self) -> Tensor:
        """The data, whatever stands behind the mask included."""
        return self._masked_data

    def get_mask(self) -> Tensor:
        """The mask."""
        return self._masked_mask

    def is_sparse_coo(self) -> bool:
        """Whether only some elements are kept in memory: no."""
        return False

    def to_tensor(self, value: Any) -> Tensor:
        """A plain tensor, with a number where nothing is."""
        return ops.where(self._masked_mask, self._masked_data, value)

    def __repr__(self) -> str:
        with DisableTorchFunctionSubclass():
            return f"MaskedTensor(\n{_lines(self._masked_data.tolist(), self._masked_mask.tolist(), self.dtype, 2)}\n)"

    @classmethod
    def __torch_function__(
        cls, func: Callable[..., Any], types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        name, options = getattr(func, "__name__", ""), kwargs or {}
        if name in _REDUCED and isinstance(args[0], MaskedTensor):
            return _reduced(name, args, options)
        if name in _ROWS:
            return _wrapped(_ROWS[name](*args, **options), args[0]._masked_mask)
        masks = [x._masked_mask for x in args if isinstance(x, MaskedTensor)]
        with DisableTorchFunctionSubclass():
            plain = [x._masked_data if isinstance(x, MaskedTensor) else x for x in args]
            made = func(*plain, **options)
            if not isinstance(made, Tensor) or not masks:
                return made
            if any(not bool((m == masks[0]).all()) for m in masks[1:]):
                raise ValueError(message(name, "the operands have different masks", "both must let through the same"))
        if made.shape != masks[0].shape:
            with DisableTorchFunctionSubclass():
                mask = func(masks[0], *plain[1:], **options)
            return _wrapped(made, mask)
        return _wrapped(made, masks[0])


def _input_mask(input: Tensor, *args: Any, mask: Tensor | None = None, **kwargs: Any) -> Tensor:
    """The mask in the input's shape; all True if there is none."""
    visible = shown(mask, input)
    return ops.ones_like(input, dtype=bool_) if visible is None else visible


def _output_mask(
    op: Callable[..., Any], input: Tensor, *args: Any, mask: Tensor | None = None, **kwargs: Any
) -> Tensor:
    """Where a masked operation's result stands on at least one element: the mask of its result."""
    visible = _input_mask(input, mask=mask)
    name = op.__name__
    if name in rows.__all__:
        return visible
    rest = args[1:] if name == "norm" else args
    dim, keepdim = (
        kwargs.get("dim", rest[0] if rest else -1 if name == "median" else None),
        kwargs.get("keepdim", False),
    )
    dims = tuple(range(input.ndim)) if dim is None else (dim,) if isinstance(dim, int) else tuple(dim)
    if not dims and name not in ("sum", "prod", "amax", "amin"):
        dims = tuple(range(input.ndim))
    return visible.any(dims, keepdim) if dims and input.ndim else visible


def _wrapped(data: Tensor, mask: Tensor) -> Any:
    with DisableTorchFunctionSubclass():
        return MaskedTensor(data, mask)


def _reduced(name: str, args: tuple, options: dict) -> Any:
    x, *rest = args
    with DisableTorchFunctionSubclass():
        made = _REDUCED[name](x._masked_data, *rest, mask=x._masked_mask, **options)
        dim = options.get("dim", rest[0] if rest and name != "norm" else rest[1] if len(rest) > 1 else None)
        keepdim = options.get("keepdim", False)
        mask = x._masked_mask.any() if dim is None else x._masked_mask.any(dim, keepdim)
        return MaskedTensor(made, mask.reshape(made.shape))


def _lines(data: Any, mask: Any, dtype: Any, indent: int) -> str:
    space = " " * indent
    if not isinstance(data, list):
        return space + _word(data, mask, dtype)
    if not data or not isinstance(data[0], list):
        return f"{space}[{', '.join(_word(x, m, dtype) for x, m in zip(data, mask))}]"
    inner = ",\n".join(_lines(x, m, dtype, indent + 2) for x, m in zip(data, mask))
    return f"{space}[\n{inner}\n{space}]"


def _word(x: Any, there: bool, dtype: Any) -> str:
    text = "--" if not there else f"{x:8.4f}" if dtype.kind == "f" else str(x)
    return f"{text:>8}"


def masked_tensor(data: Tensor, mask: Tensor, requires_grad: bool = False) -> MaskedTensor:
    """A MaskedTensor of data and a mask, both copied.

    >>> torch.masked.masked_tensor(torch.tensor([1, 2]), torch.tensor([True, False])).to_tensor(0)
    tensor([1, 0])
    """
    return MaskedTensor(data, mask, requires_grad)


as_masked_tensor = masked_tensor


def is_masked_tensor(obj: Any) -> bool:
    """Whether an object is a MaskedTensor."""
    return isinstance(obj, MaskedTensor)
