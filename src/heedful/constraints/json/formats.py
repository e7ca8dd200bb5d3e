"""The formats that are checked, as regular expressions: never more than the checker takes, and what is left out is rare.

Years have four digits and begin with 1 or 2, and an address at a mail host is an ordinary one.
"""

from __future__ import annotations

_HEX = "[0-9a-fA-F]"
_GROUP = f"{_HEX}{{1,4}}"
_BYTE = "(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_LEAP = "(?:[12][0-9](?:0[48]|[2468][048]|[13579][26])|(?:1[26]|2[048])00)"
_DAYS = "(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|1[0-9]|2[0-8]))"
_SHORTENED = "|".join(
    f"(?:{_GROUP}:){{1,{before}}}(?::{_GROUP}){{1,{7 - before}}}" for before in range(1, 7)
)  # fmt: skip

FORMATS: dict[str, str] = {
    "date": f"[12][0-9]{{3}}-{_DAYS}|{_LEAP}-02-29",
    "email": r"[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,8}",
    "ipv4": rf"(?:{_BYTE}\.){{3}}{_BYTE}",
    "ipv6": f"(?:{_GROUP}:){{7}}{_GROUP}|(?:{_GROUP}:){{1,7}}:|{_SHORTENED}|:(?::{_GROUP}){{1,7}}|::",
    "uuid": f"{_HEX}{{8}}-(?:{_HEX}{{4}}-){{3}}{_HEX}{{12}}",
}
