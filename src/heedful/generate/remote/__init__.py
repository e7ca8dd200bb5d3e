"""Generation by any server that speaks OpenAI's chat completions: vLLM, SGLang, llama.cpp, a vendor."""

from heedful.generate.remote.engine import RemoteEngine

__all__ = ["RemoteEngine"]
