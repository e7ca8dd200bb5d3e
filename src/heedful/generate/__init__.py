"""Request -> Generation, ScoreRequest -> ScoreResult. Engines: `local`, `remote`, `fake`, and `cached` around any of them.

Only the protocol is imported here; an engine costs its libraries when its own module is imported.
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

__all__ = ["Engine", "Event", "Handle", "Request", "Sampling", "ScoreRequest", "ScoreResult", "generate"]
