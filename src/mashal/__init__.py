"""mashal: deep learning in Python alone. `import mashal as torch`."""

from mashal import methods
from mashal.core.dtypes import *
from mashal.core.tensor import Tensor
from mashal.ops.names import public

__version__ = "0.1.0"
globals().update(public("torch"))
