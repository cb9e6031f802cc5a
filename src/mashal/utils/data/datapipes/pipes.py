"""Pipes: datasets with a method for every registered pipe, that hands them on to it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from mashal.errors import message
from mashal.utils.data.dataset import Dataset, IterableDataset

__all__ = ["IterDataPipe", "MapDataPipe", "functional_datapipe"]


class _Named:
    """A pipe's methods: the registered pipes, given the pipe as their first argument."""

    functions: dict[str, Callable[..., Any]]

    def __getattr__(self, name: str) -> Any:
        if name in type(self).functions:
            return functools.partial(type(self).functions[name], self)
        raise AttributeError(f"'{type(self).__name__}' object has no attribute {name!r}")

    @classmethod
    def register_function(cls, function_name: str, function: Callable[..., Any]) -> None:
        """Makes a function a method of all pipes of this kind."""
        cls.functions[function_name] = function

    @classmethod
    def register_datapipe_as_function(
        cls, function_name: str, cls_to_register: type, enable_df_api_tracing: bool = False
    ) -> None:
        """Makes a class of pipes a method of all pipes of this kind; an error if there is one of the name."""
        if function_name in cls.functions:
            raise Exception(f"Unable to add DataPipe function name {function_name} as it is already taken")
        cls.functions[function_name] = cls_to_register

    def __repr__(self) -> str:
        return type(self).__name__


class IterDataPipe(_Named, IterableDataset):
    """A dataset of what comes one after another; subclasses define `__iter__`.

    >>> list(torch.utils.data.datapipes.iter.IterableWrapper(range(4)).map(lambda x: x * 2).batch(2))
    [[0, 2], [4, 6]]
    """

    functions: dict[str, Callable[..., Any]] = {}


class MapDataPipe(_Named, Dataset):
    """A dataset of what has a place; subclasses define `__getitem__` and `__len__`."""

    functions: dict[str, Callable[..., Any]] = {}


class functional_datapipe:
    """A decorator that makes a class of pipes a method of all pipes of its kind: `@functional_datapipe("batch")`."""

    def __init__(self, name: str, enable_df_api_tracing: bool = False) -> None:
        self.name = name

    def __call__(self, cls: type) -> type:
        for kind in (IterDataPipe, MapDataPipe):
            if isinstance(cls, type) and issubclass(cls, kind):
                kind.register_datapipe_as_function(self.name, cls)
                return cls
        raise TypeError(
            message(
                "functional_datapipe",
                f"{cls!r} is no class of pipes",
                "it can only decorate IterDataPipe or MapDataPipe",
            )
        )
