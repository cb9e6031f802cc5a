"""PyTorch's place for the print options; they live in `core.printing`."""

from mashal.core.printing import get_printoptions, printoptions, set_printoptions

__all__ = ["get_printoptions", "printoptions", "set_printoptions"]
