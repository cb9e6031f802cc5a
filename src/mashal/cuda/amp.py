"""autocast and GradScaler under their old names."""

from __future__ import annotations

from functools import partial
from typing import Any

from mashal.amp import autocast as _autocast
from mashal.amp import custom_bwd as _custom_bwd
from mashal.amp import custom_fwd as _custom_fwd
from mashal.amp.grad_scaler import GradScaler as _GradScaler
from mashal.amp.grad_scaler import OptState

__all__ = ["GradScaler", "OptState", "autocast", "custom_bwd", "custom_fwd"]

custom_fwd = partial(_custom_fwd, device_type="cuda")
custom_bwd = partial(_custom_bwd, device_type="cuda")


class autocast(_autocast):
    """torch.amp.autocast("cuda", …)."""

    def __init__(self, enabled: bool = True, dtype: Any = None, cache_enabled: bool = True):
        super().__init__("cuda", dtype=dtype, enabled=enabled, cache_enabled=cache_enabled)


class GradScaler(_GradScaler):
    """torch.amp.GradScaler("cuda", …)."""

    def __init__(self, init_scale: float = 2.0**16, growth_factor: float = 2.0, backoff_factor: float = 0.5, growth_interval: int = 2000,
                 enabled: bool = True):  # fmt: skip
        super().__init__("cuda", init_scale, growth_factor, backoff_factor, growth_interval, enabled)
