"""Peers live in virtual environments of their own, so that their pins never meet ours: `bench/.venvs/NAME`, made when first needed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent / ".venvs"
# The second so that the CPU build is taken where the index offers one.
PACKAGES = {
    "constraints": ["outlines-core==0.2.14", "xgrammar==0.2.8", "torch==2.13.0"],
    "ifeval": ["if-verifiable==0.1.2", "langdetect==1.0.9", "nltk==3.10.4", "nupunkt==0.8.0"],
    "kenlm": ["kenlm==0.3.0"],
    "llamacpp": ["llama-cpp-python==0.3.36"],
    "lm-eval": ["lm-eval[hf]==0.4.13", "torch==2.13.0"],
    "trl": ["trl[peft]==1.16.0", "torch==2.13.0"],
}


def python_of(name: str) -> Path:
    """A Python with the peer `name`; HEEDFUL_<NAME>_PYTHON chooses another. llama.cpp is compiled, which takes minutes."""
    if chosen := os.environ.get(f"HEEDFUL_{name.upper().replace('-', '')}_PYTHON"):
        return Path(chosen)
    folder = FOLDER / name
    python = folder / "bin" / "python"
    if not (folder / ".installed").is_file():
        print(f"installing {' '.join(PACKAGES[name])} into {folder}", file=sys.stderr, flush=True)
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", *PACKAGES[name]], check=True)
        (folder / ".installed").touch()
    return python
