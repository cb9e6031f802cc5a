"""Anomaly mode: errors of backward tell which forward call they come from, and nan in a gradient is an error."""

from __future__ import annotations

import warnings
from typing import Any

from mashal.core.tape import anomaly

__all__ = ["detect_anomaly", "is_anomaly_check_nan_enabled", "is_anomaly_enabled", "set_detect_anomaly"]


class set_detect_anomaly:
    """Switches anomaly mode on or off: at once as a function, until the end of the block as a context manager.

    check_nan: whether nan in a gradient is an error.
    """

    def __init__(self, mode: bool, check_nan: bool = True):
        self._before = anomaly.enabled, anomaly.check_nan
        anomaly.enabled, anomaly.check_nan = bool(mode), bool(check_nan)

    def __enter__(self) -> None:
        pass

    def __exit__(self, *exception: Any) -> None:
        anomaly.enabled, anomaly.check_nan = self._before


class detect_anomaly:
    """Inside the block, operations note where they were called, and backward looks for nan. Slow: for finding errors.

    >>> import warnings; warnings.simplefilter("ignore")
    >>> x = torch.tensor(0.0, requires_grad=True)
    >>> with torch.autograd.detect_anomaly():
    ...     (x / x).backward()
    Traceback (most recent call last):
        ...
    RuntimeError: Function 'DivBackward0' returned nan values in its 1th output.
    """

    def __init__(self, check_nan: bool = True):
        self.check_nan = check_nan
        warnings.warn("detect_anomaly: every operation is slower in this mode; use it to find an error", stacklevel=2)

    def __enter__(self) -> None:
        self._switch = set_detect_anomaly(True, self.check_nan)

    def __exit__(self, *exception: Any) -> None:
        self._switch.__exit__()


def is_anomaly_enabled() -> bool:
    """Whether anomaly mode is on."""
    return anomaly.enabled


def is_anomaly_check_nan_enabled() -> bool:
    """Whether anomaly mode looks for nan."""
    return anomaly.check_nan
