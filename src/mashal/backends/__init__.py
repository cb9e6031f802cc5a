"""torch.backends: which libraries and devices stand behind the operations (here: none but mashal's own kernels).

modules   one small module of settings and answers for each backend
attention, libraries   what torch.backends.cuda is asked
flags     what such a module is
"""

import sys

from mashal.backends.modules import cpu, cuda, cudnn, mkl, mkldnn, mps, nnpack, openmp, opt_einsum, quantized
from mashal.nearest import nearest

fp32_precision = "none"
__all__ = ["cpu", "cuda", "cudnn", "mkl", "mkldnn", "mps", "nnpack", "openmp", "opt_einsum", "quantized"]
__getattr__ = nearest(__name__)
sys.modules.update({f"{__name__}.{name}": globals()[name] for name in __all__})
