"""mashal.autograd.functional: derivatives of functions, as functions.

    jacobian   all derivatives of the outputs           vjp   v·J, one backward
    hessian    all second derivatives of one output     jvp   J·v, by two: v·J is linear in v, and its own backward is J·v
                                                        vhp, hvp   v·H and H·v likewise

Inputs and outputs are a tensor or a tuple of tensors; what is returned is nested in the same way. strict: an output that
doesn't depend on an input is an error instead of zeros. create_graph: whether the results can be differentiated again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mashal import ops
from mashal.autograd.roots import grad
from mashal.core.tape import enable_grad
from mashal.core.tensor import Tensor
from mashal.errors import message

__all__ = ["hessian", "hvp", "jacobian", "jvp", "vhp", "vjp"]

Tensors = tuple[Tensor, ...]


def vjp(
    func: Callable, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple[Any, Any]:
    """func(inputs), and v times its Jacobian. v: of the outputs' shapes; may be left out for one output of one element.

    >>> x = torch.tensor([1.0, 2.0])
    >>> torch.autograd.functional.vjp(lambda x: x * x, x, torch.tensor([1.0, 10.0]))
    (tensor([1., 4.]), tensor([ 2., 40.]))
    """
    with enable_grad():
        xs, ys, one_in, one_out = _called(func, inputs, "vjp", create_graph, strict)
        vs = _vector(v, ys, "vjp", "output")
        found = _filled(_grad(ys, xs, vs, create_graph), xs, strict, "vjp")
    return _finished(ys, one_out, create_graph), _finished(found, one_in, create_graph)


def jvp(
    func: Callable, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple[Any, Any]:
    """func(inputs), and its Jacobian times v. v: of the inputs' shapes; may be left out for one input of one element.

    >>> x = torch.tensor([1.0, 2.0])
    >>> torch.autograd.functional.jvp(lambda x: x * x, x, torch.tensor([1.0, 10.0]))
    (tensor([1., 4.]), tensor([ 2., 40.]))
    """
    with enable_grad():
        xs, ys, _, one_out = _called(func, inputs, "jvp", create_graph, strict)
        vs = _vector(v, xs, "jvp", "input")
        probes = tuple(ops.zeros_like(y).requires_grad_() for y in ys)
        rows = _filled(_grad(ys, xs, probes, True), xs, strict, "jvp")  # linear in the probes
        found = _filled(_grad(rows, probes, vs, create_graph), ys, strict, "jvp")
    return _finished(ys, one_out, create_graph), _finished(found, one_out, create_graph)


def jacobian(
    func: Callable,
    inputs: Any,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    strategy: str = "reverse-mode",
) -> Any:
    """The derivatives of each element of each output by each element of each input: (shape of output, shape of input).

    vectorize and strategy are accepted; the result doesn't depend on them.

    >>> torch.autograd.functional.jacobian(lambda x: x * x, torch.tensor([1.0, 2.0]))
    tensor([[2., 0.],
            [0., 4.]])
    """
    if strategy not in ("reverse-mode", "forward-mode"):
        raise ValueError(message("jacobian", f"strategy {strategy!r}", "expected 'reverse-mode' or 'forward-mode'"))
    if strict and vectorize:
        raise RuntimeError(
            message("jacobian", "strict=True and vectorize=True do not go together", "leave one of them out")
        )
    if strategy == "forward-mode" and create_graph:
        wrong = "create_graph=True with strategy='forward-mode'"
        raise NotImplementedError(message("jacobian", wrong, "use 'reverse-mode', which gives the same numbers"))
    with enable_grad():
        xs, ys, one_in, one_out = _called(func, inputs, "jacobian", create_graph, strict)
        blocks = []
        for y in ys:
            rows: list[list[Tensor]] = [[] for _ in xs]
            for element in y.reshape(-1):
                found = _filled(_grad((element,), xs, (None,), create_graph), xs, strict, "jacobian")
                for column, gradient in zip(rows, found):
                    column.append(gradient)
            shaped = [
                ops.stack(column).reshape(y.shape + x.shape) if column else x.new_zeros(y.shape + x.shape)
                for column, x in zip(rows, xs)
            ]
            blocks.append(_finished(tuple(shaped), one_in, create_graph))
    return blocks[0] if one_out else tuple(blocks)


def hessian(
    func: Callable,
    inputs: Any,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    outer_jacobian_strategy: str = "reverse-mode",
) -> Any:
    """The second derivatives of a function with one output of one element: (shape of input, shape of input).

    >>> torch.autograd.functional.hessian(lambda x: (x**3).sum(), torch.tensor([1.0, 2.0]))
    tensor([[ 6.,  0.],
            [ 0., 12.]])
    """
    one_in = isinstance(inputs, Tensor)

    def first(*xs: Tensor) -> Any:
        given = xs[0] if one_in else xs
        found = jacobian(
            lambda *arguments: _scalar(func(*arguments), "hessian"), given, create_graph=True, strict=strict
        )
        return (found,) if one_in else found

    blocks = jacobian(first, inputs, create_graph, strict, vectorize, outer_jacobian_strategy)
    return blocks[0] if one_in else blocks


def vhp(
    func: Callable, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple[Any, Any]:
    """func(inputs), of one element, and v times its Hessian. v: of the inputs' shapes.

    >>> torch.autograd.functional.vhp(lambda x: (x**3).sum(), torch.tensor([1.0, 2.0]), torch.ones(2))
    (tensor(9.), tensor([ 6., 12.]))
    """
    with enable_grad():
        xs, ys, one_in, _ = _called(func, inputs, "vhp", create_graph, strict)
        vs = _vector(v, xs, "vhp", "input")
        first = _filled(_grad((_scalar(ys, "vhp"),), xs, (None,), True), xs, strict, "vhp")
        found = _filled(_grad(first, xs, vs, create_graph), xs, strict, "vhp")
    return _finished(ys, True, create_graph), _finished(found, one_in, create_graph)


def hvp(
    func: Callable, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple[Any, Any]:
    """func(inputs), of one element, and its Hessian times v. v: of the inputs' shapes.

    A Hessian is symmetric where second derivatives are continuous; this one takes the derivative along v all the same.

    >>> torch.autograd.functional.hvp(lambda x: (x**3).sum(), torch.tensor([1.0, 2.0]), torch.ones(2))
    (tensor(9.), tensor([ 6., 12.]))
    """
    with enable_grad():
        xs, ys, one_in, _ = _called(func, inputs, "hvp", create_graph, strict)
        vs = _vector(v, xs, "hvp", "input")
        first = _filled(_grad((_scalar(ys, "hvp"),), xs, (None,), True), xs, strict, "hvp")
        probes = tuple(ops.zeros_like(x).requires_grad_() for x in xs)
        rows = _filled(_grad(first, xs, probes, True), xs, strict, "hvp")
        found = _filled(_grad(rows, probes, vs, create_graph), xs, strict, "hvp")
    return _finished(ys, True, create_graph), _finished(found, one_in, create_graph)


# ---------------------------------------------------------------- parts
def _called(
    func: Callable, inputs: Any, name: str, keep_graph: bool, strict: bool
) -> tuple[Tensors, Tensors, bool, bool]:
    """The inputs as they were given to func, its outputs, and whether each of the two was a lone tensor."""
    one_in = isinstance(inputs, Tensor)
    given = _tensors(inputs, name, "inputs")
    if keep_graph:
        xs = tuple(x.view_as(x) if x.requires_grad else x.detach().requires_grad_() for x in given)
    else:
        xs = tuple(x.detach().requires_grad_() for x in given)
    outputs = func(*xs)
    ys = _tensors(outputs, name, "outputs")
    for position, y in enumerate(ys):
        if strict and not y.requires_grad:
            wrong = f"output {position} of the function does not require gradients"
            raise RuntimeError(message(name, wrong, "with strict=True it has to be computed from the inputs"))
    return xs, ys, one_in, isinstance(outputs, Tensor)


def _tensors(given: Any, name: str, what: str) -> Tensors:
    several = (given,) if isinstance(given, Tensor) else tuple(given) if isinstance(given, (tuple, list)) else (given,)
    for position, x in enumerate(several):
        if not isinstance(x, Tensor):
            wrong = f"element {position} of {what} is a {type(x).__name__}"
            raise TypeError(message(name, wrong, f"{what} have to be either a Tensor or a tuple of Tensors"))
    return several


def _vector(v: Any, likes: Tensors, name: str, what: str) -> Tensors:
    """v as a tuple that fits the tensors, ones for a single element."""
    if v is None:
        if len(likes) != 1 or likes[0].numel() != 1:
            wrong = f"v can be left out only if there is one {what} with one element"
            raise RuntimeError(message(name, wrong, f"give v with the shape of each {what}"))
        return (ops.zeros_like(likes[0]) + 1,)
    vs = _tensors(v, name, "v")
    if len(vs) != len(likes):
        raise RuntimeError(message(name, f"v has {len(vs)} tensors", f"expected {len(likes)}, one for each {what}"))
    for position, (one, like) in enumerate(zip(vs, likes)):
        if one.shape != like.shape:
            wrong = f"element {position} of v is {tuple(one.shape)}"
            raise RuntimeError(message(name, wrong, f"expected the {what}'s shape, {tuple(like.shape)}"))
    return vs


def _scalar(outputs: Any, name: str) -> Tensor:
    ys = _tensors(outputs, name, "outputs")
    if len(ys) != 1 or ys[0].numel() != 1:
        wrong = f"the function gave {len(ys)} outputs of shapes {', '.join(str(tuple(y.shape)) for y in ys)}"
        raise RuntimeError(message(name, wrong, "expected a single tensor with a single element"))
    return ys[0].reshape(())


def _grad(ys: Tensors, xs: Tensors, vs: Any, create_graph: bool) -> tuple[Tensor | None, ...]:
    """Gradients, None where there is no way from an output to an input."""
    pairs = [(y, v) for y, v in zip(ys, vs) if y.requires_grad]
    if not pairs:
        return (None,) * len(xs)
    outputs, given = zip(*pairs)
    return grad(outputs, xs, given, retain_graph=True, create_graph=create_graph, allow_unused=True)


def _filled(found: tuple[Tensor | None, ...], likes: Tensors, strict: bool, name: str) -> Tensors:
    for position, gradient in enumerate(found):
        if gradient is None and strict:
            wrong = f"the outputs are independent of tensor {position}"
            raise RuntimeError(message(name, wrong, "with strict=True they have to depend on each"))
    return tuple(ops.zeros_like(x) if g is None else g for g, x in zip(found, likes))


def _finished(tensors: Tensors, one: bool, keep_graph: bool) -> Any:
    """What is returned: without history unless it is to be kept."""
    done = tensors if keep_graph else tuple(t.detach() for t in tensors)
    return done[0] if one else done
