"""Options and modes of compile: which there are, and whether those given are among them."""

from __future__ import annotations

from typing import Any

from mashal._inductor import config

__all__ = ["MODES", "check_options", "list_mode_options", "list_options"]

MODES: dict[str, dict[str, Any]] = {
    "default": {},
    "lite": {
        "fallback_by_default": True,
        "use_dce": False,
        "allow_buffer_reuse": False,
        "reorder_for_peak_memory": False,
    },
    "reduce-overhead": {"triton.cudagraphs": True},
    "max-autotune-no-cudagraphs": {"max_autotune": True, "coordinate_descent_tuning": True},
    "max-autotune": {"max_autotune": True, "triton.cudagraphs": True, "coordinate_descent_tuning": True},
}


def list_options() -> list[str]:
    """The names that `torch.compile(options=...)` takes.

    >>> "max_autotune" in torch._inductor.list_options()
    True
    """
    return sorted(config.get_config_copy())


def list_mode_options(mode: str | None = None, dynamic: bool | None = None) -> dict[str, Any]:
    """The options that a mode stands for; of all modes, if none is named.

    >>> torch._inductor.list_mode_options("reduce-overhead")
    {'triton.cudagraphs': True}
    """
    if mode is not None and mode not in MODES:
        raise RuntimeError(f"Unrecognized mode={mode}, should be one of: {', '.join(MODES)}")
    return dict(MODES if mode is None else MODES[mode])


def check_options(options: dict[str, Any]) -> None:
    """RuntimeError for an option that there isn't, or that is not of its type."""
    if not isinstance(options, dict):
        raise AttributeError(f"compile: options is a dict of names and values, not {type(options).__name__}")
    defaults = config._defaults
    for name, value in options.items():
        known = name.replace("-", "_")
        if name == "guard_filter_fn" and callable(value):
            continue  # it says which guards may be left out: none is
        if name == "use_aoti" and not value:
            continue
        if known not in defaults:
            known_ones = ", ".join(list_options())
            raise RuntimeError(f"Unexpected optimization option {name}; compile knows the options {known_ones}")
        kind = type(defaults[known])
        if defaults[known] is not None and not isinstance(value, kind):
            raise RuntimeError(f"Unexpected type of attr {name}, got {type(value).__name__} should be {kind.__name__}")
        if known in config._elsewhere and value != defaults[known]:
            raise RuntimeError(
                f"compile: the option {name} can only be {defaults[known]!r}: {config._elsewhere[known]}"
            )
