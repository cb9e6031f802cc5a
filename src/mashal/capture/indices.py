"""What is known of the indices of a recorded call: which parts they chose, and within which limits they lie.

`x[i]` with a tensor of one integer is a view of x where it is run eagerly, and the copy that a kernel makes where it is recorded.
Nobody can tell the two apart until x, or the part, is changed, or the part is returned: `Chosen` says where that happens.

A kernel that looks at indices fails where one is out of range. `Limits` says of which kernels that cannot be, because one before has
looked at the same indices.
"""

from __future__ import annotations

from typing import Any

from mashal.capture.trail import Buffer, Step

__all__ = ["Chosen", "Limits"]


class Chosen:
    """The parts that tensors of one integer chose: copies, where eagerly they are views."""

    def __init__(self) -> None:
        self._parts: list[tuple[Buffer, Buffer]] = []
        self._outdated: set[Buffer] = set()

    def note(self, whole: Buffer, part: Buffer) -> None:
        """A part of a buffer was chosen."""
        self._parts.append((whole, part))

    def has(self, buffer: Buffer | None) -> bool:
        """Whether a buffer is such a part."""
        return any(part is buffer for _, part in self._parts)

    def changes(self, whole: Buffer) -> None:
        """A buffer is about to change, so what was chosen of it is not what it was."""
        self._outdated.update(part for of, part in self._parts if of is whole)

    def is_outdated(self, buffer: Buffer) -> bool:
        """Whether a view would see other values by now."""
        return buffer in self._outdated


class Limits:
    """Between which limits the indices lie that kernels have looked at: (least, one beyond the largest)."""

    def __init__(self) -> None:
        self._known: dict[tuple[Buffer, int, Any], tuple[int, int]] = {}

    def may_fail(self, fail: Any, step: Step) -> bool:
        """Whether a kernel may find an index out of range that none before it has found within the same limits.

        fail: what its plan calls where an index is out of range; None if it looks at none.
        """
        limits = getattr(fail, "limits", None)
        if fail is None or limits is None:
            return fail is not None
        unknown = False
        for x, (least, beyond) in zip(step.operands[-len(limits) :], limits):
            place = x.buffer, x.offset, x.form
            known = self._known.get(place)
            if known is None or known[0] < least or known[1] > beyond:
                unknown, self._known[place] = True, (least, beyond)
        return unknown

    def forget(self, buffer: Buffer) -> None:
        """A buffer is about to change: nothing is known of indices in it."""
        self._known = {place: limits for place, limits in self._known.items() if place[0] is not buffer}
