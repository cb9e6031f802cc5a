"""torch.return_types: the named results of max, sort, topk and their like."""

from mashal.ops.return_types import RETURN_TYPES

globals().update(RETURN_TYPES)
__all__ = sorted(RETURN_TYPES)
