"""torch._inductor: the names of compile's options. PyTorch's code generator of this name is not here; mashal.lower is.

config        the options, also as settings for all of compile
"""

from __future__ import annotations

from mashal._inductor import config
from mashal._inductor.options import list_mode_options, list_options
from mashal.nearest import nearest

__all__ = ["config", "list_mode_options", "list_options"]

__getattr__ = nearest(__name__)
