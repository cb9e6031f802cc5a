"""Questions about tensors and dtypes that compute nothing."""

from __future__ import annotations

import numbers
from typing import Any

from mashal.core import dtypes, tensor
from mashal.core.dtypes import dtype as DType
from mashal.core.storage import UntypedStorage
from mashal.core.tensor import Tensor
from mashal.core.typed_storage import TypedStorage
from mashal.errors import message
from mashal.ops.define import spelled
from mashal.ops.promotion import result_type_of

TORCH = ("torch",)


def _tensor(name: str, x: Any) -> Tensor:
    if not isinstance(x, Tensor):
        raise TypeError(f"{name}(): argument 'input' (position 1) must be Tensor, not {type(x).__name__}")
    return x


@spelled(TORCH)
def is_tensor(obj: Any) -> bool:
    """Whether obj is a tensor.

    >>> torch.is_tensor(torch.ones(1)), torch.is_tensor([1.0])
    (True, False)
    """
    return tensor.is_tensor(obj)


@spelled(TORCH)
def is_storage(obj: Any) -> bool:
    """Whether obj is a storage."""
    return isinstance(obj, (UntypedStorage, TypedStorage))


@spelled(TORCH)
def is_floating_point(input: Tensor) -> bool:
    """Whether a tensor's dtype is a floating one."""
    return _tensor("is_floating_point", input).is_floating_point()


@spelled(TORCH)
def is_complex(input: Tensor) -> bool:
    """Whether a tensor's dtype is complex."""
    return _tensor("is_complex", input).is_complex()


@spelled(TORCH)
def is_signed(input: Tensor) -> bool:
    """Whether a tensor's dtype has negative numbers."""
    return _tensor("is_signed", input).is_signed()


@spelled(TORCH)
def is_inference(input: Tensor) -> bool:
    """Whether a tensor was made in inference mode."""
    return _tensor("is_inference", input).is_inference()


@spelled(("torch", "method"))
def is_nonzero(input: Tensor) -> bool:
    """Whether the one element is not zero; RuntimeError for a tensor of other than one element.

    >>> torch.is_nonzero(torch.tensor([0.0]))
    False
    """
    return bool(_tensor("is_nonzero", input))


@spelled(("torch", "method"))
def is_conj(input: Tensor) -> bool:
    """Whether a tensor is a conjugate still to be computed; none is."""
    return False


@spelled(("torch", "method"))
def is_neg(input: Tensor) -> bool:
    """Whether a tensor is a negative still to be computed; none is."""
    return False


@spelled(TORCH)
def numel(input: Tensor) -> int:
    """How many elements a tensor has."""
    return _tensor("numel", input).numel()


@spelled(("torch", "method"))
def is_same_size(input: Tensor, other: Tensor) -> bool:
    """Whether two tensors have the same shape."""
    return input.form.shape == other.form.shape


@spelled(("method",))
def is_set_to(self: Tensor, tensor: Tensor) -> bool:
    """Whether two tensors see the same elements of one storage in the same way."""
    return self.capsule is tensor.capsule and self.offset == tensor.offset and self.form == tensor.form


@spelled(TORCH)
def result_type(tensor1: Any, tensor2: Any) -> DType:
    """The dtype of an operation on two tensors or numbers.

    >>> torch.result_type(torch.tensor([1, 2]), 1.0)
    torch.float32
    """
    for x in (tensor1, tensor2):
        if not isinstance(x, (Tensor, numbers.Number)):
            raise TypeError(message("result_type", f"a {type(x).__name__} is neither a tensor nor a number"))
    return result_type_of((tensor1, tensor2))


@spelled(TORCH)
def promote_types(type1: DType, type2: DType) -> DType:
    """The smallest dtype that holds the values of both.

    >>> torch.promote_types(torch.int32, torch.float32)
    torch.float32
    """
    return dtypes.promote(type1, type2)


@spelled(TORCH)
def can_cast(from_: DType, to: DType) -> bool:
    """Whether a result of one dtype may be written into a tensor of another.

    >>> torch.can_cast(torch.double, torch.float), torch.can_cast(torch.float, torch.int)
    (True, False)
    """
    return dtypes.can_cast(from_, to)


@spelled(TORCH)
def typename(obj: Any) -> str:
    """What an object's type is called; a tensor's old name of its dtype.

    >>> torch.typename(torch.ones(1))
    'torch.FloatTensor'
    """
    if isinstance(obj, Tensor):
        return obj.type()
    kind = obj if isinstance(obj, type) or callable(obj) else type(obj)
    name, module = getattr(kind, "__qualname__", type(kind).__qualname__), getattr(kind, "__module__", "builtins")
    return name if module in ("builtins", None) else f"{module}.{name}"
