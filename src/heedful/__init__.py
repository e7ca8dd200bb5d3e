"""Heedful: documents, a handful of examples and a base model become a model that follows instructions, with proof.

Importing this package is cheap: everything heavy is imported when it is first asked for.
"""

from heedful._quiet import switch_off_telemetry

switch_off_telemetry()

__version__ = "0.1.0"
