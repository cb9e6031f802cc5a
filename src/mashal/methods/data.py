"""What a tensor's data is, and its exchange: `x.data`, `set_`, and flags of what tensors are not."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

from mashal.core.devices import CPU
from mashal.core.forms import form
from mashal.core.shapes import contiguous_strides
from mashal.core.storage import UntypedStorage
from mashal.core.tensor import Tensor, bump, make
from mashal.core.typed_storage import TypedStorage
from mashal.errors import message
from mashal.machine.observing import watch
from mashal.ops.options import form_of, sizes_of


def get_data(self: Tensor) -> Tensor:
    """The same data as a tensor without history, whose changes backward does not notice."""
    if watch.recorder is not None:
        watch.recorder.touch(self)
    return make(self.capsule, self.offset, self.form)


def set_data(self: Tensor, new: Tensor) -> None:
    """Puts other data into a tensor, which keeps its place in the graph. TypeError for what is no tensor."""
    if not isinstance(new, Tensor):
        raise TypeError(f"Variable data has to be a tensor, but got {type(new).__name__}")
    if self.node is not None and new.form.dtype.kind not in "fc":
        raise RuntimeError(
            message("data", f"a tensor that requires grad can't take data of {new.form.dtype}", "use a floating dtype")
        )
    if watch.recorder is not None and (new.capsule is not self.capsule or new.form is not self.form):
        watch.recorder.replaces(self)
    self.capsule, self.offset, self.form = new.capsule, new.offset, new.form


def set_(self: Tensor, source: Any = None, storage_offset: int = 0, size: Sequence[int] | None = None,
         stride: Sequence[int] | None = None) -> Tensor:  # fmt: skip
    """Makes a tensor see another tensor's data, or a storage's from an offset with a size and strides; returns it."""
    if source is None:
        source = UntypedStorage(0)
    if isinstance(source, Tensor):
        if size is None:
            self.capsule, self.offset, self.form = source.capsule, source.offset, source.form
            return _changed(self)
        source = source.untyped_storage()
    if not isinstance(source, (UntypedStorage, TypedStorage)):
        raise TypeError(message("set_", f"a tensor or a storage is expected, not {type(source).__name__}"))
    untyped, d = source.untyped(), self.form.dtype
    shape = (untyped.nbytes() // d.itemsize - storage_offset,) if size is None else tuple(size)
    new = form(d, CPU, shape, tuple(stride) if stride is not None else contiguous_strides(shape))
    if (storage_offset + new.extent) * d.itemsize > untyped.nbytes():
        raise RuntimeError(
            message(
                "set_",
                f"size {list(shape)} from offset {storage_offset} needs more than the storage's {untyped.nbytes()} bytes",
            )
        )
    self.capsule, self.offset, self.form = untyped.capsule, storage_offset, new
    return _changed(self)


def resize_(self: Tensor, *sizes: Any, memory_format: Any = None) -> Tensor:
    """Gives the tensor another shape over the same storage, which grows if need be; new elements are not set."""
    if self.node is not None:
        raise RuntimeError("cannot resize variables that require grad")
    new = form_of(
        "resize_", sizes_of("resize_", sizes), self.form.dtype, memory_format=memory_format, device=self.form.device
    )
    if self.capsule is not None:
        untyped = self.untyped_storage()
        needed = (self.offset + new.extent) * new.dtype.itemsize
        if needed > untyped.nbytes():
            untyped.resize_(needed)
    self.form = new
    return _changed(self)


def resize_as_(self: Tensor, the_template: Tensor, *, memory_format: Any = None) -> Tensor:
    """Gives the tensor another tensor's shape; see resize_."""
    return resize_(self, *the_template.form.shape, memory_format=memory_format)


def _changed(x: Tensor) -> Tensor:
    bump(x)
    return x


def share_memory_(self: Tensor) -> Tensor:
    """Moves the data to memory that other processes can see; returns the tensor."""
    importlib.import_module("mashal.multiprocessing")  # which puts its own function in this one's place
    return Tensor.share_memory_(self)


def is_shared(self: Tensor) -> bool:
    """Whether other processes can see the data."""
    return self.capsule is not None and self.untyped_storage().is_shared()


def _never(doc: str) -> property:
    return property(lambda self: False, doc=doc)


ATTRIBUTES = {
    "data": property(get_data, set_data, doc="The same data as a tensor without history; may be assigned."),
    "set_": set_,
    "resize_": resize_,
    "resize_as_": resize_as_,
    "share_memory_": share_memory_,
    "is_shared": is_shared,
    "name": property(lambda self: None, doc="What it is called: None."),
    "is_sparse": _never("Whether only some of its elements are kept: no."),
    "is_sparse_csr": _never("Whether it is kept in compressed rows: no."),
    "is_quantized": _never("Whether its elements stand for numbers by a scale: no."),
    "is_mkldnn": _never("Whether it is kept in oneDNN's order: no."),
    "is_nested": _never("Whether it is several tensors of different shapes: no."),
    "is_xpu": _never("Whether its data lies on an XPU: no."),
    "is_xla": _never("Whether its data lies on an XLA device: no."),
    "is_vulkan": _never("Whether its data lies on a Vulkan device: no."),
    "is_ipu": _never("Whether its data lies on an IPU: no."),
    "is_mtia": _never("Whether its data lies on an MTIA device: no."),
    "is_pinned": lambda self, device="cuda": False,
    "dense_dim": lambda self: self.form.rank,
    "sparse_dim": lambda self: 0,
}
for _name, _attribute in ATTRIBUTES.items():
    setattr(Tensor, _name, _attribute)
