"""One command in several processes, as `accelerate launch -m heedful ...` or `torchrun -m heedful ...` start them.

The first does what the command says. The others wait until it trains, train along, and go when it is done.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable


def is_several() -> bool:
    """Whether a launcher started more than this process."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def in_company(main: Callable[[], int]) -> int:
    """Run `main` in the first process and follow it in the others; returns the exit code."""
    from heedful.errors import HeedfulError
    from heedful.train.together.along import dismiss, follow
    from heedful.train.together.parallel import launched_rank

    if launched_rank() == 0:
        code = main()
        # When it failed the launcher ends the others, who may be in the middle of a step.
        if code == 0:
            dismiss()
        return code
    try:
        return follow()
    except HeedfulError as error:
        print(f"heedful, process {launched_rank()}: {error}", file=sys.stderr)
        return error.exit_code
