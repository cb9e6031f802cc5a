"""mashal.ops.algebra: linear algebra. LAPACK's part is NumPy's; gradients, batches and errors are here.

Read in this order
  checks       what operands must be, and what is said when a matrix has no such factor
  arrays, symmetric   algorithms on arrays that NumPy does not have;  results: named results
  solving      triangular equations, inverses, solutions
  spectra      eigenvalues and singular values;  ranks: what their sizes say, pseudo-inverses, least squares
  positive     Cholesky's factor;  factors: P·L·U, L·D·Lᴴ;  orthogonal: Q·R, reflections
  determinants, powers   det and its logarithm; powers, exponentials, chains of products
  approximations   singular vectors and eigenvectors of large matrices, from random directions

A backward is written with operations, so gradients of gradients follow. The family is imported when one of its names is
first asked for (ops.families).
"""

from mashal.ops.algebra import (
    approximations,
    determinants,
    factors,
    orthogonal,
    positive,
    powers,
    ranks,
    solving,
    spectra,
)
