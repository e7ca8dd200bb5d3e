"""Requirements enforced while an answer is written: every request ends satisfied within its budget, or is refused at once.

    constraint = compose(specs, TokenTable(bytes_of_tokens, end_ids), max_tokens=200)
    state = constraint.start()
    if constraint.permits(state, token):
        state = constraint.advance(state, token)

`machine` says what a requirement becomes, `counting`, `phrases`, `edges`, `choices` and `json` hold the machines by family,
`planner` finds texts that satisfy several, `composition` turns that into tokens, `building` chooses machines for requirements.
"""

from heedful.constraints.building import compose, enforceable
from heedful.constraints.composition import Composition, Written
from heedful.constraints.tokens import TokenTable

__all__ = ["Composition", "TokenTable", "Written", "compose", "enforceable"]
