"""Families of operations that most programs never use: imported when one of their names is first asked for.

A family is a package or module of definitions. Which public names it has is said here, so that they can be found before it
is imported; a test compares this list with what the definitions say.
"""

from __future__ import annotations

__all__ = ["FAMILIES", "names_at"]

FAMILIES: dict[str, dict[str, str]] = {
    "mashal.ops.algebra": {
        "torch": """
            chain_matmul cholesky cholesky_inverse cholesky_solve det geqrf inverse lobpcg logdet lu lu_solve lu_unpack matrix_exp
            matrix_power orgqr ormqr pca_lowrank pinverse qr slogdet svd svd_lowrank triangular_solve vander
        """,
        "method": """
            cholesky cholesky_inverse cholesky_solve det geqrf inverse logdet lu lu_solve matrix_exp matrix_power orgqr ormqr
            pinverse qr slogdet svd triangular_solve
        """,
    },
    "mashal.ops.rare": {
        "torch": """
            _shape_as_tensor detach detach_ from_file gradient hash_tensor native_batch_norm native_channel_shuffle native_group_norm
            native_layer_norm rrelu_ segment_reduce unravel_index
        """,
        "method": "hash_tensor",
    },
    "mashal.ops.averages": {
        "torch": "adaptive_avg_pool1d avg_pool1d"
    },  # this one and those for images come with nn.functional
    "mashal.ops.convolution": {"torch": "conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d"},
    "mashal.ops.folding": {},
    "mashal.ops.grids": {"torch": "affine_grid_generator grid_sampler grid_sampler_2d grid_sampler_3d"},
    "mashal.ops.interpolation": {},
    "mashal.ops.pooling": {"torch": "max_pool1d max_pool1d_with_indices max_pool2d max_pool3d"},
    "mashal.ops.windows": {"torch": "bartlett_window blackman_window hamming_window hann_window kaiser_window"},
    "mashal.ops.bessel": {},
    "mashal.ops.distances": {"torch": "cdist"},
    "mashal.ops.histograms": {"torch": "histogram histogramdd", "method": "histogram"},
    "mashal.ops.fourier": {"torch": "istft stft", "method": "istft stft"},
    "mashal.ops.compressed": {
        "torch": "sparse_compressed_tensor sparse_csc_tensor sparse_csr_tensor",
        "method": """
            ccol_indices coalesce col_indices crow_indices indices is_coalesced row_indices sparse_mask to_sparse_coo to_sparse_csc
            to_sparse_csr values
        """,
    },
}
"""Family -> the names it has in mashal and as methods of tensors."""


def names_at(place: str) -> dict[str, str]:
    """Name -> family of what is found at a place ("torch", "method")."""
    return {name: family for family, places in FAMILIES.items() for name in places.get(place, "").split()}
