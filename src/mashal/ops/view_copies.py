"""Views, copied: permute_copy and its like; adjoints; and the tensor's own memory made larger or smaller."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mashal.core.forms import form
from mashal.core.storage import UntypedStorage
from mashal.core.tensor import Tensor
from mashal.errors import message
from mashal.machine.memory import bytes_of
from mashal.ops.copying import clone, laid_out
from mashal.ops.define import DEFINITIONS, any_recorded, refuse_recorded_out, spelled, write_out
from mashal.ops.indexing import alias_view
from mashal.ops.parts import slice_op
from mashal.ops.views import check_sizes, several, transpose, view_as_complex, view_as_real, view_op


# ---------------------------------------------------------------- copies
def _copied(name: str, view: Callable[..., Any]) -> Callable[..., Any]:
    def copy(input: Tensor, *arguments: Any, out: Any = None, **options: Any) -> Any:
        if out is not None and any_recorded((input,)):
            refuse_recorded_out(name)
        found = view(input, *arguments, **options)
        if isinstance(found, tuple):
            made = tuple([clone(x, memory_format="contiguous_format") for x in found])
            if out is None:
                return made
            for o, x in zip(out, made):
                write_out(name, o, x)
            return None
        result = clone(found, memory_format="contiguous_format")
        return result if out is None else write_out(name, out, result)

    copy.__name__ = copy.__qualname__ = f"{name}_copy"
    copy.__doc__ = f"What {name} gives, copied."
    return spelled(where=("torch",))(copy)


_VIEWS = {name: DEFINITIONS[name].function for name in (
    "permute", "transpose", "t", "squeeze", "unsqueeze", "expand", "select", "split_with_sizes", "unbind", "diagonal",
    "as_strided", "unfold", "split",
)}  # fmt: skip
_VIEWS |= {
    "view": view_op, "slice": slice_op, "alias": alias_view, "view_as_real": view_as_real, "view_as_complex": view_as_complex,
    "detach": lambda x: clone(x).detach(),  # type: ignore[attr-defined]
}  # fmt: skip
COPIES = {name: _copied(name, view) for name, view in _VIEWS.items()}


# ---------------------------------------------------------------- adjoints
@spelled()
def adjoint(input: Tensor) -> Tensor:
    """Matrices transposed, their elements conjugated."""
    rank = input.form.rank
    if rank < 2:
        raise RuntimeError(message("adjoint", f"only matrices or batches of matrices have one, got a {rank}-D tensor"))
    swapped = transpose(input, -2, -1)
    return swapped.conj() if input.form.dtype.is_complex else swapped  # type: ignore[attr-defined]


@spelled(where=("property",), name="mH")
def mH(input: Tensor) -> Tensor:
    """Matrices transposed, their elements conjugated."""
    return adjoint(input)


@spelled(where=("property",), name="H")
def H(input: Tensor) -> Tensor:
    """A matrix transposed, its elements conjugated."""
    if input.form.rank not in (0, 2):
        raise RuntimeError(f"tensor.H is only supported on matrices (2-D tensors). Got {input.form.rank}-D tensor.")
    return adjoint(input) if input.form.rank else input


# ---------------------------------------------------------------- other sizes, in place
@spelled(where=("method",))
def resize_(input: Tensor, *sizes: Any, memory_format: Any = None) -> Tensor:
    """Gives the tensor itself another shape; its memory grows if need be (what is new there is not set), never shrinks."""
    shape = check_sizes("resize_", several(sizes), "size")
    if input.node is not None:
        raise RuntimeError("cannot resize variables that require grad")
    to = form(input.form.dtype, input.form.device, shape)
    if memory_format is not None:
        to = laid_out("resize_", to, memory_format)
    if tuple(to.shape) == tuple(input.form.shape) and memory_format is None:
        return input
    needed = (input.offset + to.extent) * to.dtype.itemsize
    if input.capsule is not None and needed > bytes_of(input.capsule):
        UntypedStorage.over(input.capsule, input.form.device).resize_(needed)
    input.form = to
    return input


@spelled(where=("torch", "method"))
def resize_as_(input: Tensor, other: Tensor, memory_format: Any = None) -> Tensor:
    """Gives the tensor itself another one's shape."""
    return resize_(input, tuple(other.form.shape), memory_format=memory_format)
