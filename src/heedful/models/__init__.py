"""A model's name -> weights, tokenizer and chat template; and back into a folder that every other tool loads.

Nothing heavy is imported until `load`, `add_lora` or `save_checkpoint` is first used: `identity_of` must stay cheap.
"""

from typing import TYPE_CHECKING

from heedful._lazy import public_names
from heedful.models.info import CheckpointInfo
from heedful.models.names import folder_of, identity_of
from heedful.models.packages import PACKAGES

if TYPE_CHECKING:
    from heedful.models.adapters import add_lora, save_checkpoint
    from heedful.models.loading import LoadedModel, load

__all__ = [
    "PACKAGES",
    "CheckpointInfo",
    "LoadedModel",
    "add_lora",
    "folder_of",
    "identity_of",
    "load",
    "save_checkpoint",
]

__getattr__ = public_names(
    __name__,
    {"LoadedModel": "loading", "load": "loading", "add_lora": "adapters", "save_checkpoint": "adapters"},
)
