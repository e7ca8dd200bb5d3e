"""The one place where libraries' usage reports are switched off; it runs before any of them is imported.

Daft, Ray and the hub client report by default. Heedful itself reports nothing to anyone.
"""

import os

_SWITCHES = {
    "DO_NOT_TRACK": "1",
    "SCARF_NO_ANALYTICS": "true",
    "DAFT_ANALYTICS_ENABLED": "0",
    "DAFT_PROGRESS_BAR": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    # Forking after the tokenizer's threads exist only prints a warning that users cannot act on.
    "TOKENIZERS_PARALLELISM": "false",
}


def switch_off_telemetry() -> None:
    """Set every switch, whatever the environment said before: a user's project must never report by accident."""
    os.environ.update(_SWITCHES)
