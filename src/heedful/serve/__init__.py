"""The project's models for other programs (an OpenAI-compatible API) and for people (the chat page), from one process.

`state.py` holds what all requests share and streams answers out of worker threads; `app.py` joins API and pages and
guards both; `server.py` loads, binds, runs and ends cleanly.
"""
