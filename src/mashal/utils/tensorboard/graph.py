"""The operations behind a model's result, as TensorBoard's graph: read from the history that backward would follow."""

from __future__ import annotations

from typing import Any

from mashal.core.tensor import Tensor
from mashal.errors import message as error
from mashal.utils.tensorboard.messages import field, integer, message

__all__ = ["graph_of"]


def graph_of(model: Any, inputs: Any) -> bytes:
    """The GraphDef message of a model that is run once on inputs (a tensor or a tuple)."""
    given = inputs if isinstance(inputs, (tuple, list)) else (inputs,)
    copies = [x.detach().requires_grad_() if isinstance(x, Tensor) and x.is_floating_point() else x for x in given]  # type: ignore[attr-defined]
    result = model(*copies)
    results = [x for x in (result if isinstance(result, (tuple, list)) else (result,)) if isinstance(x, Tensor)]
    roots = [x.grad_fn for x in results if x.grad_fn is not None]  # type: ignore[attr-defined]
    if not roots:
        raise RuntimeError(
            error("add_graph", "the model's result has no history", "its parameters or inputs must require grad")
        )
    names = {id(p): name for name, p in model.named_parameters()} if hasattr(model, "named_parameters") else {}
    names |= {id(x): f"input/{i}" for i, x in enumerate(copies) if isinstance(x, Tensor)}
    nodes = _Nodes(names)
    for i, root in enumerate(roots):
        nodes.add(f"output/{i}", "Output", [nodes.of(root)])
    return message(*nodes.made, field(4, integer(1, 22)))


class _Nodes:
    """The nodes made so far, and how they are called."""

    def __init__(self, names: dict[int, str]):
        self.names, self.made, self.known = names, [], {}

    def add(self, name: str, operation: str, inputs: list[str]) -> str:
        parts = [field(1, name), field(2, operation), *(field(3, i) for i in inputs)]
        self.made.append(field(1, message(*parts)))
        return name

    def of(self, root: Any) -> str:
        """The name of a node of the history, after all that it stands on."""
        waiting = [root]
        while waiting:
            node = waiting[-1]
            if node in self.known:
                waiting.pop()
                continue
            before = [n for n, _ in node.next_functions if n is not None]
            missing = [n for n in before if n not in self.known]
            if missing:
                waiting += missing
                continue
            waiting.pop()
            self.known[node] = self._named(node, [self.known[n] for n in before])
        return self.known[root]

    def _named(self, node: Any, inputs: list[str]) -> str:
        variable = getattr(node, "variable", None)
        if variable is not None:
            name = self.names.get(id(variable), f"tensor/{len(self.known)}")
            return self.add(name.replace(".", "/"), "Input" if name.startswith("input") else "Parameter", [])
        operation = node.name().removesuffix("0").removesuffix("Backward")
        return self.add(f"{operation}_{len(self.known)}", operation, inputs)
