"""Drawing the graph that backward walks, as text: nodes with their operands below them.

MulBackward0
├─ AddBackward0
│  └─ AccumulateGrad (2,)
└─ AddBackward0 …              (drawn above)
"""

from __future__ import annotations

from collections.abc import Iterator

from mashal.core.tape import AccumulateGrad, Node
from mashal.core.tensor import Tensor
from mashal.errors import message

__all__ = ["draw"]

_LIMIT = 500


def draw(tensor: Tensor) -> str:
    """The graph of a tensor's history: each node once, a second time only by name with "…".

    At most 500 lines; RuntimeError if the tensor requires no gradient.

    >>> x = torch.ones(2, requires_grad=True)
    >>> print(torch.autograd.graph.draw((x * x).sum()))
    SumBackward0
    └─ MulBackward0
       ├─ AccumulateGrad (2,)
       └─ AccumulateGrad (2,)
    """
    if tensor.node is None:
        raise RuntimeError(message("draw", "the tensor does not require grad", "it has no graph"))
    lines = []
    for line in _lines(tensor.node):
        if len(lines) == _LIMIT:
            lines.append("…")
            break
        lines.append(line)
    return "\n".join(lines)


def _lines(root: Node) -> Iterator[str]:
    """The graph line by line; a chain of any length, since nothing here recurses."""
    drawn: set[Node] = set()
    todo = [(root, "", "")]  # node, what stands before its name, what stands before the lines below it
    while todo:
        node, before, below = todo.pop()
        if node in drawn and node.edges:
            yield f"{before}{_label(node)} …"
            continue
        drawn.add(node)
        yield f"{before}{_label(node)}"
        operands = [edge[0] for edge in node.edges if edge is not None]
        last = len(operands) - 1
        for position in range(last, -1, -1):
            turn, on = ("└─ ", "   ") if position == last else ("├─ ", "│  ")
            todo.append((operands[position], below + turn, below + on))


def _label(node: Node) -> str:
    if isinstance(node, AccumulateGrad) and node.variable is not None:
        return f"{node.name()} {tuple(node.variable.shape)}"
    return node.name()
