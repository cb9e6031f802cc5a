"""torch.testing: tensors held against each other.

comparison   assert_close
making       make_tensor
"""

from mashal.nearest import nearest
from mashal.testing.comparison import assert_allclose, assert_close
from mashal.testing.making import make_tensor

__all__ = ["assert_allclose", "assert_close", "make_tensor"]

__getattr__ = nearest(__name__)
