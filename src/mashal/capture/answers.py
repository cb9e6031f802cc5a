"""How the answer of a replayed call is built, and what is left to do in Python after a replay.

An answer is called with the call's leaves and what the replay made; a step after it with the leaves of the answer besides.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from mashal.capture import history
from mashal.core.tensor import Tensor, alias, bump, new_view, version_of
from mashal.core.tensor import make as make_at


class Answer:
    def __call__(self, leaves: Sequence[Any], made: Sequence[Any]) -> Any:
        """The part of the answer, from the call's leaves and what the replay made."""
        raise NotImplementedError

    def is_all_of(self, program: Any) -> bool:
        """Whether it is just what the program's replay returns."""
        return False


@dataclass
class Constant(Answer):
    value: Any

    def is_all_of(self, program: Any) -> bool:
        return self.value is None and not program.plan.returned

    def __call__(self, leaves: Sequence[Any], made: Sequence[Any]) -> Any:
        return self.value


@dataclass
class Argument(Answer):
    index: int

    def __call__(self, leaves: Sequence[Any], made: Sequence[Any]) -> Any:
        return leaves[self.index]


@dataclass
class Made(Answer):
    place: int

    def is_all_of(self, program: Any) -> bool:
        return program.plan.returned == 1

    def __call__(self, leaves: Sequence[Any], made: Sequence[Any]) -> Any:
        return made[self.place]


@dataclass
class Further(Answer):
    """A further tensor over the memory of a result."""

    place: int
    form: Any
    offset: int

    def __call__(self, leaves: Sequence[Any], made: Sequence[Any]) -> Any:
        return new_view(made[self.place], self.form, self.offset)


@dataclass
class Gradient(Answer):
    """The gradient that a tensor has."""

    tensor: Tensor

    def __call__(self, leaves: Sequence[Any], made: Sequence[Any]) -> Any:
        return self.tensor.grad_


@dataclass
class Whole(Answer):
    """The memory of a result, without its history."""

    place: int

    def __call__(self, leaves: Sequence[Any], made: Sequence[Any]) -> Any:
        return alias(made[self.place])


@dataclass
class Over(Answer):
    """A tensor without history over the memory of an operand (`offset` elements from its first one on) or of a result."""

    place: int
    of_operand: bool
    form: Any
    offset: int

    def __call__(self, leaves: Sequence[Any], made: Sequence[Any]) -> Any:
        source = leaves[self.place] if self.of_operand else made[self.place]
        if source.form is self.form and not (self.offset if self.of_operand else self.offset - source.offset):
            return source
        return make_at(source.capsule, (source.offset if self.of_operand else 0) + self.offset, self.form)


@dataclass
class Seen(Answer):
    """A new tensor over the memory of an argument, `offset` elements from its first one on, or over that of a tensor that was
    there before."""

    argument: int | None
    like: Tensor | None
    form: Any
    offset: int

    def __call__(self, leaves: Sequence[Any], made: Sequence[Any]) -> Any:
        if self.like is not None:
            return new_view(self.like, self.form, self.offset)
        assert self.argument is not None
        source = leaves[self.argument]
        return new_view(source, self.form, source.offset + self.offset)


# ---------------------------------------------------------------- what is done after a replay
@dataclass
class Bumped:
    """An argument has been changed in place."""

    place: int
    by: int

    def __call__(self, leaves: Sequence[Any], made: Sequence[Any], built: list[Any]) -> None:
        for _ in range(self.by):
            bump(leaves[self.place])


@dataclass
class Wanting:
    """A part of the answer that the call made is a leaf, to which gradients come."""

    index: int

    def __call__(self, leaves: Sequence[Any], made: Sequence[Any], built: list[Any]) -> None:
        built[self.index].requires_grad_()


@dataclass
class Wishing:
    """Of an argument it was set whether it wants a gradient."""

    place: int
    wanted: bool

    def __call__(self, leaves: Sequence[Any], made: Sequence[Any], built: list[Any]) -> None:
        leaves[self.place].requires_grad_(self.wanted)


@dataclass
class Received:
    """An argument that had no gradient has got one, which is built like a part of the answer."""

    place: int
    index: int

    def __call__(self, leaves: Sequence[Any], made: Sequence[Any], built: list[Any]) -> None:
        leaves[self.place].grad_ = built[self.index]


@dataclass
class Repeated:
    function: Callable[[], Any]

    def __call__(self, leaves: Sequence[Any], made: Sequence[Any], built: list[Any]) -> None:
        self.function()


@dataclass
class Remembered:
    """The results get their history: one node.

    ends: where its gradients go, a leaf's place, ~ the place of a leaf of the answer, a tensor, or None: nowhere. places: (leaf of the
    answer, output of the node). kept, watched: what backward reads, each with the results that it is needed for. again: how
    the call is made once more, if it can be. alone: programs for the gradient of one result only.
    """

    program: history.BackwardProgram
    kept: list[tuple[Answer, set[int]]]
    watched: list[tuple[Tensor, set[int]]]
    ends: list[Any]
    places: list[tuple[int, int]]
    results: int
    again: history.Again | None = None
    alone: list[history.BackwardProgram] = field(default_factory=list)

    def __call__(self, leaves: Sequence[Any], made: Sequence[Any], built: list[Any]) -> None:
        edges = []
        for end in self.ends:
            x = end if type(end) is not int else leaves[end] if end >= 0 else built[~end]
            edges.append(None if x is None or x.node is None else (x.node, x.output))
        kept = [answer(leaves, made) for answer, _ in self.kept]
        versions = [(x, version_of(x), results) for x, results in self.watched]
        versions += [(x, version_of(x), results) for x, (_, results) in zip(kept, self.kept)]
        again = None if self.again is None else (self.again, leaves)
        program = history.Choice(self.program, self.alone) if self.alone else self.program
        node = history.CompiledFunctionBackward(tuple(edges), (program, kept, versions, again), self.results)
        for i, output in self.places:
            built[i].node, built[i].output = node, output
