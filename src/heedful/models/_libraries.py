"""The one place where transformers and the hub client are told to be quiet: progress and warnings are ours to give."""

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import transformers
from huggingface_hub.utils.tqdm import disable_progress_bars


def silence() -> None:
    """No bars and no warnings while models load; errors still raise."""
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    disable_progress_bars()
    logging.getLogger("peft").setLevel(logging.ERROR)


@contextmanager
def without_stderr() -> Iterator[None]:
    """For the GGUF reader, whose bar has no switch."""
    with contextlib.redirect_stderr(io.StringIO()):
        yield


@contextmanager
def without_future_warnings() -> Iterator[None]:
    """peft calls what transformers will remove in its next major release: nothing that a user could act on."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        yield
