"""The application: API and pages joined, behind the guard."""

from __future__ import annotations

from fastapi import FastAPI

from heedful import __version__
from heedful.serve.guard import Guard
from heedful.serve.openai.errors import handle_errors
from heedful.serve.openai.routes import api_router
from heedful.serve.state import State


def create_app(state: State) -> FastAPI:
    """API and pages over `state`. FastAPI's own documentation pages are off: they load scripts from elsewhere."""
    from heedful.serve.pages import router as pages_router

    app = FastAPI(
        title=f"{state.title} (Heedful)",
        version=__version__,
        description="Models of this project, asked as OpenAI's clients ask.",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        # Nothing is reported to anyone, whatever the environment says.
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
    )
    handle_errors(app)
    app.include_router(api_router(state))
    app.include_router(pages_router(state))
    app.add_middleware(Guard, state=state)
    return app
