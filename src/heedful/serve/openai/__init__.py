"""The OpenAI-compatible API: `schemas.py` says what may be asked, `routes.py` answers, `errors.py` says what went wrong."""
