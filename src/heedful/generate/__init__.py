"""Request -> Generation, ScoreRequest -> ScoreResult. Engines: `local`, `remote`, `fake`, and `cached` around any of them.

Only the protocol and what needs nothing but it are imported here; an engine costs its libraries when its own module is imported.
"""

from heedful.generate.engine import (
    Engine,
    Event,
    Handle,
    Request,
    Sampling,
    ScoreRequest,
    ScoreResult,
    generate,
)
from heedful.generate.several import Agreement, best_of, majority

__all__ = [
    "Agreement",
    "Engine",
    "Event",
    "Handle",
    "Request",
    "Sampling",
    "ScoreRequest",
    "ScoreResult",
    "best_of",
    "generate",
    "majority",
]
