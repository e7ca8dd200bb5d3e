"""What a person types -> answers as they are written, kept with what the person thinks of them. `heedful chat`.

Files: `conversation` (what is said, stored, rated; knows no terminal), `answering` (one answer as it comes), `voices`
(models by name), `orders` (the / commands), `reading` (lines from a terminal or a pipe), `screen` (what is shown),
`dialogue` (all of it together), `command` (its options).
"""

from heedful.cli.chat.command import register

__all__ = ["register"]
