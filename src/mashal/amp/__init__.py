"""torch.amp: autocast_mode says which dtype was asked for, grad_scaler scales losses."""

from mashal.amp import autocast_mode, grad_scaler
from mashal.amp.autocast_mode import autocast, custom_bwd, custom_fwd, is_autocast_available
from mashal.amp.grad_scaler import GradScaler
from mashal.nearest import nearest

__all__ = [
    "GradScaler",
    "autocast",
    "autocast_mode",
    "custom_bwd",
    "custom_fwd",
    "grad_scaler",
    "is_autocast_available",
]

__getattr__ = nearest(__name__)
