"""torch.backends: which libraries and devices stand behind the operations (here: none but mashal's own kernels).

modules   one small module of settings and answers for each backend
flags     what such a module is
"""

import sys

from mashal.backends.modules import cpu, cuda, cudnn, mkl, mkldnn, mps, openmp, opt_einsum, quantized

__all__ = ["cpu", "cuda", "cudnn", "mkl", "mkldnn", "mps", "openmp", "opt_einsum", "quantized"]
sys.modules.update({f"{__name__}.{name}": globals()[name] for name in __all__})
