"""Where models are computed: the machine's choice, not the project's, so an environment variable says it and no setting."""

from __future__ import annotations

import os
import re

import torch

from heedful.errors import SettingsError

VARIABLE = "HEEDFUL_DEVICE"
_KNOWN = re.compile(r"cpu|cuda(:\d+)?")


def chosen_device() -> torch.device:
    """What HEEDFUL_DEVICE names ("cpu", "cuda", "cuda:1"), or else the GPU that torch sees, or else the processor.

    Of several processes each has a GPU of its own, which its launcher made the current one. Raises SettingsError for a GPU that is
    not there.
    """
    said = os.environ.get(VARIABLE, "")
    if said and not _KNOWN.fullmatch(said):
        raise SettingsError(f"{VARIABLE} is {said!r}; expected cpu, cuda or, with its number, cuda:1")
    num_gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    device = torch.device(said or ("cuda" if num_gpus else "cpu"))
    if device.type == "cuda":
        if (device.index or 0) >= num_gpus:
            raise SettingsError(
                f"{VARIABLE} is {said!r}, and torch {torch.__version__} sees {num_gpus} GPUs here; set it to cpu, or see what is "
                "missing with: heedful doctor"
            )
        # Equal bits every time need room that CUDA's library asks for before its first product.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    return device
