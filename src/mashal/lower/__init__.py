"""mashal.lower: from a nest to machine code.

Read in this order
  emit        expressions as IR: values in vector registers, elements in memory
  schedule    how a nest runs, as data
  pointwise   kernels of nests without reductions; rowwise: of those with
  vectormath  the door to exp, sin, … as IR; floating, exponentials, trigonometry, special: their families;
              coefficients: of their polynomials
  problem     the words of a matrix product; tiles, microkernel, pack: its parts; small, matvec, blocked: its kernels;
              matmul: which one; arrange: from shapes and strides to a plan; following: what is computed of a product
              before it is stored
  normalized  gradients of norms; windows: largest elements; resample: weighted sums of neighbours
  convolve    convolutions; its parts: tilings, spacing, convolve_writer, convolve_open, convolve_dense; depthwise;
              weigh: the weight's gradient
  twister     the random engine; random, normal, rejection, choices, stored: what is drawn from it

Stands on: lang, core, machine. Used by: ops.
"""
