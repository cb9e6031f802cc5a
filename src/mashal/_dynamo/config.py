"""torch._dynamo.config: settings of compile. Which are heeded is said in mashal.capture.settings; the others are kept and given back."""

from mashal.capture.settings import DEFAULTS, SETTINGS
from mashal.configured import configured

_ALIASES = {"cache_size_limit": "recompile_limit", "accumulated_cache_size_limit": "accumulated_recompile_limit"}
configured(__name__, DEFAULTS, SETTINGS, aliases=_ALIASES)
