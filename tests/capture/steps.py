"""Recorded steps run one by one on memory of our own, as they are and fused."""

import struct
from ctypes import CFUNCTYPE, addressof, c_int64, create_string_buffer, string_at

import numpy as np

from mashal.capture.fuse import fused
from mashal.capture.recorder import Recorder
from mashal.capture.trail import MADE, Value
from mashal.machine.launch import NUMBER
from mashal.machine.memory import address_of


def recorded(function, *operands):
    """(the steps of a call, the buffers that its results lie in)."""
    with Recorder(operands) as recorder:
        answer = function(*operands)
    results = [recorder.value(x) for x in (answer if isinstance(answer, (tuple, list)) else [answer])]
    return recorder.trail, results


def memory_before(trail):
    """The bytes of every buffer as the call found them."""
    held = {}
    for b in trail.buffers:
        found = b.before if b.before is not None or b.source is MADE else string_at(address_of(b.capsule), b.nbytes)
        held[b] = create_string_buffer(found or b"\x5a" * b.nbytes, max(b.nbytes, 1) + 64)
    return held


def run(trail, memory):
    """Calls the kernels of a trail one after another on memory of our own."""
    place = lambda v: addressof(memory[v.buffer]) + v.start
    for step in trail.steps:
        if not step.call.kernel:
            continue
        words = [place(v) for v in step.results]
        for x, kind in zip(step.operands, step.call.kinds, strict=True):
            number = float(x) if kind == NUMBER else None if isinstance(x, Value) else int(x)
            words.append(place(x) if isinstance(x, Value) else number if number is not None else 0)
        words = [struct.unpack("<q", struct.pack("<d", w))[0] if isinstance(w, float) else w for w in words]
        scratch = create_string_buffer(step.call.scratch + 64) if step.call.scratch else None
        words += [] if scratch is None else [addressof(scratch)]
        words += step.call.constants
        array = (c_int64 * len(words))(*words)
        assert CFUNCTYPE(c_int64, c_int64)(step.call.kernel)(addressof(array)) == -1


def elements(value, memory):
    """The elements of a value, as numpy sees them (half precisions by their bits)."""
    kinds = {"bfloat16": "u2", "bool": "u1"}
    d = np.dtype(kinds.get(value.form.dtype.name, value.form.dtype.name))
    flat = np.frombuffer(memory[value.buffer], d, value.buffer.nbytes // d.itemsize)[value.offset :]
    return np.lib.stride_tricks.as_strided(flat, value.form.shape, [s * d.itemsize for s in value.form.strides])


def check(function, *operands):
    """Runs what a call did step by step and fused; every bit that is seen afterwards must be the same. Returns the fused steps."""
    trail, results = recorded(function, *operands)
    return compared(trail, results)


def compared(trail, results):
    """The fused steps of a trail, after both have run."""
    plain, joined = memory_before(trail), memory_before(trail)
    before = [b for b in trail.buffers if b.source is not MADE]
    temporary = [b for b in trail.buffers if b.source is MADE]
    run(trail, plain)
    made = fused(trail, {v.buffer for v in results})
    for b in temporary:
        if b.source is not MADE:  # a constant, computed already
            joined[b] = create_string_buffer(string_at(address_of(b.capsule), b.nbytes), b.nbytes + 64)
    run(made, joined)
    for value in results:
        a, b = elements(value, plain), elements(value, joined)
        alike = a.tobytes() == b.tobytes() or ((a == b) & (np.signbit(a) == np.signbit(b)) | (a != a) & (b != b)).all()
        assert alike, (value, a, b)
    for b in before:
        assert plain[b].raw[: b.nbytes] == joined[b].raw[: b.nbytes], b
    return made.steps
