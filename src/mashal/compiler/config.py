"""torch.compiler.config: settings of what compile keeps on disk.

force_disable_caches: True: kernels are compiled anew, and not kept. The others tell PyTorch which sizes change; that is noticed
here, so they are kept and given back.
"""

from mashal.configured import configured
from mashal.machine.cache import SETTINGS

_DEFAULTS = {"force_disable_caches": False, "dynamic_sources": "", "unbacked_sources": ""}
SETTINGS.update({**_DEFAULTS, **SETTINGS})
configured(__name__, _DEFAULTS, SETTINGS)
