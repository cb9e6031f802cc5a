"""torch.testing: tensors held against each other.

comparison   assert_close
"""

from mashal.testing.comparison import assert_allclose, assert_close

__all__ = ["assert_allclose", "assert_close"]
