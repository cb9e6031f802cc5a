"""torch.utils.benchmark: how long statements take, measured many times, and tables of several of them."""

from __future__ import annotations

import statistics
import textwrap
import time
import timeit
from collections.abc import Callable, Iterable
from typing import Any

from mashal.errors import message
from mashal.nearest import nearest
from mashal.settings import get_num_threads, set_num_threads

__all__ = ["Compare", "Measurement", "Timer", "timer"]

timer = time.perf_counter
_UNITS = ((1e-9, "ns"), (1e-6, "us"), (1e-3, "ms"), (1.0, "s"))


def select_unit(seconds: float) -> tuple[str, float]:
    """(name, seconds) of the unit in which a time reads best.

    >>> select_unit(0.0025)
    ('ms', 0.001)
    """
    for size, name in reversed(_UNITS):
        if seconds >= size:
            return name, size
    return "ns", 1e-9


class Measurement:
    """Times of a statement: raw_times in seconds, each for number_per_run runs of it."""

    def __init__(
        self, number_per_run: int, raw_times: list[float], task_spec: dict[str, Any], metadata: dict | None = None
    ):
        self.number_per_run, self.raw_times, self.task_spec, self.metadata = (
            number_per_run,
            raw_times,
            task_spec,
            metadata,
        )

    @property
    def times(self) -> list[float]:
        """Seconds of one run, measured several times."""
        return [t / self.number_per_run for t in self.raw_times]

    @property
    def median(self) -> float:
        """The median of `times`."""
        return statistics.median(self.times)

    @property
    def mean(self) -> float:
        """The mean of `times`."""
        return statistics.fmean(self.times)

    @property
    def iqr(self) -> float:
        """How far the middle half of `times` is spread."""
        if len(self.times) < 2:
            return 0.0
        low, _, high = statistics.quantiles(self.times, n=4)
        return high - low

    @property
    def has_warnings(self) -> bool:
        """Whether the times differ so much that they say little."""
        return self.median > 0 and self.iqr / self.median > 0.1

    def __getattr__(self, name: str) -> Any:
        spec = self.__dict__.get("task_spec", {})
        if name in spec:
            return spec[name]
        raise AttributeError(f"'Measurement' object has no attribute {name!r}")

    @property
    def title(self) -> str:
        """What was measured."""
        spec = self.task_spec
        parts = [spec["label"] or f"[{spec['stmt']}]", spec["sub_label"], spec["description"]]
        return ": ".join(part for part in parts if part)

    def __repr__(self) -> str:
        name, size = select_unit(self.median)
        lines = [f"<torch.utils.benchmark.utils.common.Measurement object at {id(self):#x}>", self.title]
        if len(self.times) > 1:
            lines += [f"  Median: {self.median / size:.2f} {name}", f"  IQR:    {self.iqr / size:.2f} {name}"]
        else:
            lines += [f"  {self.median / size:.2f} {name}"]
        runs = "runs" if self.number_per_run > 1 else "run"
        lines.append(f"  {len(self.times)} measurement{'s' if len(self.times) > 1 else ''}, {self.number_per_run} {runs} per measurement, "
                     f"{self.task_spec['num_threads']} thread{'s' if self.task_spec['num_threads'] > 1 else ''}")  # fmt: skip
        return "\n".join(lines)

    @staticmethod
    def merge(measurements: Iterable[Measurement]) -> list[Measurement]:
        """Measurements of the same statement put together."""
        groups: dict[str, list[Measurement]] = {}
        for m in measurements:
            groups.setdefault(repr(sorted(m.task_spec.items(), key=str)), []).append(m)
        return [Measurement(g[0].number_per_run, [t * g[0].number_per_run for m in g for t in m.times], g[0].task_spec)
                for g in groups.values()]  # fmt: skip


class Timer:
    """Measures a statement in Python, with so many threads.

    >>> torch.utils.benchmark.Timer("x + 1", globals={"x": 1}).timeit(10).number_per_run
    10
    """

    def __init__(self, stmt: str = "pass", setup: str = "pass", global_setup: str = "", timer: Callable[[], float] = timer,
                 globals: dict[str, Any] | None = None, label: str | None = None, sub_label: str | None = None,
                 description: str | None = None, env: str | None = None, num_threads: int = 1, language: Any = "python"):  # fmt: skip
        if not isinstance(stmt, str):
            raise ValueError(message("Timer", f"stmt is a {type(stmt).__name__}", "it must be a string of Python"))
        if str(language).lower() not in ("python", "language.python", "py"):
            raise ValueError(message("Timer", f"language {language!r}", "statements are in Python"))
        stmt, setup = (textwrap.dedent(text).strip("\n") for text in (stmt, setup))
        self._timer = timeit.Timer(stmt, setup, timer, globals={} if globals is None else dict(globals))
        self.spec = {"stmt": stmt, "setup": setup, "label": label, "sub_label": sub_label, "description": description, "env": env,
                     "num_threads": num_threads}  # fmt: skip

    def _seconds(self, number: int) -> float:
        before = get_num_threads()
        set_num_threads(self.spec["num_threads"])  # type: ignore[arg-type]
        try:
            return max(self._timer.timeit(number), 1e-9)
        finally:
            set_num_threads(before)

    def _measured(self, number: int, times: list[float]) -> Measurement:
        return Measurement(number, times, self.spec)

    def timeit(self, number: int = 1000000) -> Measurement:
        """One measurement of so many runs."""
        self._seconds(max(number // 100, 2))
        return self._measured(number, [self._seconds(number)])

    def _block(self, min_run_time: float) -> int:
        number, seconds = 1, self._seconds(1)
        while seconds < min(min_run_time / 1000, 1e-4) * 10 and number < 10**7:
            number *= 10
            seconds = self._seconds(number)
        return number

    def blocked_autorange(
        self, callback: Callable[[int, float], Any] | None = None, min_run_time: float = 0.2
    ) -> Measurement:
        """Measurements for at least so many seconds, each of a number of runs that hides the clock's own time."""
        number, times, total = self._block(min_run_time), [], 0.0
        while total < min_run_time:
            times.append(self._seconds(number))
            total += times[-1]
            if callback is not None:
                callback(number, times[-1])
        return self._measured(number, times)

    def adaptive_autorange(self, threshold: float = 0.1, *, min_run_time: float = 0.01, max_run_time: float = 10.0,
                           callback: Callable[[int, float], Any] | None = None) -> Measurement:  # fmt: skip
        """Measurements until their spread is below a part of their median, or time is up."""
        number, times, total = self._block(min_run_time), [], 0.0
        while total < max_run_time:
            times.append(self._seconds(number))
            total += times[-1]
            if callback is not None:
                callback(number, times[-1])
            made = self._measured(number, times)
            if len(times) > 3 and total >= min_run_time and made.iqr < threshold * made.median:
                break
        return self._measured(number, times)


class Compare:
    """A table of measurements: a row for each sub_label, a column for each description."""

    def __init__(self, results: list[Measurement]):
        self.results: list[Measurement] = []
        self._trims = False
        self.extend_results(results)

    def extend_results(self, results: Iterable[Measurement]) -> None:
        """Adds measurements; ValueError for anything else."""
        for result in results:
            if not isinstance(result, Measurement):
                raise ValueError(message("Compare", f"a Measurement is expected, not {type(result).__name__}"))
            self.results.append(result)

    def trim_significant_figures(self) -> None:
        """Shows fewer digits."""
        self._trims = True

    def colorize(self, rowwise: bool = False) -> None:
        """Would colour the best: the table is plain."""

    def highlight_warnings(self) -> None:
        """Would mark uncertain times: the table is plain."""

    def print(self) -> None:
        """Prints the table."""
        print(self)

    def __str__(self) -> str:
        merged = Measurement.merge(self.results)
        if not merged:
            return ""
        name, size = select_unit(min(m.median for m in merged))
        columns = list(dict.fromkeys(m.task_spec["description"] or "" for m in merged))
        rows: dict[str, dict[str, Measurement]] = {}
        for m in merged:
            threads = m.task_spec["num_threads"]
            row = m.task_spec["sub_label"] or m.task_spec["stmt"]
            rows.setdefault(f"{row} ({threads} thread{'s' if threads > 1 else ''})", {})[
                m.task_spec["description"] or ""
            ] = m
        digits = 1 if self._trims else 2
        cells = [
            [row, *(f"{m[c].median / size:.{digits}f}" if c in m else "" for c in columns)] for row, m in rows.items()
        ]
        table = [["", *columns], *cells]
        widths = [max(len(line[i]) for line in table) for i in range(len(columns) + 1)]
        lines = [
            "  |  ".join(cell.ljust(w) if not i else cell.rjust(w) for i, (cell, w) in enumerate(zip(line, widths)))
            for line in table
        ]
        title = merged[0].task_spec["label"] or ""
        return "\n".join([f"[ {title} ]".center(len(lines[0]), "-"), *lines, "", f"Times are in {name}."])


__getattr__ = nearest(__name__)
