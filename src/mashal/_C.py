"""torch._C, as far as programs reach into it: there is no library in another language behind mashal."""

from mashal.core.generator import Generator
from mashal.methods.subclasses import DisableTorchFunctionSubclass
from mashal.nearest import nearest

__all__ = ["DisableTorchFunctionSubclass", "Generator"]

_DisableFuncTorch = _DisableTorchDispatch = _DisableTorchFunction = _DisableTorchFunctionSubclass = (
    DisableTorchFunctionSubclass
)
__getattr__ = nearest(__name__)
