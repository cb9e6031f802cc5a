"""torch.testing: tensors held against each other.

comparison   assert_close
"""

from mashal.nearest import nearest
from mashal.testing.comparison import assert_allclose, assert_close

__all__ = ["assert_allclose", "assert_close"]

__getattr__ = nearest(__name__)
