"""What compile made of a function: its regions, where and why it was cut, and the kernels of each region.

    print(mashal.explain(step, x, y))

The function is called, really, until it is recorded. Times are measured kernel by kernel, on the memory of the recorded call; what
that changes is put back.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from mashal.capture.compiled import Recordings, compiled
from mashal.capture.messages import place, why_cut
from mashal.capture.picture import bars
from mashal.capture.program import RANDOM_BYTES, Program
from mashal.capture.structure import flatten
from mashal.capture.trail import MADE, UpdateStep
from mashal.core.generator import default_generator
from mashal.lang.expression import walk
from mashal.lang.recipes import Elements, Product, Rows
from mashal.machine import memory

CALLS = 3  # at most so many, until what a first call makes (an optimizer's states) is there
RUNS = 3  # of each kernel; the fastest counts
_QUIET = ("operand", "scalar", "constant", "cast", "place", "length")


@dataclass(frozen=True)
class Kernel:
    """name; operations: what it was made of; read and written in bytes; arithmetic: about how many; time in seconds."""

    name: str
    operations: tuple[str, ...]
    read: int
    written: int
    arithmetic: int
    time: float


@dataclass(frozen=True)
class Region:
    """One recorded region. recorded: how many operations the recording saw; scratch: bytes for intermediate results."""

    name: str
    kernels: list[Kernel]
    recorded: int
    scratch: int
    kept: int


@dataclass
class Explanation:
    """What `explain` returns: print it, or let a notebook draw it.

    cuts: (place, reason) for each part that runs as it is written.
    """

    name: str
    regions: list[Region] = field(default_factory=list)
    cuts: list[tuple[str, str]] = field(default_factory=list)

    @property
    def time(self) -> float:
        """Seconds in kernels."""
        return sum(kernel.time for region in self.regions for kernel in region.kernels)

    def __str__(self) -> str:
        lines = [
            f"{self.name}: {_count(len(self.regions), 'region')}, {_count(len(self.cuts), 'cut')}, {_seconds(self.time)} in kernels"
        ]
        for where, why in self.cuts:
            lines.append(f"  cut at {where}: {why}")
        for region in self.regions:
            lines += ["", *_table(region)]
        return "\n".join(lines)

    __repr__ = __str__

    def svg(self) -> str:
        """The kernels as bars, as long as they take."""
        rows = []
        for region in self.regions:
            for k in region.kernels:
                note = f"{_seconds(k.time)}, {_bytes(k.read + k.written)}, {_number(k.arithmetic)} operations"
                rows.append((f"{region.name} · {k.name}", k.time, note))
        return bars(str(self).splitlines()[0], rows)

    _repr_svg_ = svg

    def save(self, path: str) -> None:
        """Writes the picture to a file."""
        with open(path, "w", encoding="utf-8") as file:
            file.write(self.svg())


def explain(fn: Callable[..., Any], *args: Any, **options: Any) -> Explanation:
    """What compile makes of fn for these arguments. fn: a function or module, compiled or not; it is called.

    >>> print(torch.explain(lambda x: (x * 2 + 1).relu(), torch.ones(3)))  # doctest: +ELLIPSIS
    <lambda>: 1 region, 0 cuts, ... in kernels
    ...
    """
    known = _recordings_of(fn)
    call = fn if known is not None else compiled(fn)
    known = known or call.recordings  # type: ignore[attr-defined]
    for _ in range(CALLS):
        call(*args, **options)
        if known.all or known.regions:
            break
    call(*args, **options)
    found = Explanation(known.name)
    leaves: list[Any] = []
    structure = flatten((args, options), leaves)
    growing, _ = known.growing_for(structure, leaves)
    if growing is None or any(x.structure == structure and x.takes(leaves) for x in known.all):
        _describe(known, found)
    else:
        growing.tune(growing.most)
        sizes = f"{growing.least} to {growing.most}"
        found.regions.append(_region(f"{known.name} for sizes {sizes}, here the last", growing.recording.program))
    return found


def _recordings_of(fn: Any) -> Recordings | None:
    """What compile keeps of a function or a module, if it is compiled."""
    for holder in (fn, getattr(fn, "forward", None), getattr(fn, "_compiled_call_impl", None)):
        found = getattr(holder, "recordings", None)
        if isinstance(found, Recordings):
            return found
    return None


def _describe(known: Recordings, found: Explanation) -> None:
    found.cuts += [(place(list(cut.frames)), why_cut(cut)) for cut in known.cuts]
    if known.refusal and not known.cuts:
        found.cuts.append((known.name, known.refusal))
    for recording in known.all[:1]:
        found.regions.append(_region(known.name, recording.program))
        for finish in recording.after:
            if hasattr(finish, "program"):
                found.regions.append(_region(f"backward of {known.name}", finish.program.program))
    for region in known.regions:
        _describe(region, found)


def _region(name: str, program: Program) -> Region:
    steps = [step for step in program.plan.trail.steps if isinstance(step, UpdateStep) or step.call.kernel]
    times = _times(program)
    kernels = [_kernel(step, seconds) for step, seconds in zip(steps, times)]
    outliving = sum(value.buffer.nbytes for value, _ in program.plan.results)
    return Region(name, kernels, sum(len(_leaves(step)) for step in steps), program.arena, outliving)


def _leaves(step: Any) -> list[Any]:
    """The recorded steps that a step is made of."""
    parts = getattr(step, "parts", ())
    return [leaf for part in parts for leaf in _leaves(part)] if parts else [step]


def _kernel(step: Any, seconds: float) -> Kernel:
    names = [leaf.name or "copy" for leaf in _leaves(step)]
    inside = sum(map(_arithmetic, _leaves(step)))
    size = lambda values: sum(v.form.numel * v.form.dtype.itemsize for v in values)
    title = " + ".join(dict.fromkeys(names)) if len(names) > 1 else names[0]
    return Kernel(title, tuple(names), size(step.read), size(step.written), inside, seconds)


def _arithmetic(step: Any) -> int:
    """About how many additions, products and functions a step computes."""
    if isinstance(step, UpdateStep):
        return 8 * sum(line[0].form.numel for line in step.lines)
    recipe = step.recipe
    if isinstance(recipe, Product):
        return 2 * recipe.result.numel * recipe.a.shape[-1]
    if isinstance(recipe, (Elements, Rows)):
        numel = 1
        for n in recipe.shape:
            numel *= n
        return numel * sum(node.kind not in _QUIET for node in walk(e for e, _ in recipe.nest.results))
    return step.call.work


# ---------------------------------------------------------------- times
def _times(program: Program) -> list[float]:
    """Seconds of each kernel; one after another, with the words of the last replay."""
    with _put_back(program):
        times = []
        for kernel, words in program.tables.launches:
            run = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p)(kernel)
            best = float("inf")
            for _ in range(RUNS):
                start = time.perf_counter()
                run(words)
                best = min(best, time.perf_counter() - start)
            times.append(best)
        return times


@contextmanager
def _put_back(program: Program) -> Iterator[None]:
    """Gives the kernels memory of their own for what each call makes anew, and afterwards puts back what they changed."""
    trail = program.plan.trail
    changed = dict.fromkeys(
        v.buffer for step in trail.steps for v in step.written if v.buffer.source is not MADE and v.buffer.capsule
    )
    before = [(memory.address_of(b.capsule), ctypes.string_at(memory.address_of(b.capsule), b.nbytes)) for b in changed]
    random = ctypes.string_at(default_generator.address, RANDOM_BYTES)
    lent = program.lend()
    try:
        yield
    finally:
        for address, bytes in before:
            ctypes.memmove(address, bytes, len(bytes))
        ctypes.memmove(default_generator.address, random, RANDOM_BYTES)
        program.take_back(lent)


# ---------------------------------------------------------------- words
def _table(region: Region) -> list[str]:
    total = sum(k.time for k in region.kernels)
    lines = [
        f"{region.name}: {region.recorded} operations in {_count(len(region.kernels), 'kernel')}, {_seconds(total)}; "
        f"{_bytes(region.scratch)} for intermediate results, {_bytes(region.kept)} handed on",
        f"  {'':>3}  {'time':>9}  {'read':>9}  {'written':>9}  {'arithmetic':>10}  kernel",
    ]
    for i, k in enumerate(region.kernels):
        lines.append(
            f"  {i:>3}  {_seconds(k.time):>9}  {_bytes(k.read):>9}  {_bytes(k.written):>9}  {_number(k.arithmetic):>10}  "
            + (" + ".join(k.operations) if len(k.operations) <= 8 else f"{k.name} ({len(k.operations)} operations)")
        )
    return lines


def _count(n: int, what: str) -> str:
    return f"{n} {what}{'' if n == 1 else 's'}"


def _seconds(t: float) -> str:
    return f"{t:.2f} s" if t >= 1 else f"{t * 1e3:.2f} ms" if t >= 1e-3 else f"{t * 1e6:.2f} us"


def _bytes(n: int) -> str:
    for unit in ("B", "KB", "MB"):
        if n < 1000:
            return f"{n:.3g} {unit}"
        n = n / 1000  # type: ignore[assignment]
    return f"{n:.3g} GB"


def _number(n: int) -> str:
    for unit in ("", " K", " M"):
        if n < 1000:
            return f"{n:.3g}{unit}"
        n = n / 1000  # type: ignore[assignment]
    return f"{n:.3g} G"
