"""Parameters and buffers: the tensors a module owns.

Both are tensors that say so. A `Parameter` is found by `Module.parameters()` as soon as it is assigned to a module;
a `Buffer` moves and is saved with its module, and is not trained. What is a subclass of Tensor already keeps its
class and is only marked, which is why `isinstance` looks at the mark.
"""

from __future__ import annotations

from typing import Any

from mashal.core.tensor import Tensor, alias, as_subclass
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


PLAIN.add(Parameter)  # operations on parameters give plain tensors, by the shortest way
