"""mashal.ops: the operations, a file a family, each operation its formula.

Read in this order
  define       how an operation is written; table: all definitions; rules: dtypes
  run          from operands' forms to a plan; doors: the functions that users call; subclasses: their overrides
  planned      operations that are one plan: native code computes, records and goes back; remembered: those with options
  elementwise, gradients, changes, recording   what the decorators are made of
  promotion, broadcast, options   dtypes, shapes, and what functions that make tensors take
  arithmetic, division, powers, exponential, trigonometric, rounding   numbers, element by element
  comparison, logic, bitwise, selection   choices;  activation, special, polynomials   more functions;  complex   inside formulas
  creation     new tensors; random, random_factories, chances, dropouts: of random numbers
  copying      copies, filling, other dtypes and devices;  assigning: in-place forms of functions
  viewing      how views are written; views, parts: other shapes, pieces; joining: cat, stack
  blocks       elements at indices;  masks: where;  writing: operations that write into their first operand
  indexing     x[…], read and written;  selecting, scattering, embeddings: by index along a dimension
  arranging    flipped, rolled, repeated, triangles;  view_copies: views, copied
  sparse       tensors that keep some elements only
  contraction  products of matrices; linear_map: linear; sums_of_products: addmm …; einstein: einsum; attention: composed of them
  reducing     how reductions are written; reductions, softmaxes: rows of elements joined; rows: formulas over rows
  running, sorting   cumsum …, order along a dimension
  reducing     how reductions are written; reductions, softmax: rows of elements joined; rows: formulas over rows
  running, sorting, order, counting   cumsum …; order along a dimension; bins and distinct elements;  norms
  windowing, sliding   windows over space; resampling: weighted sums of neighbours; averages, maxima, pooling, interpolation,
               padding, folding, grids (blending): what is made of them
  convolution  arguments checked; correlation: the three functions; convolving, weighing: their plans
  normalization, channels, losses, classes, cross_entropies   layer_norm …; mse_loss …; nll_loss; cross_entropy
  queries      questions that compute nothing;  foreach: on lists of tensors;  rare, algebra, fourier …: seldom used ones (families)
  names        all public names, from the table; they are this package's names too

Stands on: lower, lang, core. Used by: autograd, methods, nn and all that is above.
"""

from mashal.ops import (
    activation,
    arithmetic,
    arranging,
    attention,
    bitwise,
    chances,
    channels,
    classes,
    closeness,
    combination,
    comparison,
    complex_parts,
    contraction,
    copying,
    counting,
    creation,
    cross_entropies,
    division,
    dropouts,
    einstein,
    embeddings,
    exponential,
    indexing,
    joining,
    linear_map,
    logic,
    losses,
    masks,
    normalization,
    norms,
    order,
    padding,
    parts,
    polynomials,
    powers,
    queries,
    random,
    random_factories,
    reductions,
    rounding,
    running,
    scattering,
    selecting,
    selection,
    softmaxes,
    sorting,
    sparse,
    special,
    statistics,
    sums_of_products,
    triangles,
    trigonometric,
    view_copies,
    views,
)
from mashal.ops.names import public

globals().update(public())
