"""mashal.serialization: tensors, state_dicts and whole modules in files, in PyTorch's formats, both ways.

Read in this order
  saving      save: the pickle, the records, replacing a file in one step
  loading     load: what kind of file it is, storages read or mapped
  pickling    the pickler that leaves storages out and writes PyTorch's names
  restricted  the unpickler of weights_only=True, and what it refuses; instructions: its table
  safe        what a file may name, and what the user adds to it
  rebuild     tensors taken apart and put together
  names       PyTorch's names and what they stand for here
  checksum    CRC-32 at the speed of memory
  zipwrite    the archive written; zipread, sources: the archive read
  legacy      the format of before PyTorch 1.6; tar: of 0.1
  locations   map_location; settings: options
  versions    questions around it
  memory      the seam to core: all that touches a storage's bytes
Stands on core and nn.parameter.
"""

from mashal.nearest import nearest
from mashal.serialization.legacy import MAGIC_NUMBER as MAGIC_NUMBER
from mashal.serialization.legacy import PROTOCOL_VERSION as PROTOCOL_VERSION
from mashal.serialization.loading import get_unsafe_globals_in_checkpoint as get_unsafe_globals_in_checkpoint
from mashal.serialization.loading import load as load
from mashal.serialization.locations import default_restore_location as default_restore_location
from mashal.serialization.locations import location_tag as location_tag
from mashal.serialization.locations import register_package as register_package
from mashal.serialization.memory import StorageType as StorageType
from mashal.serialization.safe import add_safe_globals as add_safe_globals
from mashal.serialization.safe import clear_safe_globals as clear_safe_globals
from mashal.serialization.safe import get_safe_globals as get_safe_globals
from mashal.serialization.safe import safe_globals as safe_globals
from mashal.serialization.saving import DEFAULT_PROTOCOL as DEFAULT_PROTOCOL
from mashal.serialization.saving import save as save
from mashal.serialization.settings import LoadEndianness as LoadEndianness
from mashal.serialization.settings import get_crc32_options as get_crc32_options
from mashal.serialization.settings import get_default_load_endianness as get_default_load_endianness
from mashal.serialization.settings import get_default_mmap_options as get_default_mmap_options
from mashal.serialization.settings import set_crc32_options as set_crc32_options
from mashal.serialization.settings import set_default_load_endianness as set_default_load_endianness
from mashal.serialization.settings import set_default_mmap_options as set_default_mmap_options
from mashal.serialization.settings import skip_data as skip_data
from mashal.serialization.versions import check_module_version_greater_or_equal as check_module_version_greater_or_equal
from mashal.serialization.versions import normalize_storage_type as normalize_storage_type

__getattr__ = nearest(__name__)
