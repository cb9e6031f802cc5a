"""A recording: a call that can be replayed, and how its answer is built."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from mashal.capture.guards import Guard, same
from mashal.capture.messages import broken, short
from mashal.capture.places import Place
from mashal.capture.program import MISS, Program
from mashal.capture.structure import rebuild
from mashal.capture.together import Changes
from mashal.core.forms import Form

Finish = Callable[[Sequence[Any], Sequence[Any], list[Any]], None]
"""What is left to do in Python after a replay: with the call's leaves, what the replay made, and the leaves of the answer."""


@dataclass(eq=False)
class Recording:
    """A call that can be replayed.

    places: of the leaves, those that are the replay's operands; fixed: (place, object) the other leaves. answers: how each
    leaf of the answer is built. direct: what takes the call's own arguments, if they are a flat list.
    """

    structure: Any
    program: Program
    fixed: list[tuple[int, Any]]
    places: list[int]
    shape: Any
    answers: list[Any]
    after: list[Finish]
    guards: list[Guard]
    direct: Callable[..., Any] | None = None
    placed: int = 0
    """How many of the leaves, the last ones, are no arguments' but come from other places."""
    stores: Sequence[Place] = ()
    """The places that a replay sets; what it puts there comes behind the answer, as parts of it."""
    without_gradient: Sequence[int] = ()
    """The leaves that have to come without a gradient."""
    picked: Sequence[Any] = ()
    """The keys by which the program took things out of lists and the like, if it was rehearsed."""

    @cached_property
    def changes(self) -> Changes:
        """What a replay changes of what was there before."""
        return Changes(self)

    def __post_init__(self) -> None:
        n = len(self.fixed) + len(self.places) - self.placed
        if self.structure[:3] == _flat(n):
            plain = not self.after and not self.fixed and self.shape is None
            plain = plain and not self.program.plan.others and not self.without_gradient
            self.direct = self.program.replay if plain and self.answers[0].is_all_of(self.program) else self._flat

    def answer(self, leaves: Sequence[Any]) -> Any:
        """The call's answer; MISS if it is another call. Guards whose values are equal are set right, if that is needed."""
        if not all(leaves[i] is x or same(leaves[i], x) for i, x in self.fixed):
            return MISS
        found = self(leaves)
        return self(leaves) if found is MISS and self.takes(leaves) and self.program.adapt() else found

    def takes(self, leaves: Sequence[Any]) -> bool:
        """Whether tensors have the shapes (and dtypes and strides) of those recorded."""
        operands = zip(self.places, self.program.plan.operands)
        return all(
            operand.value is None or operand.value.form is getattr(leaves[i], "form", None) for i, operand in operands
        )

    def difference(
        self, structure: Any, leaves: Sequence[Any], names: Sequence[str] = (), held: Sequence[Guard] = ()
    ) -> str:
        """What about a call is not as it was recorded, in words. names: of the parameters, where each is given one leaf; held:
        where the last leaves are held."""
        if structure != self.structure:
            return "the arguments are others (how many, their names, or how they are nested)"
        told = names if structure == _flat(len(names)) else ()
        given = len(leaves) - self.placed

        def argument(i: int) -> str:
            if i >= given:
                return held[i - given].what if held else "what is held outside"
            return f"argument `{told[i]}`" if told else f"argument {i}"

        for i, x in self.fixed:
            if not same(leaves[i], x):
                was, now = short(x), short(leaves[i])
                return f"{argument(i)} was {was} and is {now if now != was else f'another {now[2:]}'}"
        for i, operand in zip(self.places, self.program.plan.operands):
            was, now = operand.value and operand.value.form, getattr(leaves[i], "form", None)
            if was is not None and was is not now:
                return f"{argument(i)} was {_seen(was)} and is {_seen(now) if now else short(leaves[i])}"
        for guard in self.guards:
            if not guard.holds():
                return broken(guard)
        return "a module, a parameter or an optimizer is another one"

    def _flat(self, *leaves: Any) -> Any:
        for i, x in self.fixed:
            if i >= len(leaves) or leaves[i] is not x:
                return MISS
        return MISS if len(leaves) != len(self.fixed) + len(self.places) else self(leaves)

    def __call__(self, leaves: Sequence[Any]) -> Any:
        """The call's answer; MISS if something is not as recorded, or an index is out of range."""
        if not self.program.others_hold() or any(leaves[i].grad_ is not None for i in self.without_gradient):
            return MISS
        made = self.program.replay(*[leaves[i] for i in self.places])
        if made is MISS:
            return MISS
        made = made if type(made) is tuple else (made,)
        built = [answer(leaves, made) for answer in self.answers]
        for finish in self.after:
            finish(leaves, made, built)
        if not self.stores:
            return rebuild(self.shape, built)
        answer, *left = rebuild(self.shape, built)
        self.program.leave(self.stores, left)
        return answer


def _seen(f: Form) -> str:
    return f"a {f.dtype} tensor {tuple(f.shape)}" + ("" if f.contiguous else f" with strides {tuple(f.strides)}")


def _flat(n: int) -> tuple:
    return (tuple, (tuple, *[None] * n), (dict, ()))
