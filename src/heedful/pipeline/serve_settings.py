"""Settings of `heedful serve` and `heedful chat`: where to listen, and where to keep what people say."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

from pydantic import Field, field_validator

from heedful.errors import SettingsError
from heedful.project.folder import Project
from heedful.project.settings import Settings


class ServeSettings(Settings):
    """Serving; nothing here changes a model."""

    host: str = Field("127.0.0.1", min_length=1)
    """The address to listen on. The default is reached from this machine only; 0.0.0.0 is every network it is in."""
    port: int = Field(8000, ge=0, le=65535)
    """The port to listen on; 0 takes a free one."""
    store: str = ""
    """URL of the database for conversations and feedback: sqlite:///PATH or postgresql://HOST/NAME; empty keeps them in the project."""

    @field_validator("store")
    @classmethod
    def _holds_no_password(cls, url: str) -> str:
        # A SettingsError passes through pydantic as it is: pydantic's own errors would repeat the value.
        if _has_password(url):
            raise SettingsError(
                "serve.store holds a password, which settings, logs and backups would then hold too; leave it out of "
                "the URL and set PGPASSWORD, or put it into ~/.pgpass"
            )
        return url

    def store_url(self, project: Project) -> str:
        """Where this project's conversations and feedback are."""
        return self.store or project.feedback_url


def _has_password(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise SettingsError(f"serve.store is not a URL: {error}; for example postgresql://localhost/heedful") from None
    return parts.password is not None or "password" in parse_qs(parts.query, keep_blank_values=True)
