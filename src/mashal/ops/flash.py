"""Attention of plain queries, keys and values as one kernel, without a matrix of scores (lower.attention)."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from mashal.core.forms import Form, form, like
from mashal.core.saved import kept
from mashal.core.shapes import contiguous_strides
from mashal.core.tape import mode
from mashal.core.tensor import Tensor, plan_of
from mashal.lang.recipes import Counted
from mashal.lower.attention import backward, forward, scratch_bytes
from mashal.lower.schedule import collapse
from mashal.machine.threads import get_num_threads
from mashal.ops.arithmetic import mul, sub
from mashal.ops.contraction import matmul, transposed
from mashal.ops.define import row_major
from mashal.ops.planned import Planned, PlanNode
from mashal.ops.reductions import sum_
from mashal.ops.run import kernel_of, remember

__all__ = ["attention"]

HEADS = 2  # dimensions of heads that the kernels walk


def attention(query: Form, key: Form, value: Form, causal: bool, scale: float,
              weights: Callable[[Tensor, Tensor], Tensor]) -> _Attention | None:  # fmt: skip
    """What is known of softmax(query·keyᵀ·scale)·value by one kernel; None if there is none for operands of these forms.

    weights(query, key): the softmax made of operations, for gradients of gradients.
    """
    return _Attention(query, key, value, causal, scale, weights) if _fits(query, key, value) else None


def _fits(q: Form, k: Form, v: Form) -> bool:
    """Whether rows lie whole in memory, heads are the same, and nothing is empty."""
    plain = q.dtype.name in ("float32", "float64") and q.device.type == "cpu"
    same = q.shape[:-2] == k.shape[:-2] == v.shape[:-2] and q.shape[-1] == k.shape[-1] and k.shape[-2] == v.shape[-2]
    if not plain or not same or not q.numel or not v.numel:
        return False
    return all(f.strides[-1] == 1 or f.shape[-1] == 1 for f in (q, k, v)) and len(_heads(q, k, v)[0]) <= HEADS


def _heads(*forms: Form) -> tuple[list[int], list[list[int]]]:
    """The sizes of the dimensions of heads, as few as their strides allow, and the strides of each form."""
    shape = tuple(forms[0].shape)[:-2]
    in_order = contiguous_strides(shape)  # as the logarithms lie
    sizes, (_, *strides) = collapse(shape, [in_order, *(tuple(f.strides)[:-2] for f in forms)])
    return sizes, strides


def _words(sizes: tuple[int, int, int, int], scale: float, gradient: bool, *forms: Form) -> tuple[list[int], int]:
    """(the words after the scratch, its bytes) for a kernel over these tensors."""
    heads, strides = _heads(*forms)
    missing = [0] * (HEADS - len(heads))
    each = scratch_bytes(forms[0].dtype.llvm, *sizes, gradient)
    (bits,) = struct.unpack("<q", struct.pack("<d", scale))
    threads = get_num_threads()
    words = [each, threads, bits, *(1 for _ in missing), *heads, *sizes]
    for f, s in zip(forms, strides):
        words += [*missing, *s, f.strides[-2]]
    return words, each * threads


def _rows_first(f: Form) -> Form:
    """A form of the same shape whose heads lie side by side in each row, as what queries are made from."""
    if f.rank != 4:
        return form(f.dtype, f.device, f.shape)
    _, heads, rows, width = f.shape
    return f.viewed(f.shape, (rows * heads * width, width, heads * width, 1))


def _result(q: Form, v: Form) -> Form:
    """How the result lies: as in PyTorch like the queries, so that what brings heads together again needs no copy."""
    found = like(q)
    if q.rank == 4 and q.shape[-1] == v.shape[-1] and found.strides[-1] == 1:
        return found
    return form(q.dtype, q.device, (*q.shape[:-1], v.shape[-1]))


class AttentionNode(PlanNode):
    """saved: queries, keys, values, the result, the rows' logarithms of sums."""

    __slots__ = ()
    operands = ("query", "key", "value")

    def by_operations(self, g: Tensor) -> tuple:
        q, k, v, y, logarithms = kept(self)
        entry: _Attention = self.entry
        if not mode.recording:
            g = g if g.form.strides[-1] == 1 else row_major(g)
            found = entry.backward(g.form)(q, k, v, y, logarithms, g)
            return tuple(x if edge is not None else None for x, edge in zip(found, self.edges))
        weights = entry.weights(q, k)
        slopes = matmul(g, transposed(v))
        slopes = mul(mul(weights, sub(slopes, sum_(mul(slopes, weights), -1, keepdim=True))), entry.scale)
        return matmul(slopes, k), matmul(transposed(slopes), q), matmul(transposed(weights), g)


def _named(name: str) -> type[AttentionNode]:
    return type(name, (AttentionNode,), {"__slots__": ()})


_FUSED, _BATCHED, _PLAIN = map(
    _named, ("ScaledDotProductFlashAttentionForCpuBackward0", "UnsafeViewBackward0", "MmBackward0")
)


def _node(q: Form, v: Form) -> type[AttentionNode]:
    """The node that grad_fn shows: PyTorch has a kernel for heads of equal widths, else shows its last product."""
    if q.rank == 4 and q.shape[-1] == v.shape[-1]:
        return _FUSED
    return _PLAIN if q.rank == 2 else _BATCHED


class _Attention(Planned):
    """plan(query, key, value) gives the result, and for backward the rows' logarithms of sums."""

    __slots__ = ("causal", "forms", "made", "scale", "sizes", "ways_back", "weights")

    def __init__(self, q: Form, k: Form, v: Form, causal: bool, scale: float, weights: Callable[..., Tensor]):
        self.forms, self.causal, self.scale, self.weights = (q, k, v), causal, scale, weights
        self.sizes = (q.shape[-2], k.shape[-2], q.shape[-1], v.shape[-1])
        self.made = _result(q, v)
        logarithms = form(q.dtype, q.device, q.shape[:-1])
        self.ways_back: dict[Form, Any] = {}
        words, scratch = _words(self.sizes, scale, False, self.made, q, k, v)
        size = q.dtype.itemsize
        plan = plan_of(
            kernel_of(forward, q.dtype.llvm, causal),
            [(self.made.nbytes, self.made), (logarithms.nbytes, logarithms)],
            [size] * 3,
            words,
            work=q.numel * k.shape[-2],
            scratch=scratch,
            recipe=Counted(self._products(2)),
        )
        super().__init__(plan, _node(q, v), (True,) * 3, 3, kept=(0, 1, 2), keeps_result=True, results=2)

    def _products(self, n: int) -> int:
        """The arithmetic of n products of the size of queries times keys; a causal mask leaves out half."""
        rows, columns, width, _ = self.sizes
        heads = self.forms[0].numel // (rows * width)
        return n * 2 * heads * width * (sum(range(1, rows + 1)) if self.causal and rows == columns else rows * columns)

    def backward(self, g: Form) -> Callable[..., tuple]:
        """The plan for the gradients of queries, keys and values, for gradients of the result that lie in a given way."""
        found = self.ways_back.get(g)
        if found is None:
            results = [_rows_first(f) for f in self.forms]
            words, scratch = _words(self.sizes, self.scale, True, *results, *self.forms, self.made, g)
            size = g.dtype.itemsize
            address = kernel_of(backward, g.dtype.llvm, self.causal)
            made = [(f.extent * size, f) for f in results]
            work = 2 * g.numel * self.sizes[1]
            found = plan_of(
                address, made, [size] * 6, words, work=work, scratch=scratch, recipe=Counted(self._products(5))
            )
            remember(self.ways_back, g, found)
        return found
