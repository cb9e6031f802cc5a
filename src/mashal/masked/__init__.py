"""torch.masked: operations on the elements that a mask lets through, and tensors that carry their mask.

reductions   sum, mean, amax … of what is let through
rows         softmax, normalize, cumsum, logaddexp: as many results as elements
tensors      MaskedTensor
"""

from mashal.masked.reductions import (
    amax,
    amin,
    argmax,
    argmin,
    logsumexp,
    mean,
    median,
    norm,
    prod,
    std,
    sum,
    var,
)
from mashal.masked.rows import cumprod, cumsum, log_softmax, logaddexp, normalize, softmax, softmin
from mashal.masked.tensors import (
    MaskedTensor,
    _input_mask,
    _output_mask,
    as_masked_tensor,
    is_masked_tensor,
    masked_tensor,
)
from mashal.nearest import nearest

__all__ = [
    "MaskedTensor", "amax", "amin", "argmax", "argmin", "as_masked_tensor", "cumprod", "cumsum", "is_masked_tensor", "log_softmax",
    "logaddexp", "logsumexp", "masked_tensor", "mean", "median", "norm", "normalize", "prod", "softmax", "softmin", "std", "sum", "var",
]  # fmt: skip

__getattr__ = nearest(__name__)
