"""The tensor: a form over a storage, and its place in the graph. No arithmetic: `mashal.methods` attaches that.

The slots are what plans read and write in native code (machine.launch):

    capsule   the data's, None on meta                node     what recorded it, None: needs no gradient
    offset    first element, counted in elements      output   which result of the node it is (False is 0)
    form      dtype, device, shape, strides           version  [count] shared by all views; None until there is a view or a change
    base      the tensor it is a view of, or None     grad_    the accumulated gradient, or None
    hooks     tensor hooks {id: function}, or None    retains  whether a non-leaf keeps its gradient
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from mashal.core import tape
from mashal.core.forms import Form
from mashal.core.storage import UntypedStorage
from mashal.errors import message
from mashal.machine import memory
from mashal.machine.launch import Layout
from mashal.machine.lookup import LookupLayout
from mashal.machine.observing import watch
from mashal.machine.recording import RecordingLayout
from mashal.machine.returning import ReturningLayout
from mashal.machine.viewing import ViewLayout

__all__ = ["Tensor", "alias", "as_subclass", "bump", "is_tensor", "new_view", "plan_of", "version_of"]


class Tensor:
    """An n-dimensional array of elements of one dtype, on one device, that can record what happens to it.

    Make one with `tensor`, `zeros`, `rand`, `from_numpy` …; `Tensor(2, 3)` gives uninitialised float32 elements.
    """

    __slots__ = (
        "__dict__", "__weakref__", "base", "capsule", "form", "grad_", "hooks", "node", "offset", "output", "retains", "version",
    )  # fmt: skip
    capsule: Any
    offset: int
    form: Form
    node: tape.Node | None
    output: int
    base: Tensor | None
    version: list[int] | None
    grad_: Tensor | None
    hooks: dict | None
    retains: bool

    if TYPE_CHECKING:  # what mashal.methods attaches from the definitions
        __add__: Any
        __radd__: Any
        __iadd__: Any
        __sub__: Any
        __rsub__: Any
        __isub__: Any
        __mul__: Any
        __rmul__: Any
        __imul__: Any
        __truediv__: Any
        __rtruediv__: Any
        __itruediv__: Any
        __floordiv__: Any
        __rfloordiv__: Any
        __mod__: Any
        __rmod__: Any
        __pow__: Any
        __rpow__: Any
        __matmul__: Any
        __rmatmul__: Any
        __and__: Any
        __rand__: Any
        __or__: Any
        __ror__: Any
        __xor__: Any
        __rxor__: Any
        __lshift__: Any
        __rshift__: Any
        __neg__: Any
        __pos__: Any
        __abs__: Any
        __invert__: Any
        __lt__: Any
        __le__: Any
        __gt__: Any
        __ge__: Any
        __getitem__: Any
        __setitem__: Any
        __iter__: Any
        __bool__: Any
        __int__: Any
        __float__: Any
        __index__: Any
        __contains__: Any

    # ---------------------------------------------------------------- what it is
    shape = property(attrgetter("form.shape"), doc="The sizes of its dimensions, a torch.Size.")
    dtype = property(attrgetter("form.dtype"), doc="The type of its elements.")
    device = property(attrgetter("form.device"), doc="Where its data lies.")
    ndim = property(attrgetter("form.rank"), doc="How many dimensions it has.")
    itemsize = property(attrgetter("form.dtype.itemsize"), doc="Bytes of an element.")
    nbytes = property(attrgetter("form.nbytes"), doc="Bytes of its elements.")

    def size(self, dim: int | None = None) -> Any:
        """The shape, or its size in one dimension."""
        shape = self.form.shape
        if dim is None:
            return shape
        if type(dim) is int:
            try:
                return shape[dim]
            except IndexError:
                pass
        rank = len(shape)
        if not -max(rank, 1) <= dim < max(rank, 1) or not rank:
            bound = max(rank, 1)
            raise IndexError(
                f"size: Dimension out of range (expected to be in range of [{-bound}, {bound - 1}], but got {dim})"
                if rank
                else f"size: Dimension specified as {dim} but tensor has no dimensions"
            )
        return shape[dim]

    def stride(self, dim: int | None = None) -> Any:
        """The strides in elements, or that of one dimension."""
        return self.form.strides if dim is None else self.form.strides[dim]

    def dim(self) -> int:
        """How many dimensions it has."""
        return self.form.rank

    ndimension = dim

    def numel(self) -> int:
        """How many elements it has."""
        return self.form.numel

    nelement = numel

    def element_size(self) -> int:
        """Bytes of an element."""
        return self.form.dtype.itemsize

    def storage_offset(self) -> int:
        """Where in the storage its first element is, in elements."""
        return self.offset

    def untyped_storage(self) -> UntypedStorage:
        """The storage that it sees."""
        form = self.form
        return UntypedStorage.over(self.capsule, form.device, (self.offset + form.extent) * form.dtype.itemsize)

    def data_ptr(self) -> int:
        """The address of its first element; 0 for a tensor without data."""
        if self.capsule is None or not self.form.numel:
            return 0
        return memory.address_of(self.capsule) + self.offset * self.form.dtype.itemsize

    def is_floating_point(self) -> bool:
        """Whether its dtype is a floating one."""
        return self.form.dtype.is_floating_point

    def is_complex(self) -> bool:
        """Whether its dtype is complex."""
        return self.form.dtype.is_complex

    def is_signed(self) -> bool:
        """Whether its dtype has negative numbers."""
        return self.form.dtype.is_signed

    def get_device(self) -> int:
        """The index of its device; -1 on the cpu."""
        return -1 if self.form.device.type == "cpu" else self.form.device.index or 0

    is_cpu = property(lambda self: self.form.device.type == "cpu", doc="Whether its data lies in main memory.")
    is_cuda = property(lambda self: self.form.device.type == "cuda", doc="Whether its data lies on a CUDA device.")
    is_meta = property(lambda self: self.form.device.type == "meta", doc="Whether it is a shape without data.")
    is_mps = property(lambda self: self.form.device.type == "mps", doc="Whether its data lies on an MPS device.")

    def __len__(self) -> int:
        if not self.form.rank:
            raise TypeError("len() of a 0-d tensor")
        return self.form.shape[0]

    def __hash__(self) -> int:
        return id(self)

    # ---------------------------------------------------------------- its place in the graph
    @property
    def requires_grad(self) -> bool:
        """Whether gradients are to be computed for it."""
        return self.node is not None

    @requires_grad.setter
    def requires_grad(self, wanted: bool) -> None:
        if not isinstance(wanted, (bool, int)):
            raise TypeError(f"requires_grad: expected a bool, got {type(wanted).__name__}")
        if not self.is_leaf:
            if not wanted:
                raise RuntimeError(
                    "you can only change requires_grad flags of leaf variables. If you want to use a computed variable in a "
                    "subgraph that doesn't require differentiation use var_no_grad = var.detach()."
                )
            return
        if not wanted:
            self.node = None
        elif self.node is None:
            if not (self.form.dtype.is_floating_point or self.form.dtype.is_complex):
                raise RuntimeError(
                    message(
                        "requires_grad",
                        f"only tensors of floating point and complex dtype can require gradients, not {self.dtype}",
                    )
                )
            self.node = tape.AccumulateGrad(self)

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Sets requires_grad; returns the tensor."""
        self.requires_grad = requires_grad
        return self

    @property
    def is_leaf(self) -> bool:
        """Whether no recorded operation made it."""
        return self.node is None or isinstance(self.node, tape.AccumulateGrad)

    @property
    def grad_fn(self) -> tape.Node | None:
        """The node of the operation that made it; None for a leaf."""
        return None if self.is_leaf else self.node

    @property
    def output_nr(self) -> int:
        """Which result of its grad_fn it is."""
        return int(self.output)

    @property
    def grad(self) -> Tensor | None:
        """The gradient that backward has accumulated; None before the first one."""
        if watch.recorder is not None:
            watch.recorder.looks_at_gradient(self)
        if self.grad_ is None and not self.is_leaf and not self.retains:
            _warn_non_leaf()
        return self.grad_

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        if value is not None:
            _check_gradient(self, value)
        if watch.recorder is not None:
            (watch.recorder.forget_gradient if value is None else watch.recorder.touch)(self)
        self.grad_ = value

    @grad.deleter
    def grad(self) -> None:
        self.grad = None

    @property
    def _base(self) -> Tensor | None:
        return self.base

    def _is_view(self) -> bool:
        return self.base is not None

    @property
    def _version(self) -> int:
        return version_of(self)

    def is_inference(self) -> bool:
        """Whether it was made in inference mode."""
        return False

    # ---------------------------------------------------------------- Python's protocols
    def __reduce_ex__(self, protocol: Any) -> Any:
        return pickling(self)

    def __dir__(self) -> list[str]:
        return sorted(object.__dir__(self))


_LAYOUT = Layout(Tensor, none=["node", "version", "base", "grad_", "hooks"], false=["output", "retains"])
_make = _LAYOUT.make
recorded_plan = RecordingLayout(Tensor, tape.PlannedNode, _make, tape.numbers).recorded
gradient_plan = ReturningLayout(Tensor, tape.PlannedNode).gradients


def pickling(tensor: Tensor) -> Any:
    """How a tensor is pickled; mashal.serialization, imported when that is first asked, puts its own function here."""
    importlib.import_module("mashal.serialization")
    return tensor.__reduce_ex__(2)


def is_tensor(obj: Any) -> bool:
    """Whether obj is a tensor."""
    return isinstance(obj, Tensor)


make = _make
"""make(capsule, offset, form): a new tensor over a storage's capsule, with no history."""


def plan_of(kernel: int, results: Sequence[tuple[int, Form]], *operands: Any, **options: Any) -> Callable[..., Any]:
    """A plan that calls the kernel at an address (machine.launch.Layout.plan); for results on meta one that only makes them."""
    if results and results[0][1].device.type == "meta":
        forms = [form for _, form in results]
        return (lambda *_: make(None, 0, forms[0])) if len(forms) == 1 else lambda *_: tuple(empty(f) for f in forms)
    return _LAYOUT.plan(kernel, results, *operands, **options)


def empty(form: Form) -> Tensor:
    """A new tensor of this form, not initialised."""
    plan = _empties.get(form)
    if plan is None:
        if len(_empties) > 4096:
            _empties.clear()
        if form.device.type == "meta":
            return make(None, 0, form)
        plan = _empties[form] = plan_of(0, [(form.extent * form.dtype.itemsize, form)], [])
    return plan()


_empties: dict[Form, Callable[[], Tensor]] = {}


def new_view(x: Tensor, form: Form, offset: int) -> Tensor:
    """A tensor of another form over x's storage that shares x's version; its history is the caller's to record."""
    view = _make(x.capsule, offset, form)
    if x.base is None:
        view.base = x
    else:
        view.base = x.base
        if watch.recorder is not None:
            watch.recorder.touch(x)
    view.version = x.version or versions(x)
    return view


def alias(x: Tensor) -> Tensor:
    """The same data as a tensor without history (detach): shares storage and version, is no view."""
    if watch.recorder is not None:
        watch.recorder.touch(x)
    same = _make(x.capsule, x.offset, x.form)
    same.version = x.version or versions(x)
    return same


def as_subclass(cls: type, x: Tensor) -> Any:
    """x's data, history and all, as an object of a subclass of Tensor."""
    made = object.__new__(cls)
    for slot in ("capsule", "offset", "form", "node", "output", "base", "grad_", "hooks", "retains"):
        setattr(made, slot, getattr(x, slot))
    made.version = x.version or versions(x)
    if watch.recorder is not None:
        watch.recorder.derived(x, made)
    return made


def address(x: Tensor) -> int:
    """Where x's first element lies, as a number for a kernel; a recording knows that the number means x."""
    return x.data_ptr() if watch.recorder is None else watch.recorder.lend(x)


def bump(x: Tensor) -> None:
    """Notes that x's data has changed in place."""
    (x.version or versions(x))[0] += 1


PLAIN: set[type] = {Tensor}
"""Tensor, and those subclasses whose operations give plain tensors (Parameter adds itself): no override is looked for."""


def finder(entries: dict[Any, Any], otherwise: Callable[..., Any]) -> Callable[..., Any]:
    """find(*operands), the plan of entries[forms of the operands] called, or otherwise(*operands) (machine.lookup)."""
    return _LOOKUP.finder(entries, otherwise, PLAIN)


def finder_with_options(entries: dict[Any, Any], otherwise: Callable[..., Any], operands: int) -> Callable[..., Any]:
    """find(*operands, *options): the same, known by the options' values too; the plan gets the operands that are not None."""
    return _LOOKUP.finder_with_options(entries, otherwise, PLAIN, operands)


def versions(x: Tensor) -> list[int]:
    """[how often x's data has been changed], shared by all tensors over the data; made when first needed."""
    if x.version is None:
        x.version = [0]
        if isinstance(x.node, tape.PlannedNode):
            x.node.share_versions(x)
    return x.version


_LOOKUP = LookupLayout(Tensor, tape.PlannedCall)
view_plan = ViewLayout(Tensor, _make, versions).view


def twin(x: Tensor) -> Tensor:
    """x's data without history, for x's own node to keep; learns of changes of x (PlannedNode.share_versions)."""
    same = _make(x.capsule, x.offset, x.form)
    same.version = x.version
    return same


def version_of(x: Tensor) -> int:
    """How often x's data (or that of a tensor it shares data with) has been changed in place."""
    return 0 if x.version is None else x.version[0]


def gradient_dtype(x: Tensor) -> Any:
    """The dtype of a leaf's gradient: its own, unless grad_dtype was set; None: any."""
    hooks = None if x.node is None else x.node.hooks
    return x.form.dtype if hooks is None or hooks.dtype == "own" else hooks.dtype


def _check_gradient(x: Tensor, value: Any) -> None:
    if not isinstance(value, Tensor):
        raise TypeError(f"assigned grad expected to be a Tensor or None but got grad of type {type(value).__name__}")
    if value is x:
        raise RuntimeError("can't assign Variable as its own grad")
    if value.shape != x.shape:
        raise RuntimeError(
            f"assigned grad has data of a different size: expected {list(x.shape)}, got {list(value.shape)}"
        )
    wanted = gradient_dtype(x)
    if wanted is not None and value.dtype != wanted:
        raise RuntimeError(f"assigned grad has data of a different type: expected {wanted}, got {value.dtype}")
    if value.device != x.device:
        raise RuntimeError(
            f"assigned grad has data located on a different device: expected {x.device}, got {value.device}"
        )


def _warn_non_leaf() -> None:
    warnings.warn(
        "The .grad attribute of a Tensor that is not a leaf Tensor is being accessed. Its .grad attribute won't be populated "
        "during autograd.backward(). If you indeed want the .grad field to be populated for a non-leaf Tensor, use "
        ".retain_grad() on the non-leaf Tensor.",
        stacklevel=3,
    )
