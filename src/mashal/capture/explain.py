"""What compile made of a function: its regions, where and why it was cut, and the kernels of each region.

    print(mashal.explain(step, x, y))

The function is called, really, until it is recorded; then what the calls changed is put back (capture.before), so that a training step
can be looked at in the middle of training.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from os import PathLike, fspath
from typing import Any

from mashal.capture.before import Before
from mashal.capture.compiled import compiled
from mashal.capture.costs import Kernel, kernels_of, recorded_in
from mashal.capture.listing import LEGEND, blocks_of, count, lines_of, number, numbers, seconds, size, table
from mashal.capture.messages import place, why_cut
from mashal.capture.modules import is_module
from mashal.capture.noted import Obstacle
from mashal.capture.picture import Bar, bars
from mashal.capture.program import Program
from mashal.capture.recordings import Recordings, with_parts

__all__ = ["Explanation", "Kernel", "Region", "explain"]

CALLS = 12  # at most so many, until nothing new is recorded: each cut inside a cut takes one more


@dataclass(frozen=True)
class Region:
    """One recorded region. recorded: how many operations the recording saw; scratch: bytes for intermediate results; kept: bytes
    of what it hands on (results, gradients, what backward needs). backward: whether it is another one's."""

    name: str
    kernels: list[Kernel]
    recorded: int
    scratch: int
    kept: int
    backward: bool = False

    @property
    def time(self) -> float:
        """Seconds in its kernels."""
        return sum(k.time for k in self.kernels)

    @property
    def arithmetic(self) -> int:
        """How many operations on numbers its kernels do."""
        return sum(k.arithmetic for k in self.kernels)

    @property
    def title(self) -> str:
        """What it is made of, in a line."""
        if not self.kernels:
            return f"{self.name}: no kernels, nothing is computed with tensors"
        kernels = count(len(self.kernels), "kernel")
        return f"{self.name}: {count(self.recorded, 'operation')} in {kernels}, {seconds(self.time)}"

    @property
    def totals(self) -> str:
        """Arithmetic and memory of all kernels, in a line."""
        read, written = (sum(getattr(k, what) for k in self.kernels) for what in ("read", "written"))
        memory = f"{size(self.scratch)} for intermediate results, {size(self.kept)} handed on"
        return f"{number(self.arithmetic)}FLOP, {size(read)} read, {size(written)} written; {memory}"


@dataclass
class Explanation:
    """What `explain` returns: print it, save it, or let a notebook draw it.

    regions: what was recorded. cuts: (place, reason) for each place that could not be recorded. as_written: (name, reason)
    for what is not recorded at all, but runs as it is written.

    >>> found = torch.explain(lambda x: (x * 2).exp(), torch.ones(3))
    >>> found.cuts, [region.recorded for region in found.regions], found.svg()[:4]
    ([], [2], '<svg')
    """

    name: str
    regions: list[Region] = field(default_factory=list)
    cuts: list[tuple[str, str]] = field(default_factory=list)
    as_written: list[tuple[str, str]] = field(default_factory=list)

    @property
    def time(self) -> float:
        """Seconds in kernels."""
        return sum(region.time for region in self.regions)

    @property
    def title(self) -> str:
        """All of it in a line."""
        regions, cuts = count(len(self.regions), "region"), count(len(self.cuts), "cut")
        return f"{self.name}: {regions}, {cuts}, {seconds(self.time)} in kernels"

    def __str__(self) -> str:
        lines = [self.title, *(f"  {remark}" for remark in self._remarks())]
        if any(region.kernels for region in self.regions):
            lines.append(LEGEND)
        for region in self.regions:
            lines += ["", region.title]
            lines += [f"  {region.totals}", *table(region.kernels)] if region.kernels else []
        return "\n".join(lines)

    def _remarks(self) -> list[str]:
        cuts = [f"cut at {where}: {why}" for where, why in self.cuts]
        return cuts + [f"{name} runs as it is written: {why}" for name, why in self.as_written]

    __repr__ = __str__

    def svg(self) -> str:
        """The kernels as bars, as long as they take."""
        rows: list[Bar | str] = [*self._remarks()]
        for region in self.regions:
            rows.append(region.title)
            for block in blocks_of(region.kernels):
                rows += [_bar(k, block.times) for k in block.kernels]
        return bars(self.title, rows)

    _repr_svg_ = svg

    def save(self, path: str | PathLike[str]) -> None:
        """Writes the picture to a file; the text, if the file's name ends in .txt."""
        with open(path, "w", encoding="utf-8") as file:
            file.write(f"{self}\n" if fspath(path).endswith(".txt") else self.svg())


def _bar(k: Kernel, times: int) -> Bar:
    time, read, written, arithmetic, *rates = numbers(k)
    rate = "".join(f", {rate} {unit}" for rate, unit in zip(rates, ("GFLOP/s", "GB/s")) if rate)
    several = f"{times} times " if times > 1 else ""
    note = f"{several}{time}{rate}"
    more = f"{k.name}\n{several}{time}, {arithmetic}FLOP, {read} read, {written} written{rate}\n{lines_of(k)}"
    return Bar(k.name, k.time * times, note, more.strip())


def explain(fn: Callable[..., Any], *args: Any, **options: Any) -> Explanation:
    """What compile makes of fn for these arguments: what is recorded, where it is cut and why, which operations share a kernel,
    and what each kernel costs.

    fn: a function, method or module, compiled or not. It is called, a few times, and prints what it prints; but tensors (parameters,
    gradients, buffers), optimizers, schedules, random generators, lists and other objects that it can reach are afterwards as they were.
    Files, iterators and other programs are not.

    >>> print(torch.explain(lambda x: (x * 2 + 1).relu(), torch.ones(3)))  # doctest: +ELLIPSIS
    <lambda>: 1 region, no cuts, ... in kernels
    ...
    >>> found = torch.explain(lambda x: (x @ x).exp().sum(), torch.ones(100, 100))
    >>> [k.name for region in found.regions for k in region.kernels]
    ['matmul', 'exp + sum']
    >>> found.regions[0].kernels[0].arithmetic
    2000000
    """
    if not callable(fn):
        raise TypeError(
            f"explain: a function or a module is expected, with its arguments after it, not {type(fn).__name__}"
        )
    known = _recordings_of(fn)
    call = fn if known is not None else compiled(fn.__call__ if is_module(fn) else fn)
    known = known or call.recordings  # type: ignore[attr-defined]
    found = Explanation(_name_of(fn, known))
    with Before(fn, args, options):
        for i in range(CALLS):
            before = _extent(known)
            call(*args, **options)
            if i and before and _extent(known) == before:
                break
        _describe(known, found, found.name, args, options)
    return found


def _recordings_of(fn: Any) -> Recordings | None:
    """What compile keeps of a function or a module, if it is compiled."""
    for holder in (fn, getattr(fn, "forward", None), getattr(fn, "_compiled_call_impl", None)):
        found = getattr(holder, "recordings", None)
        if isinstance(found, Recordings):
            return found
    return None


def _extent(known: Recordings) -> int:
    """How much is known of a function: whether it is recorded, cuts, and regions with theirs."""
    return bool(known.all) + len(known.cuts) + sum(1 + _extent(region) for region in known.regions)


def _name_of(fn: Any, known: Recordings) -> str:
    """What the user calls it: a module by its class."""
    module = getattr(fn, "_orig_mod", fn)
    return type(module).__name__ if is_module(module) else known.name


def _describe(known: Recordings, found: Explanation, name: str, args: tuple, options: dict[str, Any]) -> None:
    """Adds what was recorded for these arguments."""
    structure, leaves = known.leaves_of(args, options)
    fitting = known.general.fitting(structure, leaves)
    kind = with_parts(leaves)
    if kind is not None:
        found.as_written.append((name, f"an argument is a {kind.__name__}, which is made of other tensors"))
    elif not fitting or any(x.structure == structure and x.takes(leaves) for x in known.all):
        cuts: dict[Any, list[Obstacle]] = {}
        _add(known, found, name, cuts)
        found.cuts += [_shown(here) for here in cuts.values()]
    else:
        growing, _ = fitting[0]
        growing.tune(growing.widest)
        sizes = " and ".join(f"{a} to {b}" for a, b in growing.bounds[: len(growing.widest)])
        here = ", ".join(map(str, growing.widest))
        found.regions.append(_region(f"{name} for sizes {sizes}, here {here}", growing.recording.program))


def _shown(cuts: list[Obstacle]) -> tuple[str, str]:
    """Where the cuts of one line are, and why; those alone for which it is nearest."""
    nearest = min(len(cut.frames) for cut in cuts)
    here = [cut for cut in cuts if len(cut.frames) == nearest]
    return place(list(here[0].frames)), why_cut(*here)


def _add(known: Recordings, found: Explanation, name: str, cuts: dict[Any, list[Obstacle]]) -> None:
    """Adds the regions of a function, and of what it calls; cuts: for each line those that are there."""
    for cut in known.cuts:
        cuts.setdefault(cut.frames[-1:] or cut.what, []).append(cut)
    if known.refusal and known.parts is known.fn:
        found.as_written.append((name, known.unsplit or known.refusal))
    elif getattr(known.parts, "refusal", ""):
        found.as_written.append((name, known.parts.refusal))  # type: ignore[attr-defined]
        return
    elif not known.all and not known.regions:
        found.as_written.append((name, "no two calls of it are alike"))
    for recording in known.all[:1]:
        found.regions.append(_region(name, recording.program))
        for finish in recording.after:
            if hasattr(finish, "program"):
                found.regions.append(_region(f"backward of {name}", finish.program.program, backward=True))
    for region in known.regions:
        _add(region, found, region.name, cuts)


def _region(name: str, program: Program, backward: bool = False) -> Region:
    outliving = sum(value.buffer.nbytes for value, _ in program.plan.results)
    return Region(name, kernels_of(program), recorded_in(program), program.arena, outliving, backward)
