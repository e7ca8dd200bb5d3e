"""One requirement of each kind, as somebody might ask for it; the documentation says these."""

from __future__ import annotations

from typing import Any

EXAMPLES: dict[str, dict[str, Any]] = {
    "words": {"minimum": 30, "maximum": 50},
    "characters": {"maximum": 280},
    "tokens": {"maximum": 200},
    "sentences": {"exactly": 2},
    "bullets": {"minimum": 3},
    "paragraphs": {"exactly": 4},
    "paragraph_start": {"paragraphs": 4, "paragraph": 2, "word": "Weekend"},
    "keywords": {"all": ["sun", "wind"], "times": 2},
    "forbidden": {"words": ["very", "really"]},
    "starts_with": {"text": "Dear Ann"},
    "ends_with": {"text": "Best wishes"},
    "repeats": {"text": "Name two things."},
    "choice": {"options": ["yes", "no"]},
    "responses": {"number": 2},
    "letters": {"letter": "e", "maximum": 9},
    "capitals": {"minimum": 3},
    "case": {"case": "upper"},
    "no_commas": {},
    "placeholders": {"minimum": 3},
    "highlights": {"minimum": 3},
    "sections": {"splitter": "SECTION", "minimum": 3},
    "title": {},
    "postscript": {"marker": "P.S."},
    "quoted": {},
    "json_schema": {"schema": {"type": "array", "maxItems": 7}},
    "regex": {"pattern": r"\d{4}-\d{2}", "match": "full"},
    "grammar": {"grammar": 'start: "yes" | "no"'},
    "language": {"language": "zh"},
    "script": {"script": "Cyrillic"},
}
