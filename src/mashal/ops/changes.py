"""Changes of tensors: in place, into out=, and what must be checked before; plain copies, which these stand on."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

from mashal.core import tape
from mashal.core.dtypes import dtype
from mashal.core.forms import Form, form, like
from mashal.core.tape import Node, mode
from mashal.core.tensor import Tensor, bump, empty
from mashal.errors import message
from mashal.lang.expression import cast, operand
from mashal.lang.nest import Nest, Operand
from mashal.ops.gradients import Entry
from mashal.ops.rules import in_registers
from mashal.ops.run import check_cast, plan_pointwise, remember


class _Late:
    """What stands above ops and is put in place when it is imported: how a change in place enters the graph."""

    @staticmethod
    def rebase(x: Tensor, node: Node) -> None:
        """x's history is from now on `node` (autograd.inplace knows of views)."""
        x.node, x.output = node, False


late = _Late()


def check_writable(x: Tensor, name: str) -> None:
    """RuntimeError for a leaf that requires grad, which must not be changed in place while recording."""
    if x.node is not None and mode.recording and x.is_leaf:
        raise RuntimeError("a leaf Variable that requires grad is being used in an in-place operation.")
    if x.node is not None and mode.recording and x.base is not None and x.base.is_leaf and x.base.node is not None:
        raise RuntimeError("a view of a leaf Variable that requires grad is being used in an in-place operation.")


def change_in_place(op: Any, plan: Any, operands: tuple, options: tuple) -> Tensor:
    """An in-place operation that is recorded."""
    x = operands[0]
    check_writable(x, op.name)
    if x.form.dtype.kind not in "fc":
        plan(x, *operands)
        bump(x)
        return x
    entry = Entry(op, plan, x.form, operands, options)
    entry.learn(operands)
    edges = tape.edges(*[o if isinstance(o, Tensor) else None for o in operands])
    needed = {i for i in entry.kept if entry.needed(i, edges)}
    before = tuple([_as_it_was(o) if o is x and i in needed else o for i, o in enumerate(operands)])
    node = entry.node_for(before)  # with the versions before the change: another operand may be a view of x
    plan(x, *operands)
    bump(x)
    if entry.keeps_result:
        entry.keep_result(node, x)
    late.rebase(x, node)
    return x


def _as_it_was(x: Tensor) -> Tensor:
    """A copy with x's history, for gradients of gradients, before x is changed."""
    copy = copied(x)
    copy.node, copy.output = x.node, x.output
    return copy


def copied(x: Tensor) -> Tensor:
    """A copy without history, in x's order of dimensions."""
    y = empty(like(x.form))
    return copy_plan(y.form, x.form)(y, y, x) if x.form.numel else y


def row_major(x: Tensor) -> Tensor:
    """A contiguous copy without history."""
    y = empty(form(x.form.dtype, x.form.device, tuple(x.form.shape)))
    return copy_plan(y.form, x.form)(y, y, x) if x.form.numel else y


def copy_plan(to: Form, source: Form) -> Any:
    """The plan that writes a tensor (broadcast, converted) into another one: plan(out, out, source)."""
    plan = _copy_plans.get((to, source))
    if plan is None:
        kinds = to.dtype, source.dtype
        if kinds not in _copies:
            stored = cast(operand(1, source.dtype), in_registers(to.dtype))
            _copies[kinds] = Nest(((stored, to.dtype),), (Operand(to.dtype), Operand(source.dtype)))
        made = plan_pointwise(_copies[kinds], [to, source], to.shape, [to], in_place=True)
        plan = remember(_copy_plans, (to, source), made)
    return plan


_copies: dict[tuple[dtype, dtype], Nest] = {}
_copy_plans: dict[tuple[Form, Form], Any] = {}


def overlaps(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors over one storage may have elements in common at different places."""
    if a.capsule is not b.capsule or a.capsule is None:
        return False
    if a.offset == b.offset and a.form.strides == b.form.strides and a.form.shape == b.form.shape:
        return False
    size = a.form.dtype.itemsize, b.form.dtype.itemsize
    return (
        a.offset * size[0] < (b.offset + b.form.extent) * size[1]
        and b.offset * size[1] < (a.offset + a.form.extent) * size[0]
    )


def check_not_expanded(x: Tensor) -> None:
    """RuntimeError if several elements of x are the same memory."""
    f = x.form
    if not f.contiguous and f.numel and any(s == 0 and n > 1 for n, s in zip(f.shape, f.strides)):
        raise RuntimeError(
            "unsupported operation: more than one element of the written-to tensor refers to a single memory location. "
            "Please clone() the tensor before performing the operation."
        )


def refuse_recorded_out(name: str) -> None:
    """out= cannot take part in backward."""
    raise RuntimeError(
        f"{name}(): functions with out=... arguments don't support automatic differentiation, but one of the arguments requires grad."
    )


def write_out(name: str, out: Tensor, result: Tensor) -> Tensor:
    """Puts a result into out=, which is resized if its shape is another; returns out."""
    if not isinstance(out, Tensor):
        raise TypeError(f"{name}(): argument 'out' must be Tensor, not {type(out).__name__}")
    if out.node is not None and mode.recording:
        refuse_recorded_out(name)
    check_cast(name, result.form.dtype, out.form.dtype)
    if out.form.device is not result.form.device:
        raise RuntimeError(
            f"{name}: Expected out tensor to have device {result.form.device}, but got {out.form.device} instead"
        )
    if out.form.shape != result.form.shape:
        resize_out(name, out, result.form)
    check_not_expanded(out)
    if result.form.numel:
        copy_plan(out.form, result.form)(out, out, result)
    bump(out)
    return out


def write_outs(name: str, out: Sequence[Tensor], results: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """`write_out` for several results; TypeError unless out has one tensor for each."""
    if not isinstance(out, (tuple, list)) or len(out) != len(results):
        raise TypeError(f"{name}(): argument 'out' must be tuple of {len(results)} Tensors, not {type(out).__name__}")
    return tuple(write_out(name, o, y) for o, y in zip(out, results))


def check_apart(name: str, out: Sequence[Tensor], operands: Sequence[Tensor]) -> None:
    """RuntimeError if an out= tensor shares memory with an operand that is still read while it is written."""
    for o in out:
        for x in operands:
            if isinstance(o, Tensor) and o.capsule is x.capsule and o.capsule is not None:
                raise RuntimeError(
                    message(
                        name,
                        "unsupported operation: an out= tensor and the input share memory, a single memory location "
                        "would be read and written",
                        "pass a clone() of the input",
                    )
                )


def resize_out(name: str, out: Tensor, to: Form) -> None:
    """Gives an out= tensor another shape; a warning if it was not empty."""
    if out.form.numel:
        warnings.warn(
            f"An output with one or more elements was resized since it had shape {list(out.form.shape)}, which does not match the "
            f"required output shape {list(to.shape)}. This behavior is deprecated, and in a future PyTorch release outputs will not "
            "be resized unless they have zero elements. You can explicitly reuse an out tensor t by resizing it, inplace, to zero "
            "elements with t.resize_(0).",
            stacklevel=4,
        )
    new = form(out.form.dtype, out.form.device, tuple(to.shape))
    fresh = empty(new)
    out.capsule, out.offset, out.form = fresh.capsule, 0, new
