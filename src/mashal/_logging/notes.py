"""set_logs: what compile says on standard error, through Python's logging.

graph_breaks and recompiles are notes of the loggers "mashal.graph_breaks" and "mashal.recompiles"; graph, graph_code, fusion,
schedule, output_code and kernel_code are what the switch MASHAL_SHOW prints.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Mapping

from mashal.capture.news import ASKED
from mashal.switches import SHOW

__all__ = ["set_logs"]

_SHOWN = {
    "fusion": "trail", "graph": "trail", "graph_code": "trail", "kernel_code": "ir", "output_code": "ir", "schedule": "schedule",
}  # fmt: skip
_LEVELS = (logging.CRITICAL, logging.ERROR, logging.WARNING, logging.INFO, logging.DEBUG, logging.NOTSET)
_AT_START = str(SHOW.value)


def set_logs(
    *, all: int | None = None, dynamo: int | None = None, aot: int | None = None, autograd: int | None = None,
    dynamic: int | None = None, inductor: int | None = None, distributed: int | None = None, graph_breaks: bool = False,
    recompiles: bool = False, graph: bool = False, graph_code: bool = False, fusion: bool = False, schedule: bool = False,
    output_code: bool = False, kernel_code: bool = False, perf_hints: bool = False, modules: Mapping[str, int] | None = None,
    **others: bool,
) -> None:  # fmt: skip
    """From now on just these notes are made.

    graph_breaks: where a function is cut, and why. recompiles: what changed, where a function is recorded again. graph,
    graph_code, fusion: each recording; schedule: how kernels are laid out; output_code, kernel_code: their text. perf_hints: there
    are none. all and other components: the levels of their loggers, "mashal.dynamo" and so on. modules: levels of loggers by name.

    >>> torch._logging.set_logs(graph_breaks=True)
    >>> torch._logging.set_logs()
    """
    given = dict(locals())
    if others:
        raise TypeError(
            f"set_logs() got an unexpected keyword argument {min(others)!r}; notes there are: {', '.join(_FLAGS)}"
        )
    levels = {name: given[name] for name in _COMPONENTS if given[name] is not None}
    flags = {name: given[name] for name in _FLAGS}
    for name, level in levels.items():
        if isinstance(level, bool) or level not in _LEVELS:
            raise ValueError(f"set_logs: {name} is a level of logging, such as logging.INFO, not {level!r}")
    for name, flag in flags.items():
        if not isinstance(flag, bool):
            raise ValueError(f"set_logs: {name} is True or False, not {flag!r}")
    ASKED.clear()
    ASKED.update(name for name in ("graph_breaks", "recompiles") if flags[name])
    SHOW.value = ",".join(dict.fromkeys([_AT_START, *(_SHOWN[name] for name in _SHOWN if flags[name])])).strip(",")
    for name, level in {**{f"mashal.{name}": level for name, level in levels.items()}, **(modules or {})}.items():
        logging.getLogger(name).setLevel(level)
    for name in ASKED:
        _speak(logging.getLogger(f"mashal.{name}"))


_PARAMETERS = inspect.signature(set_logs).parameters
_COMPONENTS = [name for name, parameter in _PARAMETERS.items() if parameter.default is None and name != "modules"]
_FLAGS = [name for name, parameter in _PARAMETERS.items() if parameter.default is False]


def _speak(logger: logging.Logger) -> None:
    """Notes of this logger are to be seen."""
    logger.setLevel(logging.INFO)
    if not logger.handlers and not logging.getLogger().handlers:
        logger.addHandler(logging.StreamHandler())
