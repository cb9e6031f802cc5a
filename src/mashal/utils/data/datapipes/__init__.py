"""torch.utils.data.datapipes: datasets that are chained, `pipe.shuffle().batch(2)`.

pipes     IterDataPipe, MapDataPipe, and how a pipe gets a name: functional_datapipe
iter      the pipes over what comes one after another
map       the pipes over what has a place
"""

from mashal.utils.data.datapipes import iter, map, pipes

__all__ = ["iter", "map", "pipes"]
