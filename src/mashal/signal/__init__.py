"""torch.signal: what is particular to signals; so far windows."""

from mashal.signal import windows

__all__ = ["windows"]
