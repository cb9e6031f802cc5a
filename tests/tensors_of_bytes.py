"""Tensors from bytes and back, with nothing but core: so the tests of files need no operation."""

from mashal.core import dtypes
from mashal.core.devices import device
from mashal.core.forms import form
from mashal.core.shapes import Size, contiguous_strides
from mashal.core.storage import UntypedStorage
from mashal.serialization.memory import bytes_of, rebuild_tensor


def tensor_of(data, dtype=dtypes.float32, shape=None):
    """A contiguous tensor whose memory is these bytes."""
    storage = UntypedStorage(len(data))
    bytes_of(storage)[:] = data
    shape = (len(data) // dtype.itemsize,) if shape is None else shape
    return rebuild_tensor(storage, dtype, 0, Size(shape), contiguous_strides(shape), False)


def view_of(tensor, offset, shape, strides):
    """Another tensor over the same memory."""
    return rebuild_tensor(tensor.untyped_storage(), tensor.dtype, offset, Size(shape), tuple(strides), False)


def elements(tensor):
    """The bytes of a tensor's elements, in order."""
    if not tensor.numel():
        return b""
    memory, width = bytes(bytes_of(tensor.untyped_storage())), tensor.itemsize
    places = [tensor.storage_offset()]
    for size, stride in zip(tensor.shape, tensor.stride(), strict=True):
        places = [place + i * stride for place in places for i in range(size)]
    return b"".join(memory[place * width : (place + 1) * width] for place in places)


def same(a, b):
    """Whether two tensors agree in dtype, shape and elements."""
    return a.dtype is b.dtype and tuple(a.shape) == tuple(b.shape) and elements(a) == elements(b)


def meta_tensor(shape):
    """A tensor on the meta device."""
    storage = UntypedStorage(4 * Size(shape).numel(), device="meta")
    return rebuild_tensor(storage, dtypes.float32, 0, Size(shape), contiguous_strides(shape), False)


__all__ = ["device", "dtypes", "elements", "form", "meta_tensor", "same", "tensor_of", "view_of"]
