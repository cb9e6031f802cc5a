"""The kernel of convolutions, and of their transposes: products of a matrix of weights with windows that are never copied.

    words: y | x, w[, bias], first, koff, aoff, parts | scratch | SPACE of lower.spacing | MORE of lower.convolve_writer

Over planes with zeros around them (lower.spacing) every window's element k lies at a fixed distance koff[k] from the
window's first one. So result i of a position is Σ over k of A[k, i] · x[position + koff[k]]: the micro-kernel reads vectors of
neighbouring positions where they lie, and A from panels of rows. A[k, i] = w[aoff[k] + i·row]. Positions are numbered as the
spaced planes are, ends of rows included; what is computed there is dropped when a tile is written.

A call has several `parts` of ten numbers each: terms, where its koff and aoff begin, results along depth, height and width, where
they begin in y, and their strides. A strided convolution's transpose is one part for each phase of the stride.
"""

from __future__ import annotations

from mashal.core.dtypes import dtype
from mashal.lower.convolve_dense import Dense
from mashal.lower.convolve_open import Open
from mashal.lower.tilings import Tiling
from mashal.machine.text import Module


def convolution(d: dtype, tiling: Tiling, bias: bool, direct: bool, dense: int) -> Module:
    """The kernel. direct: x is read where it lies; it has compact planes, and no zeros are needed around them. dense: if not 0, a
    panel's elements are packed, so that positions are results only, of several images if they are small; a vector of them lies
    in so many rows of images at most."""
    return (Dense if dense else Open)(d, tiling, bias, direct, dense).module
