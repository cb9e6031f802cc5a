"""einsum and what is written as products of matrices: tensordot, inner, kron, vdot.

einsum contracts its operands from left to right. Of two operands the labels fall into four groups, so each step is one
product of stacks of matrices:

    batch        in both, and still needed          (batch, left, summed) @ (batch, summed, right)
    summed       in both, and needed no more
    left, right  in one of them
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import prod
from typing import Any

from mashal.core.dtypes import promote
from mashal.core.forms import Form, form
from mashal.core.shapes import contiguous_strides, view_strides, wrap_dims
from mashal.core.tensor import Tensor, make
from mashal.errors import message
from mashal.ops.contraction import matmul, plan_product
from mashal.ops.copying import check_tensor, converted, copied_as
from mashal.ops.define import spelled, write_out
from mashal.ops.remembered import Part, door, remembered
from mashal.ops.run import Plan

__all__ = ["einsum", "inner", "kron", "tensordot", "vdot"]

Labels = tuple[Any, ...]


# ---------------------------------------------------------------- what the equation says
@lru_cache(maxsize=1024)
def _read(equation: str, ranks: tuple[int, ...]) -> tuple[list[Labels], Labels]:
    """The labels of each operand's dimensions, and of the result's; those of an ellipsis are numbers."""
    left, arrow, right = equation.replace(" ", "").partition("->")
    terms = left.split(",")
    if len(terms) != len(ranks):
        raise RuntimeError(message("einsum", f"{equation!r} names {len(terms)} operands, and {len(ranks)} were given"))
    inputs = [_labels(term, rank, equation) for term, rank in zip(terms, ranks)]
    hidden = max((sum(isinstance(label, int) for label in labels) for labels in inputs), default=0)
    if arrow:
        output = _labels(right, None, equation, hidden)
        unknown = [label for label in output if not any(label in labels for labels in inputs)]
        if unknown:
            raise RuntimeError(
                message(
                    "einsum", f"output subscript {unknown[0]} does not appear in the equation for any input operand"
                )
            )
        if len(set(output)) != len(output):
            raise RuntimeError(message("einsum", f"an output subscript of {equation!r} appears more than once"))
        return inputs, output
    letters = [label for labels in inputs for label in labels if isinstance(label, str)]
    once = sorted(label for label in set(letters) if letters.count(label) == 1)
    return inputs, (*range(-hidden, 0), *once)


def _labels(term: str, rank: int | None, equation: str, hidden: int = 0) -> Labels:
    before, dots, after = term.partition("...")
    if not all(c.isalpha() for c in before + after):
        raise RuntimeError(message("einsum", f"{term!r} in {equation!r} is no list of letters, with at most one '...'"))
    named = len(before) + len(after)
    if rank is not None:
        if rank < named or (rank != named and not dots):
            raise RuntimeError(message("einsum", f"the subscripts {term!r} do not fit an operand of {rank} dimensions"))
        hidden = rank - named
    return (*before, *(range(-hidden, 0) if dots else ()), *after)


def _from_lists(arguments: Sequence[Any]) -> tuple[list[Tensor], list[Labels], Labels]:
    """The form einsum(x, [0, 1], y, [1, 2], [0, 2])."""
    operands, lists = list(arguments[: len(arguments) // 2 * 2 : 2]), list(arguments[1::2])
    letter = lambda n: n if n is Ellipsis else chr(ord("A") + n) if n < 26 else chr(ord("a") + n - 26)
    term = lambda labels: "".join("..." if n is Ellipsis else letter(n) for n in labels)
    equation = ",".join(map(term, lists)) + (f"->{term(arguments[-1])}" if len(arguments) % 2 else "")
    return operands, *_read(equation, tuple([x.form.rank for x in operands]))


# ---------------------------------------------------------------- the steps
def _diagonals(x: Tensor, labels: Labels) -> tuple[Tensor, Labels]:
    """x with one dimension for each label: of labels that appear twice, the diagonal."""
    names = list(labels)
    for label in dict.fromkeys(names):
        while names.count(label) > 1:
            i = names.index(label)
            j = names.index(label, i + 1)
            if x.form.shape[i] != x.form.shape[j]:
                raise RuntimeError(
                    message(
                        "einsum",
                        f"subscript {label} is repeated, and the sizes {x.form.shape[i]} and {x.form.shape[j]} differ",
                    )
                )
            x = x.diagonal(0, i, j)
            del names[j], names[i]
            names.append(label)
    return x, tuple(names)


def _summed(x: Tensor, labels: Labels, needed: Labels) -> tuple[Tensor, Labels]:
    """x summed over the labels that are needed nowhere else."""
    gone = [i for i, label in enumerate(labels) if label not in needed]
    return (x.sum(gone), tuple(label for label in labels if label in needed)) if gone else (x, labels)


def _arranged(x: Tensor, labels: Labels, order: Labels) -> Tensor:
    places = tuple(labels.index(label) for label in order)
    return x if places == tuple(range(len(places))) else x.permute(places)


def _pair(x: Tensor, a: Labels, y: Tensor, b: Labels, needed: Labels) -> tuple[Tensor, Labels]:
    """The product of two operands, summed over what is needed no more."""
    x, a = _summed(x, a, (*b, *needed))
    y, b = _summed(y, b, (*a, *needed))
    sizes = _sizes(x, a, y, b)
    both = [label for label in a if label in b]
    batch, summed = tuple(n for n in both if n in needed), tuple(n for n in both if n not in needed)
    left, right = tuple(n for n in a if n not in b), tuple(n for n in b if n not in a)
    x, y = (_widened(z, labels, both, sizes) for z, labels in ((x, a), (y, b)))
    count = lambda labels: prod(sizes[label] for label in labels)
    stack = (count(batch),) if batch else ()
    p = _arranged(x, a, (*batch, *left, *summed)).reshape(*stack, count(left), count(summed))
    q = _arranged(y, b, (*batch, *summed, *right)).reshape(*stack, count(summed), count(right))
    if p.form.dtype is not q.form.dtype:  # one of them was summed, and integers are summed as int64
        common = promote(p.form.dtype, q.form.dtype)
        p, q = converted(p, common), converted(q, common)
    labels = (*batch, *left, *right)
    return matmul(p, q).reshape([sizes[label] for label in labels]), labels


def _sizes(x: Tensor, a: Labels, y: Tensor, b: Labels) -> dict[Any, int]:
    sizes = dict(zip(a, x.form.shape))
    for label, n in zip(b, y.form.shape):
        before = sizes.get(label, n)
        if before != n and 1 not in (before, n):
            raise RuntimeError(
                message(
                    "einsum",
                    f"operands do not broadcast: subscript {label} has size {before} in one and {n} in another",
                )
            )
        sizes[label] = n if before == 1 else before
    return sizes


def _widened(x: Tensor, labels: Labels, both: list, sizes: dict[Any, int]) -> Tensor:
    """x with dimensions of size 1 expanded where the other operand has more."""
    wanted = [sizes[label] if label in both else n for label, n in zip(labels, x.form.shape)]
    return x if list(x.form.shape) == wanted else x.expand(wanted)


@spelled(("torch",))
def einsum(*args: Any) -> Tensor:
    """Products of operands summed over dimensions, by Einstein's convention: einsum("ij,jk->ik", x, y) is x @ y.

    Each operand's dimensions have letters, "..." stands for any others. Letters on the right of "->" remain, the others are
    summed over; without "->" those that appear once remain, in alphabetical order. Also einsum(x, [0, 1], y, [1, 2], [0, 2]).

    >>> x = torch.arange(4.0).reshape(2, 2)
    >>> torch.einsum("ij,ij->i", x, x), torch.einsum("ii", x)
    (tensor([ 1., 13.]), tensor(3.))
    """
    if len(args) < 2:
        raise ValueError(
            "einsum(): must specify the equation string and at least one operand, or at least one operand and its subscripts list"
        )
    if isinstance(args[0], str):
        equation, *rest = args
        if len(rest) == 2:
            return _of_two.find(*rest, equation)
        operands = list(rest[0]) if len(rest) == 1 and isinstance(rest[0], (list, tuple)) else rest
        inputs, output = _labels_of(operands, equation)
    else:
        operands, inputs, output = _from_lists(args)
    return _contracted([_diagonals(x, labels) for x, labels in zip(operands, inputs)], output)


def _labels_of(operands: Sequence[Any], equation: str) -> tuple[list[Labels], Labels]:
    for i, x in enumerate(operands):
        check_tensor("einsum", x, "operands", i + 2)
    return _read(equation, tuple([x.form.rank for x in operands]))


@door(2)
def _of_two(x: Tensor, y: Tensor, equation: str) -> Any:
    """What is known of the product of two operands, or the result."""
    (a, b), output = _labels_of((x, y), equation)
    if _is_product(x.form, y.form, a, b, output):
        return _product.known(x, y, a, b, output)
    return _contracted([_diagonals(x, a), _diagonals(y, b)], output)


def _contracted(terms: list[tuple[Tensor, Labels]], output: Labels) -> Tensor:
    (x, a), *rest = terms
    for i, (y, b) in enumerate(rest):
        later = tuple(label for _, labels in rest[i + 1 :] for label in labels)
        x, a = _pair(x, a, y, b, (*output, *later))
    x, a = _summed(x, a, output)
    return _arranged(x, a, output)


# ---------------------------------------------------------------- two operands as one product
def _is_product(x: Form, y: Form, a: Labels, b: Labels, output: Labels) -> bool:
    """Whether nothing has to be summed, expanded, converted or taken from a diagonal before the product."""
    if x.dtype is not y.dtype or x.dtype.kind != "f" or x.device is not y.device or not (x.numel and y.numel):
        return False
    sizes = dict(zip(b, y.shape))
    fits = all(sizes.get(label, n) == n for label, n in zip(a, x.shape))
    single = len(set(a)) == len(a) and len(set(b)) == len(b)
    return fits and single and {*a} <= {*b, *output} and {*b} <= {*a, *output}


@remembered("ViewBackward0", 2, kept=(0, 1))
def _product(x: Form, y: Form, a: Labels, b: Labels, output: Labels) -> Plan:
    """The product of operands with labels a and b, their dimensions put together to matrices where they lie."""
    sizes = {**dict(zip(a, x.shape)), **dict(zip(b, y.shape))}
    alone = [label for label in output if (label in a) != (label in b)]
    if alone and alone[0] in b:  # so that the result lies in order
        turned = _product.make(y, x, b, a, output)
        return lambda x, y: turned(y, x)
    count = lambda labels: prod(sizes[label] for label in labels)
    batch, left = [n for n in output if n in a and n in b], [n for n in output if n not in b]
    summed, right = [n for n in a if n not in output], [n for n in output if n not in a]
    stack = (count(batch),) if batch else ()
    of_x, p = _matrix(x, a, (*batch, *left, *summed), (*stack, count(left), count(summed)))
    of_y, q = _matrix(y, b, (*batch, *summed, *right), (*stack, count(summed), count(right)))
    labels = (*batch, *left, *right)
    steps = dict(zip(labels, contiguous_strides([sizes[label] for label in labels])))
    made = form(x.dtype, x.device, tuple([sizes[n] for n in output]), tuple([steps[n] for n in output]))
    plan = plan_product("einsum", p, q, None, made)
    return lambda x, y: plan(of_x(x) if of_x else x, of_y(y) if of_y else y, 0)


def _matrix(f: Form, labels: Labels, order: Labels, shape: tuple[int, ...]) -> tuple[Any, Form]:
    """A tensor's form as that of matrices; and what copies it, if its elements do not lie so."""
    places = [labels.index(label) for label in order]
    seen = f.viewed(tuple([f.shape[i] for i in places]), tuple([f.strides[i] for i in places]))
    strides = view_strides(seen.shape, seen.strides, shape)
    if strides is not None:
        return None, f.viewed(shape, strides)
    flat = form(f.dtype, f.device, tuple(seen.shape))
    return (lambda x: copied_as(make(x.capsule, x.offset, seen), flat)), form(f.dtype, f.device, shape)


@_product.backward
def _(node: Any, g: Tensor) -> tuple:
    x, y, a, b, output = node.kept()
    return (
        _product(g, y, output, b, a) if node.wants(0) else None,
        _product(g, x, output, a, b) if node.wants(1) else None,
    )


@_product.parts
def _(call: Any, things: list[Tensor], g: Tensor) -> list[Part]:
    (x, y), (a, b, output) = things, call.options
    of_x, of_y = _product.known(g, y, output, b, a), _product.known(g, x, output, a, b)
    return [Part(of_x.bare, (2, 1)), Part(of_y.bare, (2, 0))]


# ---------------------------------------------------------------- relatives
@spelled(("torch",))
def tensordot(a: Tensor, b: Tensor, dims: Any = 2, out: Tensor | None = None) -> Tensor:
    """The product of a and b summed over pairs of dimensions.

    dims: how many, the last of a with the first of b; or two lists of dimensions.

    >>> torch.tensordot(torch.ones(2, 3), torch.ones(3, 4), 1).shape
    torch.Size([2, 4])
    """
    if isinstance(dims, Tensor):
        dims = dims.tolist()
    if isinstance(dims, int):
        if dims < 0:
            raise RuntimeError(f"tensordot expects dims >= 0, but got dims={dims}")
        dims = (list(range(-dims, 0)), list(range(dims)))
    first, second = ([d] if isinstance(d, int) else list(d) for d in dims)
    if len(first) != len(second):
        raise RuntimeError(
            message("tensordot", f"both dimension lists should have same length, got {first} and {second}")
        )
    first, second = wrap_dims("tensordot", first, a.form.rank), wrap_dims("tensordot", second, b.form.rank)
    labels = list(range(a.form.rank))
    others = list(range(a.form.rank, a.form.rank + b.form.rank))
    for i, j in zip(first, second):
        n, m = a.form.shape[i], b.form.shape[j]
        if n != m and 1 in (n, m):  # the size 1 stands for all: the other is summed over
            a = a if n == 1 else a.sum(i, keepdim=True, dtype=a.dtype)  # type: ignore[attr-defined]
            b = b if m == 1 else b.sum(j, keepdim=True, dtype=b.dtype)  # type: ignore[attr-defined]
        elif n != m:
            raise RuntimeError(
                message(
                    "tensordot",
                    f"dimensions to be summed have sizes {a.form.shape[i]} (dim {i} of a) and {b.form.shape[j]} (dim {j} of b)",
                )
            )
        others[j] = labels[i]
    output = tuple(n for n in labels if n not in others) + tuple(n for n in others if n not in labels)
    result = _contracted([(a, tuple(labels)), (b, tuple(others))], output)
    return result if out is None else write_out("tensordot", out, result)


@spelled()
def inner(input: Tensor, other: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The products summed over the last dimension of both; for numbers their product.

    >>> torch.inner(torch.tensor([1, 2]), torch.tensor([3, 4]))
    tensor(11)
    """
    if not input.form.rank or not other.form.rank:
        result = input * other
    else:
        if input.form.shape[-1] != other.form.shape[-1]:
            wrong = f"the last dimensions of {tuple(input.form.shape)} and {tuple(other.form.shape)} differ"
            raise RuntimeError(message("inner", wrong))
        result = tensordot(input, other, ([-1], [-1]))
    return result if out is None else write_out("inner", out, result)


@spelled()
def vdot(input: Tensor, other: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The inner product of two vectors, the first one conjugated."""
    return input.conj().dot(other, out=out) if input.is_complex() else input.dot(other, out=out)


@spelled()
def kron(input: Tensor, other: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Kronecker's product: a block of `other` for each element of input.

    >>> torch.kron(torch.tensor([1, 2]), torch.tensor([1, 10]))
    tensor([ 1, 10,  2, 20])
    """
    rank = max(input.form.rank, other.form.rank)
    a, b = ((1,) * (rank - x.form.rank) + tuple(x.form.shape) for x in (input, other))
    x = input.reshape([n for m in a for n in (m, 1)])
    y = other.reshape([n for m in b for n in (1, m)])
    result = (x * y).reshape([n * m for n, m in zip(a, b)])
    return result if out is None else write_out("kron", out, result)
