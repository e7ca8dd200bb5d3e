"""Generation and scoring with llama.cpp, for GGUF files: an extra, `pip install 'heedful[llamacpp]'`."""

from heedful.generate.llamacpp.engine import LlamaCppEngine

__all__ = ["LlamaCppEngine"]
