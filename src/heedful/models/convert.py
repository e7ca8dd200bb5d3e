"""GGUF -> an ordinary safetensors folder in the cache, once, by whoever comes first.

transformers reads the GGUF; the result is what quantised weights become in 32-bit floats, so nothing is lost by it.
A killed conversion leaves only a hidden `.partial` folder, which the next one removes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from filelock import FileLock

from heedful.errors import ModelError
from heedful.models._libraries import silence, without_stderr
from heedful.models.names import CONVERSION_VERSION, conversion_folder, file_sha256
from heedful.project import Watcher, atomic_folder, steps, write_json
from heedful.project.atomic import remove_partials

RECORD_NAME = "conversion.json"
"""Says which file a conversion was made from."""


def converted(gguf: Path, watcher: Watcher) -> Path:
    """The conversion's folder, made now if it does not exist; several processes may ask at once."""
    folder = conversion_folder(gguf)
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.parent / "lock"):
        if not folder.is_dir():
            remove_partials(folder.parent)
            with steps(watcher, f"convert {gguf.name}", None, "files"), atomic_folder(folder) as temporary:
                _convert(gguf, temporary)
    return folder


def _convert(gguf: Path, folder: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    silence()
    source: dict[str, Any] = {"gguf_file": gguf.name, "local_files_only": True, "trust_remote_code": False}
    try:
        tokenizer = AutoTokenizer.from_pretrained(gguf.parent, **source)
        with without_stderr():
            model = AutoModelForCausalLM.from_pretrained(gguf.parent, dtype=torch.float32, **source)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise ModelError(f"{gguf} cannot be read as a GGUF model ({error}); install or copy the file again") from error
    # The weights are plain floats by now; these two would have them treated, and refused, as quantised ones.
    model.hf_quantizer = None
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.config.name_or_path = ""
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    record = {"source": gguf.name, "source_sha256": file_sha256(gguf), "version": CONVERSION_VERSION}
    write_json(folder / RECORD_NAME, record)
