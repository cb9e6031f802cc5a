"""How tensors are taken apart for a pickle and put together from one, in PyTorch's forms.

A tensor is written as a call of `torch._utils._rebuild_tensor_v2` on its storage, offset, shape, strides and
requires_grad; a parameter as a call of `_rebuild_parameter` on its data. The functions of those names are here, and
`named` gives them those names. `taken_apart` says how an object of mashal is written.

Stands on memory, names and nn.parameter.
"""

from __future__ import annotations

import copyreg
import pickle
from collections import OrderedDict
from typing import Any

from mashal.core import tensor as tensor_module
from mashal.core.devices import device
from mashal.core.dtypes import dtype
from mashal.core.shapes import Size
from mashal.core.storage import UntypedStorage
from mashal.core.tensor import Tensor, as_subclass
from mashal.nn.parameter import Buffer, Parameter
from mashal.serialization.memory import TypedStorage, allocated, bytes_of, tensor_over
from mashal.serialization.names import CLASS_OF_DTYPE, MEANINGS, OWN_NAMES, name_of, named

OWN_NAMES[Parameter], OWN_NAMES[Buffer] = ("torch.nn.parameter", "Parameter"), ("torch.nn.parameter", "Buffer")
MEANINGS["torch.nn.parameter", "Parameter"], MEANINGS["torch.nn.parameter", "Buffer"] = Parameter, Buffer


# ---------------------------------------------------------------- together
@named(("torch._utils", "_rebuild_tensor"))
def rebuild_tensor(storage: TypedStorage, offset: int, shape: Any, strides: Any) -> Tensor:
    """A tensor as PyTorch wrote it before version 0.4."""
    return tensor_over(storage, offset, shape, strides, False)


@named(("torch._utils", "_rebuild_tensor_v2"))
def rebuild_tensor_v2(
    storage: TypedStorage, offset: int, shape: Any, strides: Any, requires_grad: bool, hooks: Any, metadata: Any = None
) -> Tensor:
    """A tensor of a dtype that has a storage class. hooks: not restored. metadata: {"conj": True, "neg": True}."""
    return marked(tensor_over(storage, offset, shape, strides, requires_grad), metadata)


@named(("torch._utils", "_rebuild_tensor_v3"))
def rebuild_tensor_v3(
    storage: UntypedStorage,
    offset: int,
    shape: Any,
    strides: Any,
    requires_grad: bool,
    hooks: Any,
    dtype_: dtype,
    metadata: Any = None,
) -> Tensor:
    """A tensor of a dtype without a storage class (uint16 and its like), over untyped bytes."""
    if not isinstance(dtype_, dtype) or not isinstance(storage, UntypedStorage):
        kinds = f"an object of {type(storage).__name__}, its dtype one of {type(dtype_).__name__}"
        raise pickle.UnpicklingError(f"load: a tensor's storage is {kinds}")
    return marked(tensor_over(TypedStorage(storage, dtype_), offset, shape, strides, requires_grad), metadata)


def marked(tensor: Tensor, metadata: Any) -> Tensor:
    """The tensor with PyTorch's lazy conjugate and negative bits carried out."""
    if metadata and metadata.get("conj"):
        tensor = tensor.conj()
    if metadata and metadata.get("neg"):
        tensor = tensor.neg()
    return tensor


@named(("torch._utils", "_rebuild_meta_tensor_no_storage"))
def rebuild_meta_tensor(dtype_: dtype, shape: Any, strides: Any, requires_grad: bool) -> Tensor:
    """A tensor on the meta device."""
    last = sum((n - 1) * stride for n, stride in zip(shape, strides, strict=True))
    storage = UntypedStorage(0 if 0 in shape else (last + 1) * dtype_.itemsize, device="meta")
    return tensor_over(TypedStorage(storage, dtype_), 0, shape, strides, requires_grad)


@named(("torch._utils", "_rebuild_parameter"))
def rebuild_parameter(data: Tensor, requires_grad: bool, hooks: Any) -> Parameter:
    """A parameter."""
    return Parameter(data, bool(requires_grad))


@named(("torch._utils", "_rebuild_parameter_with_state"))
def rebuild_parameter_with_state(data: Tensor, requires_grad: bool, hooks: Any, state: Any) -> Parameter:
    """A parameter that has attributes of its own."""
    return with_state(Parameter(data, bool(requires_grad)), state)


@named(("torch._tensor", "_rebuild_from_type_v2"))
def rebuild_from_type(function: Any, kind: type, arguments: Any, state: Any) -> Tensor:
    """A tensor of a subclass, or with attributes of its own."""
    result = function(*arguments)
    if type(result) is not kind:
        result = as_subclass(kind, result)
    if state and "__setstate__" in vars(kind):
        result.__setstate__(state)
        return result
    return with_state(result, state)


@named(("torch._utils", "_rebuild_device_tensor_from_cpu_tensor"))
def rebuild_device_tensor(data: Tensor, dtype_: dtype, place: Any, requires_grad: bool) -> Tensor:
    """A tensor of a device without storages of its own, read to the CPU."""
    return data.to(dtype_).requires_grad_(bool(requires_grad))


def with_state(thing: Any, state: Any) -> Any:
    """The thing with the attributes of a pickled state: a dict, or a pair of one for `__dict__` and one for slots.

    RuntimeError for an attribute that every tensor has: a file may not set a tensor's shape or memory.
    """
    for part in state if isinstance(state, tuple) else (state,):
        for name, value in (part or {}).items():
            if hasattr(Tensor, name):
                raise RuntimeError(f"load: the file sets {name!r} of a tensor, which is not an attribute of its own")
            setattr(thing, name, value)
    return thing


# ---------------------------------------------------------------- apart
def taken_apart(thing: Any) -> Any:
    """How an object is written, if it is mashal's: a name, or (function, arguments); NotImplemented otherwise.

    >>> taken_apart(Size([2, 3]))[1]
    ((2, 3),)
    """
    if isinstance(thing, dtype):
        return name_of(thing)
    if isinstance(thing, Size):
        return Size, (tuple(thing),)
    if isinstance(thing, device):
        return device, (thing.type,) if thing.index is None else (thing.type, thing.index)
    if isinstance(thing, Tensor):
        return tensor_apart(thing)
    return NotImplemented


def tensor_apart(tensor: Tensor) -> Any:
    """(function, arguments) for a tensor; NotImplemented for a subclass that says itself how it is written."""
    if type(tensor).__reduce_ex__ not in (Tensor.__reduce_ex__, Parameter.__reduce_ex__):
        return NotImplemented
    return pickling(tensor)


def pickling(tensor: Tensor) -> Any:
    """(function, arguments) for a tensor, a parameter, or a tensor of a subclass with its attributes."""
    kind = type(tensor)
    state = {k: v for k, v in getattr(tensor, "__dict__", {}).items() if k not in ("_backward_hooks", "_is_param")}
    if kind is Parameter:
        data = (tensor.data, tensor.requires_grad, OrderedDict())
        return (rebuild_parameter_with_state, (*data, state)) if state else (rebuild_parameter, data)
    function, arguments = plain_apart(tensor)
    if kind is Tensor and not state:
        return function, arguments
    return rebuild_from_type, (function, kind, arguments, state)


def plain_apart(tensor: Tensor) -> Any:
    """(function, arguments) for a tensor's data alone."""
    kind, grad = tensor.dtype, tensor.requires_grad
    shape, strides = (
        (*tensor.shape,),
        (*tensor.stride(),),
    )  # new tuples: one that is met again would be written as a reference
    if tensor.device.type == "meta":
        return rebuild_meta_tensor, (kind, shape, strides, grad)
    storage, offset = tensor.untyped_storage(), tensor.storage_offset()
    if name_of(kind) in CLASS_OF_DTYPE:
        return rebuild_tensor_v2, (TypedStorage(storage, kind), offset, shape, strides, grad, OrderedDict())
    return rebuild_tensor_v3, (storage, offset, shape, strides, grad, OrderedDict(), kind)


# ---------------------------------------------------------------- what Python's own pickle does
def reduce_storage(storage: UntypedStorage) -> Any:
    """A storage as a plain pickle has it: its bytes."""
    return storage_of, (bytes(bytes_of(storage)),)


def storage_of(data: bytes) -> UntypedStorage:
    """A storage of these bytes."""
    storage = allocated(len(data))
    bytes_of(storage)[:] = data
    return storage


copyreg.pickle(UntypedStorage, reduce_storage)
tensor_module.pickling = pickling
