"""Plans of convolutions' gradients in the weight on floating tensors, for lower.weigh."""

from __future__ import annotations

from math import prod
from typing import Any

from mashal.core.forms import Form
from mashal.core.tensor import plan_of
from mashal.lang.recipes import Counted
from mashal.lower import weigh
from mashal.lower.emit import register_type
from mashal.lower.tilings import TASKS
from mashal.machine.text import SIZES
from mashal.ops.convolving import first_of, positions_of, readable, space_of, space_words, spaced_source, whole
from mashal.ops.run import kernel_of
from mashal.ops.sliding import Geometry

__all__ = ["weighing_plan"]

_NEAR = 1 << 16  # elements of g's copy in a block of positions, which stay in the second-level cache


def weighing_plan(g: Form, x: Form, geometry: Geometry, result: Form) -> Any:
    """The plan (g, x) of a convolution's gradient in the weight."""
    (outputs, own, *kernel), groups = result.shape, geometry.groups
    s = space_of(x.shape[2:], kernel, g.shape[2:], geometry)
    m, terms, size = outputs // groups, own * prod(kernel), SIZES[register_type(x.dtype)]
    spaced, distances = spaced_source(s, readable(x))
    how = weigh.choose(m, size)
    koff = whole([c * spaced.channel + k for c in range(own) for k in distances])
    first = first_of(spaced)
    panels, lanes = (-(-m // how.across), how.across) if how.vectors else (m, 1)
    depth, height, _ = s.results
    pitch = spaced.sizes[2]
    image = groups * panels * (height * pitch + max(weigh.SIDE, how.width)) * lanes
    positions = positions_of(s.results, spaced)
    wanted = max(64, _NEAR // (panels * lanes)) if how.vectors else positions
    blocks = -(-positions // wanted)
    images = x.shape[0] * depth
    images_each = max(1, wanted // positions) if how.vectors else images
    tiles = -(-terms // how.rows)
    tiles_each = -(-tiles // min(tiles, max(1, TASKS // groups)))
    copied = 0 if spaced.direct else (x.numel // prod(x.shape[2:]) * spaced.channel + 64) * size
    g_at = (copied + 63) // 64 * 64
    sums_at = (g_at + (images * image + 64) * size + 63) // 64 * 64
    scratch = sums_at + (groups * tiles * how.rows * panels * lanes + 64) * size
    own_size = x.shape[1] * spaced.channel
    fill = (0,) * (5 - g.rank)
    strides = [*g.strides[:2], *fill, *g.strides[2:]]
    more = [
        groups,
        m,
        terms,
        *s.results,
        own_size,
        own_size // groups,
        image,
        blocks,
        -(-positions // blocks),
    ]
    plan = plan_of(
        kernel_of(weigh.weighing, x.dtype, how, spaced.direct),
        [(result.nbytes, result)],
        [x.dtype.itemsize] * 2 + [8] * 2,
        [*space_words(x, spaced), *more, images_each, tiles_each, *strides],
        work=g.numel * terms // 8,
        scratch=scratch,
        recipe=Counted(2 * g.numel * terms),
    )
    return lambda g, x: plan(x, g, first, koff)
