"""Scalars, histograms, images, sounds, texts and settings as summaries: the bytes of TensorBoard's Summary message."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from mashal.core.interop import numpy
from mashal.errors import message as error
from mashal.utils.tensorboard import images
from mashal.utils.tensorboard.messages import boolean, double, doubles, field, floating, integer, message

__all__ = ["audio", "custom_scalars", "histogram", "histogram_raw", "hparams", "image", "mesh", "pr_curve", "pr_curve_raw", "scalar",
           "tensor", "text", "video"]  # fmt: skip

FLOAT, STRING, DOUBLE = 1, 7, 2  # TensorFlow's numbers of types


def _value(tag: str, content: bytes, metadata: bytes = b"") -> bytes:
    return field(1, message(field(1, tag), field(9, metadata) if metadata else b"", content))


def _plugin(name: str, content: bytes = b"", kind: int = 0, display: str = "", description: str = "") -> bytes:
    """The metadata of a summary that a plug-in shows. kind: 1 scalar, 2 tensor, 3 blobs."""
    parts = [field(1, message(field(1, name), field(2, content)))]
    parts += [field(2, display)] if display else []
    parts += [field(3, description)] if description else []
    return message(*parts, integer(4, kind) if kind else b"")


def _tensor(kind: int, shape: Sequence[int], content: bytes) -> bytes:
    sizes = field(2, b"".join(field(2, integer(1, n)) for n in shape))
    return field(8, message(integer(1, kind), sizes, content))


def number(x: Any) -> float:
    """The one number of a tensor, array or number."""
    values = images.array(x).reshape(-1)
    if values.size != 1:
        raise AssertionError(error("add_scalar", f"scalar should be 0D, it has {values.size} elements"))
    return float(values[0])


# ---------------------------------------------------------------- numbers
def scalar(name: str, value: Any, new_style: bool = False, double_precision: bool = False) -> bytes:
    """A number."""
    x = number(value)
    if not new_style:
        return _value(name, floating(2, x))
    content = doubles(6, [x]) if double_precision else field(5, floating(0, x)[1:])
    return _value(name, _tensor(DOUBLE if double_precision else FLOAT, (), content), _plugin("scalars", kind=1))


def tensor(tag: str, x: Any) -> bytes:
    """A tensor of float32 numbers."""
    values = images.array(x).astype("<f4")
    return _value(tag, _tensor(FLOAT, values.shape, field(4, values.tobytes())))


def histogram(name: str, values: Any, bins: Any = "tensorflow", max_bins: int | None = None) -> bytes:
    """How many values lie between edges: "tensorflow" for growing steps, else what numpy.histogram takes."""
    x = images.array(values).reshape(-1).astype("float64")
    if not x.size:
        raise ValueError(error("add_histogram", "there are no values"))
    counts, edges = numpy.histogram(x, bins=_edges() if isinstance(bins, str) and bins == "tensorflow" else bins)
    if max_bins is not None and len(counts) > max_bins:
        step = -(-len(counts) // max_bins)
        counts = numpy.add.reduceat(counts, range(0, len(counts), step))
        edges = numpy.append(edges[:-1:step], edges[-1])
    full = numpy.flatnonzero(counts)
    first, last = (full[0], full[-1] + 1) if len(full) else (0, 1)
    counts, limits = counts[first:last], edges[first : last + 1]
    counts = numpy.concatenate([[0], counts])  # everything below the first limit
    return histogram_raw(name, x.min(), x.max(), x.size, x.sum(), (x * x).sum(), limits, counts)


def _edges() -> Any:
    positive = 1e-12 * 1.1 ** numpy.arange(774)  # up to 1e20
    return numpy.concatenate([-positive[::-1], [0.0], positive])


def histogram_raw(name: str, min: float, max: float, num: float, sum: float, sum_squares: float, bucket_limits: Iterable[float],
                  bucket_counts: Iterable[float]) -> bytes:  # fmt: skip
    """A histogram that was counted elsewhere."""
    numbers = (min, max, num, sum, sum_squares)
    parts = [double(i, float(x)) for i, x in enumerate(numbers, 1)]
    lists = doubles(6, map(float, bucket_limits)), doubles(7, map(float, bucket_counts))
    return _value(name, field(5, message(*parts, *lists)))


# ---------------------------------------------------------------- pictures, sounds, words
def image(tag: str, pixels: Any) -> bytes:
    """(height, width, channels) of bytes."""
    height, width, channels = pixels.shape
    content = message(integer(1, height), integer(2, width), integer(3, channels), field(4, images.png(pixels)))
    return _value(tag, field(4, content))


def video(tag: str, frames: Any, fps: float) -> bytes:
    """(time, height, width, channels) of bytes: the frames below each other, as there is no encoder of moving pictures."""
    time, height, width, channels = frames.shape
    return image(tag, frames.reshape(time * height, width, channels))


def audio(tag: str, samples: Any, sample_rate: int = 44100) -> bytes:
    """Samples from -1 to 1."""
    sound, n = images.wav(samples, sample_rate)
    head = message(floating(1, sample_rate), integer(2, 1), integer(3, n))
    return _value(tag, field(6, message(head, field(4, sound), field(5, "audio/wav"))))


def text(tag: str, words: str) -> bytes:
    """A text, read as Markdown."""
    return _value(f"{tag}/text_summary", _tensor(STRING, (1,), field(8, words)), _plugin("text", b"\x08\x00", 2))


# ---------------------------------------------------------------- plug-ins
def pr_curve(tag: str, labels: Any, predictions: Any, num_thresholds: int = 127, weights: Any = None) -> bytes:
    """Precision and recall for thresholds, from true labels (0 or 1) and predicted probabilities."""
    labels, predictions = (images.array(x).reshape(-1).astype("float64") for x in (labels, predictions))
    weights = numpy.ones_like(labels) if weights is None else images.array(weights).reshape(-1)
    n = min(num_thresholds, 127)
    places = numpy.int32(numpy.floor(predictions * (n - 1)))
    hits, misses = (numpy.bincount(places, weights * of, n) for of in (labels, 1 - labels))
    positives, negatives = numpy.cumsum(hits[::-1])[::-1], numpy.cumsum(misses[::-1])[::-1]
    rows = (positives, negatives, negatives[0] - negatives, positives[0] - positives)
    precision = positives / numpy.maximum(positives + negatives, 1e-7)
    recall = positives / numpy.maximum(positives[0], 1e-7)
    return pr_curve_raw(tag, *rows, precision, recall, n)


def pr_curve_raw(tag: str, tp: Any, fp: Any, tn: Any, fn: Any, precision: Any, recall: Any, num_thresholds: int = 127,
                 weights: Any = None) -> bytes:  # fmt: skip
    """Precision and recall that were counted elsewhere: six rows of as many numbers as thresholds."""
    data = numpy.stack([images.array(x).astype("<f4") for x in (tp, fp, tn, fn, precision, recall)])
    metadata = _plugin("pr_curves", integer(2, min(num_thresholds, 127)), 2)
    return _value(tag, _tensor(FLOAT, data.shape, field(4, data.tobytes())), metadata)


def custom_scalars(layout: dict[str, dict[str, Sequence]]) -> bytes:
    """Which scalars share a chart: {category: {chart: ["Multiline" or "Margin", tags]}}."""
    categories = []
    for name, charts in layout.items():
        made = []
        for title, (kind, tags) in charts.items():
            if kind == "Margin":
                if len(tags) != 3:
                    raise AssertionError(error("add_custom_scalars", f"a margin chart needs 3 tags, not {len(tags)}"))
                series = message(field(1, tags[0]), field(2, tags[1]), field(3, tags[2]))
                content = field(3, field(1, series))
            else:
                content = field(2, b"".join(field(1, tag) for tag in tags))
            made.append(field(2, message(field(1, title), content)))
        categories.append(field(2, message(field(1, name), *made)))
    content = _tensor(STRING, (), field(8, message(*categories)))
    return _value("custom_scalars__config__", content, _plugin("custom_scalars", kind=2))


def mesh(tag: str, vertices: Any, colors: Any, faces: Any, config: dict | None) -> bytes:
    """A body: vertices (batch, n, 3), their colours, the faces between them."""
    parts = [(1, "VERTEX", vertices, "<f4", FLOAT), (2, "FACE", faces, "<i4", 3), (3, "COLOR", colors, "u1", 4)]
    given = [(number, word, images.array(x), kind, code) for number, word, x, kind, code in parts if x is not None]
    components = sum(1 << number for number, *_ in given)
    made = []
    for number, word, x, kind, code in given:
        content = message(
            integer(1, 0), field(2, tag), integer(3, number), field(5, json.dumps(config or {})),
            field(6, b"".join(integer(0, n)[1:] for n in x.shape)), integer(7, components),
        )  # fmt: skip
        data = field(4, x.astype(kind).tobytes())
        made.append(_value(f"{tag}_{word}", _tensor(code, x.shape, data), _plugin("mesh", content, 2)))
    return message(*made)


def hparams(
    hparam_dict: dict[str, Any], metric_dict: dict[str, Any], hparam_domain_discrete: dict[str, list] | None = None
) -> tuple:
    """(experiment, session start, session end): summaries of settings and of what is measured."""
    infos, settings = [], []
    for name, x in hparam_dict.items():
        kind, value = _setting(name, x)
        settings.append(field(1, message(field(1, name), field(2, value))))
        domain = [field(1, _setting(name, v)[1]) for v in (hparam_domain_discrete or {}).get(name, [])]
        discrete = field(5, message(*domain)) if domain else b""
        infos.append(field(4, message(field(1, name), integer(4, kind), discrete)))
    metrics = [field(5, field(1, field(2, name))) for name in metric_dict]
    experiment = message(integer(1, 0), field(2, message(*infos, *metrics)))
    start = message(integer(1, 0), field(3, message(*settings)))
    end = message(integer(1, 0), field(4, integer(1, 1)))  # 1: success
    tags = (
        ("_hparams_/experiment", experiment),
        ("_hparams_/session_start_info", start),
        ("_hparams_/session_end_info", end),
    )
    return tuple(_value(tag, b"", _plugin("hparams", content)) for tag, content in tags)


def _setting(name: str, x: Any) -> tuple[int, bytes]:
    """(kind, value) of a setting: 1 text, 2 truth value, 3 number."""
    if isinstance(x, bool):
        return 2, boolean(4, x)
    if isinstance(x, str):
        return 1, field(3, x)
    if isinstance(x, (int, float)):
        return 3, double(2, float(x))
    if hasattr(x, "item"):
        return 3, double(2, number(x))
    wrong = f"{name} is a {type(x).__name__}"
    raise ValueError(error("add_hparams", wrong, "settings are int, float, str, bool or tensors of one number"))
