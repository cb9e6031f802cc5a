"""Parameters and buffers: the tensors a module owns.

Both are tensors that say so. A `Parameter` is found by `Module.parameters()` as soon as it is assigned to a module;
a `Buffer` moves and is saved with its module, and is not trained. What is a subclass of Tensor already keeps its
class and is only marked, which is why `isinstance` looks at the mark.
"""

from __future__ import annotations

from typing import Any

from mashal.core.tensor import Tensor, alias, as_subclass
from mashal.methods.subclasses import DisableTorchFunctionSubclass
from mashal.ops import empty
from mashal.ops.define import PLAIN, disabled


class _MarkedParameter(type(Tensor)):
    """The class of Parameter: tensors of other classes that carry the mark count as parameters."""

    def __instancecheck__(cls, instance: Any) -> bool:
        if type.__instancecheck__(cls, instance):
            return True
        return cls is Parameter and isinstance(instance, Tensor) and getattr(instance, "_is_param", False)


class Parameter(Tensor, metaclass=_MarkedParameter):
    """A tensor that its module trains.

    data: any tensor; an empty one if left out. requires_grad: whether backward computes its gradient.
    The parameter shares data's memory.

    >>> Parameter(torch.ones(2))
    Parameter containing:
    tensor([1., 1.], requires_grad=True)
    """

    __torch_function__ = staticmethod(disabled)  # operations on parameters give plain tensors

    def __new__(cls, data: Tensor | None = None, requires_grad: bool = True) -> Parameter:
        data = empty(0) if data is None else data
        if type(data) is Tensor or type(data) is Parameter:
            return as_subclass(cls, alias(data)).requires_grad_(requires_grad)
        other = data.detach().requires_grad_(requires_grad)  # another class of tensor stays what it is
        if type(other) is not type(data):
            raise RuntimeError(
                f"Parameter: {type(data).__name__}.detach() returns a {type(other).__name__}; for a parameter of "
                "this class it must return the same class"
            )
        other._is_param = True
        return other

    def __deepcopy__(self, memo: dict[int, Any]) -> Parameter:
        if id(self) not in memo:
            memo[id(self)] = type(self)(self.data.clone(), self.requires_grad)
        return memo[id(self)]

    def __repr__(self, *, tensor_contents: str | None = None) -> str:
        return "Parameter containing:\n" + repr(alias(self).requires_grad_(self.requires_grad))


class _MarkedBuffer(type(Tensor)):
    """The class of Buffer: every tensor that carries the mark counts as a buffer."""

    def __instancecheck__(cls, instance: Any) -> bool:
        if type.__instancecheck__(cls, instance):
            return True
        return cls is Buffer and isinstance(instance, Tensor) and getattr(instance, "_is_buffer", False)


class Buffer(Tensor, metaclass=_MarkedBuffer):
    """A tensor that belongs to a module without being trained, such as a running mean.

    data: any tensor; an empty one if left out. persistent: whether it is part of the state_dict.
    Assigning it to a module's attribute registers it.

    >>> m = nn.Module()
    >>> m.mean = Buffer(torch.zeros(2), persistent=False)
    >>> [name for name, _ in m.named_buffers()], list(m.state_dict())
    (['mean'], [])
    """

    def __new__(cls, data: Tensor | None = None, *, persistent: bool = True) -> Buffer:
        data = empty(0) if data is None else data
        buffer = data.detach().requires_grad_(data.requires_grad)
        buffer.persistent = persistent
        buffer._is_buffer = True
        return buffer


# ---------------------------------------------------------------- of a shape that is not known yet
class UninitializedTensorMixin:
    """A tensor whose shape is known later: `materialize` gives it one, and makes it an object of `cls_to_become`.

    Until then it can be moved, converted and loaded into; everything else is a ValueError, asking its shape a RuntimeError.
    """

    cls_to_become: Any = None
    _allowed = frozenset(
        "__hash__ size copy_ is_complex is_floating_point half float double char short int long cuda cpu to get_device "
        "requires_grad_ detach bfloat16 type".split()
    )

    def materialize(self: Any, shape: Any, device: Any = None, dtype: Any = None) -> None:
        """Gives it a shape; its elements are not set."""
        self.data = empty(
            tuple(shape), device=self.data.device if device is None else device, dtype=dtype or self.data.dtype
        )
        self.__class__ = self.cls_to_become

    @property
    def shape(self) -> Any:
        """RuntimeError: there is none yet."""
        raise RuntimeError(
            "Can't access the shape of an uninitialized parameter or buffer: call forward of the lazy module first, with an "
            "input of the shape that it is to have"
        )

    def share_memory_(self) -> Any:
        """RuntimeError: there is nothing to share yet."""
        raise RuntimeError(
            "Can't share memory on an uninitialized parameter or buffer: call forward of the lazy module first"
        )

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    def __reduce_ex__(self: Any, protocol: Any) -> Any:
        return type(self), (self.requires_grad,)

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: tuple = (), kwargs: Any = None) -> Any:
        if getattr(func, "__name__", "") in cls._allowed:
            with DisableTorchFunctionSubclass():
                return func(*args, **(kwargs or {}))
        raise ValueError(
            f"Attempted to use an uninitialized parameter in {getattr(func, '__name__', func)}: call forward of the lazy module "
            "first, or initialize_parameters"
        )


class UninitializedParameter(UninitializedTensorMixin, Parameter):
    """A parameter whose shape is known later; see UninitializedTensorMixin."""

    cls_to_become = Parameter

    def __new__(cls, requires_grad: bool = True, device: Any = None, dtype: Any = None) -> Any:
        return as_subclass(cls, empty(0, device=device, dtype=dtype)).requires_grad_(requires_grad)

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        if id(self) not in memo:
            memo[id(self)] = type(self)(self.requires_grad, self.data.device, self.data.dtype)
        return memo[id(self)]


class UninitializedBuffer(UninitializedTensorMixin, Tensor):
    """A buffer whose shape is known later; see UninitializedTensorMixin."""

    cls_to_become = Tensor

    def __new__(
        cls, requires_grad: bool = False, device: Any = None, dtype: Any = None, persistent: bool = True
    ) -> Any:
        made = as_subclass(cls, empty(0, device=device, dtype=dtype)).requires_grad_(requires_grad)
        made.persistent = persistent
        made._is_buffer = True
        return made


def is_lazy(param: Any) -> bool:
    """Whether a parameter or buffer has no shape yet."""
    return isinstance(param, UninitializedTensorMixin)


PLAIN.add(Parameter)  # operations on parameters give plain tensors, by the shortest way
