"""An instruction -> the requirements that it states.

    read_requirements("Describe the sun in at least 30 words, without commas.")
    # Found(RequirementSpec("words", {"minimum": 30}), ...), Found(RequirementSpec("no_commas", {}), ...)

Sentences that requirements say themselves are read back exactly (`said`); what people write is read by rules on
sentences (`cutting`, `speech`, `given`), one file for each family of kinds. Precision comes before recall.
"""

from heedful.requirements.reading.found import Found
from heedful.requirements.reading.reader import read_requirements

__all__ = ["Found", "read_requirements"]
