"""The chat page: what people type -> answers that stream, are kept, and are judged.

Files: `routes` (pages, sign-in, static files), `ui` (the page's own JSON and event stream), `writing` (an answer on its way),
`bodies` and `shown` (what the page sends and gets), `markdown` (model text made safe), `signing_in`, `wording` and
`strings.toml` (English and Chinese), `templates/`, `static/` (style sheets and JavaScript modules, nothing from elsewhere).
"""

from heedful.serve.pages.routes import router

__all__ = ["router"]
