"""Arrays as images and sounds: NumPy arrays of any layout to PNG, boxes drawn into them, samples to WAV."""

from __future__ import annotations

import importlib
import io
import struct
import wave
import zlib
from typing import Any

from mashal.core.interop import numpy
from mashal.core.tensor import Tensor
from mashal.errors import message, missing_extra

__all__ = ["array", "arranged", "boxed", "figure_image", "png", "wav"]


def array(x: Any) -> Any:
    """A tensor, number, list or array as a NumPy array."""
    if isinstance(x, Tensor):
        return x.detach().cpu().float().numpy() if x.dtype.name == "bfloat16" else x.detach().cpu().numpy()  # type: ignore[attr-defined]
    return numpy.asarray(x)


def arranged(image: Any, layout: str) -> Any:
    """An image as (height, width, channels) with 3 or 4 channels of bytes; several (an N in layout) side by side in a grid.

    layout: a letter for each dimension, of N (several), H, W and C. Floating numbers from 0 to 1 become 0 to 255.
    """
    x, letters = array(image), layout.upper()
    if x.ndim != len(letters) or len(set(letters)) != len(letters) or set(letters) - set("NCHW"):
        wrong = f"an image of shape {x.shape} does not fit dataformats {layout!r}"
        raise ValueError(message("add_image", wrong, "one of the letters N, C, H, W for each dimension"))
    x = (x * 255).clip(0, 255).astype("uint8") if x.dtype.kind == "f" else x.clip(0, 255).astype("uint8")
    for missing in "NC":
        if missing not in letters:
            x, letters = x[..., None], letters + missing
    x = x.transpose([letters.index(letter) for letter in "NHWC"])
    n, height, width, channels = x.shape
    columns = min(n, 8)
    rows = -(-n // columns)
    grid = numpy.zeros((rows * height, columns * width, channels), dtype="uint8")
    for i in range(n):
        top, left = i // columns * height, i % columns * width
        grid[top : top + height, left : left + width] = x[i]
    return grid.repeat(3, 2) if channels == 1 else grid


def png(pixels: Any) -> bytes:
    """(height, width, 1, 3 or 4) of bytes as a PNG file."""
    height, width, channels = pixels.shape
    kind = {1: 0, 3: 2, 4: 6}.get(channels)
    if kind is None:
        raise ValueError(message("add_image", f"an image has {channels} channels", "1, 3 or 4 can be shown"))
    lines = numpy.zeros((height, 1 + width * channels), dtype="uint8")
    lines[:, 1:] = pixels.reshape(height, -1)
    head = struct.pack(">IIBBBBB", width, height, 8, kind, 0, 0, 0)
    body = _chunk(b"IHDR", head) + _chunk(b"IDAT", zlib.compress(lines.tobytes(), 6)) + _chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def boxed(pixels: Any, boxes: Any) -> Any:
    """The image with the outlines of boxes (left, top, right, bottom) in red."""
    made = pixels.copy()
    height, width, _ = made.shape
    red = numpy.array([255, 0, 0] + [255] * (made.shape[2] - 3), dtype="uint8")
    for left, top, right, bottom in array(boxes).reshape(-1, 4).round().astype(int):
        left, right = sorted((min(max(left, 0), width - 1), min(max(right, 0), width - 1)))
        top, bottom = sorted((min(max(top, 0), height - 1), min(max(bottom, 0), height - 1)))
        made[[top, bottom], left : right + 1] = red
        made[top : bottom + 1, [left, right]] = red
    return made


def figure_image(figures: Any, close: bool) -> Any:
    """A Matplotlib figure, or several stacked, as (height, width, 3) of bytes."""
    try:
        agg = importlib.import_module("matplotlib.backends.backend_agg")
        plots = importlib.import_module("matplotlib.pyplot")
    except ModuleNotFoundError:
        raise missing_extra("matplotlib", "pip install matplotlib") from None
    made = []
    for figure in figures if isinstance(figures, (list, tuple)) else [figures]:
        canvas = agg.FigureCanvasAgg(figure)
        canvas.draw()
        made.append(numpy.asarray(canvas.buffer_rgba())[:, :, :3])
        if close:
            plots.close(figure)
    return numpy.concatenate(made) if len(made) > 1 else made[0]


def wav(samples: Any, rate: int) -> tuple[bytes, int]:
    """Samples from -1 to 1 as a WAV file of one channel, and their number."""
    numbers = array(samples).reshape(-1).clip(-1, 1)
    sound = io.BytesIO()
    with wave.open(sound, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((numbers * 32767).astype("<i2").tobytes())
    return sound.getvalue(), len(numbers)
