"""Operations that few programs use, imported when one of their names is first asked for.

differences   gradient, from samples
places        unravel_index, hash_tensor
normalized    native_layer_norm and its relatives: results with the statistics behind them
segments      segment_reduce
copies        detach and rrelu_ as functions, channels shuffled, a file as a tensor
"""

from mashal.ops.rare import copies, differences, normalized, places, segments

__all__ = ["copies", "differences", "normalized", "places", "segments"]
