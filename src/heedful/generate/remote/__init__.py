"""Generation by any server that speaks OpenAI's chat completions: vLLM, SGLang, llama.cpp, a vendor."""

from heedful.generate.remote.budget import CapReachedError, Caps, Prices, Spent
from heedful.generate.remote.engine import RemoteEngine
from heedful.generate.remote.forecast import Forecast

__all__ = ["CapReachedError", "Caps", "Forecast", "Prices", "RemoteEngine", "Spent"]
