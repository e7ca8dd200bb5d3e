"""The command line: one command per stage, thin. `main` is the entry point; exit codes 0, 1, 2 and 130.

Only light modules are imported here, so that `heedful --help` answers at once.
"""

from heedful.cli.main import main

__all__ = ["main"]
