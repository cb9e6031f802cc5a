"""torch.utils.data.graph_settings: settings of all pipes behind one."""

from __future__ import annotations

from typing import Any

from mashal.utils.data.datapipes.iter import Shuffler
from mashal.utils.data.datapipes.pipes import IterDataPipe, MapDataPipe

__all__ = ["apply_shuffle_settings"]


def _behind(pipe: Any) -> list[Any]:
    """A pipe and all that it reads from."""
    found = [pipe]
    for value in vars(pipe).values():
        for part in value if isinstance(value, (list, tuple)) else [value]:
            if isinstance(part, (IterDataPipe, MapDataPipe)):
                found += _behind(part)
    return found


def apply_shuffle_settings(datapipe: Any, shuffle: bool | None = None) -> Any:
    """Says of all Shufflers behind a pipe whether they shuffle; one is added if there is none and shuffle is True."""
    if shuffle is None:
        return datapipe
    shufflers = [pipe for pipe in _behind(datapipe) if isinstance(pipe, Shuffler)]
    if shuffle and not shufflers:
        return Shuffler(datapipe)
    for shuffler in shufflers:
        shuffler.set_shuffle(shuffle)
    return datapipe
