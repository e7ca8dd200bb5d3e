"""RequirementSpec -> a sentence that asks for it, and a Verdict on an answer.

    requirement = parse(RequirementSpec("words", {"maximum": 30}))
    requirement.say("en")            # "Use at most 30 words."
    requirement.check(answer)        # Verdict(satisfied=False, reason="42 words, at most 30 expected", fraction=0.72...)

    wanted = Requirements.from_toml("wanted.toml")        # all of a request: say, check, reward, conflicts

Files hold one family of kinds each (`counts`, `paragraphs`, `keywords`, `affixes`, `choice`, `responses`, `letters`,
`formats`, `json_schema`, `patterns`, `grammars`, `language`, `scripts`); `registry` names them, `group`, `together` and
`conflicts` treat several at once, `flags` reads what people type, `ifeval` what IFEval's data set asks.
"""

from heedful.requirements.conflicts import conflicts
from heedful.requirements.flags import from_flags, parse_flag, parse_text
from heedful.requirements.group import Checked, Requirements
from heedful.requirements.ifeval import from_ifeval
from heedful.requirements.registry import REQUIREMENTS, parse
from heedful.requirements.requirement import LANGUAGES, NUM_WORDINGS, Language, Requirement, Verdict
from heedful.requirements.together import check_all, reward, satisfied, say_all

__all__ = [
    "LANGUAGES",
    "NUM_WORDINGS",
    "REQUIREMENTS",
    "Checked",
    "Language",
    "Requirement",
    "Requirements",
    "Verdict",
    "check_all",
    "conflicts",
    "from_flags",
    "from_ifeval",
    "parse",
    "parse_flag",
    "parse_text",
    "reward",
    "satisfied",
    "say_all",
]
