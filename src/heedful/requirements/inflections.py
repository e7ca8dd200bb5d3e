"""The forms of an English word: plural, third person, past, participles, comparative and superlative.

By spelling rules and a list of irregular words, not by a dictionary: a few forms that nobody writes are among them
("catched"), which does no harm when a text is searched. Other words than English ones have no forms but themselves.
"""

from __future__ import annotations

from functools import lru_cache

# Base form first; what the rules give (plays, playing) is added by itself.
_IRREGULAR = """
be am is are was were been being
have has had
do does did done
go goes went gone
arise arose arisen
awake awoke awoken
bear bore borne born
beat beaten
become became
begin began begun
bend bent
bet
bind bound
bite bit bitten
bleed bled
blow blew blown
break broke broken
breed bred
bring brought
build built
burn burnt
buy bought
catch caught
choose chose chosen
cling clung
come came
cost
creep crept
cut
deal dealt
dig dug
draw drew drawn
dream dreamt
drink drank drunk
drive drove driven
eat ate eaten
fall fell fallen
feed fed
feel felt
fight fought
find found
flee fled
fly flew flown
forbid forbade forbidden
forget forgot forgotten
forgive forgave forgiven
freeze froze frozen
get got gotten
give gave given
grind ground
grow grew grown
hang hung
hear heard
hide hid hidden
hit
hold held
hurt
keep kept
kneel knelt
know knew known
lay laid
lead led
lean leant
leap leapt
learn learnt
leave left
lend lent
let
lie lay lain
light lit
lose lost
make made
mean meant
meet met
pay paid
put
quit
read
ride rode ridden
ring rang rung
rise rose risen
run ran
say said
see saw seen
seek sought
sell sold
send sent
set
shake shook shaken
shine shone
shoot shot
show shown
shrink shrank shrunk
shut
sing sang sung
sink sank sunk
sit sat
sleep slept
slide slid
speak spoke spoken
spell spelt
spend spent
spin spun
spit spat
split
spread
spring sprang sprung
stand stood
steal stole stolen
stick stuck
sting stung
strike struck stricken
swear swore sworn
sweep swept
swell swollen
swim swam swum
swing swung
take took taken
teach taught
tear tore torn
tell told
think thought
throw threw thrown
understand understood
wake woke woken
wear wore worn
weave wove woven
weep wept
win won
wind wound
withdraw withdrew withdrawn
write wrote written
man men
woman women
child children
person people
foot feet
tooth teeth
goose geese
mouse mice
ox oxen
criterion criteria
phenomenon phenomena
analysis analyses
basis bases
crisis crises
thesis theses
datum data
medium media
index indices
good better best
well better best
bad worse worst
far farther farthest further furthest
little less least
many more most
much more most
"""
_GROUPS: dict[str, list[str]] = {}
for _line in _IRREGULAR.split("\n"):
    for _word in _line.split():
        _GROUPS.setdefault(_word, []).extend(_line.split())

_VOWELS = frozenset("aeiou")


@lru_cache(maxsize=4096)
def forms(word: str) -> frozenset[str]:
    """Each form of `word`, which is in lower case, and the word itself; "went" has those of "go"."""
    group = _GROUPS.get(word, [])
    found = {word, *group}
    for base in (word, *group[:1]):
        if base.isascii() and base.isalpha() and len(base) > 1:
            found.update((_with_s(base), *_with_ending(base)))
            if base.endswith("f"):
                found.add(f"{base[:-1]}ves")
            elif base.endswith("fe"):
                found.add(f"{base[:-2]}ves")
    return frozenset(found)


def _with_s(word: str) -> str:
    if word.endswith(("s", "x", "z", "ch", "sh")) or (word.endswith("o") and word[-2] not in _VOWELS):
        return f"{word}es"
    return f"{word[:-1]}ies" if _ends_in_consonant_y(word) else f"{word}s"


def _with_ending(word: str) -> set[str]:
    """With -ed, -er, -est and -ing."""
    if word.endswith("ie"):
        return {*(word + ending for ending in ("d", "r", "st")), f"{word[:-2]}ying"}
    if word.endswith("e"):
        kept = word.endswith(("ee", "oe", "ye"))
        return {*(word + ending for ending in ("d", "r", "st")), f"{word if kept else word[:-1]}ing"}
    if _ends_in_consonant_y(word):
        return {*(word[:-1] + ending for ending in ("ied", "ier", "iest")), f"{word}ing"}
    return {stem + ending for stem in _stems(word) for ending in ("ed", "er", "est", "ing")}


def _stems(word: str) -> list[str]:
    """`stopp` for "stop"; for longer words both, since "visited" and "preferred" differ by their stress."""
    doubles = len(word) > 2 and word[-1] not in "aeiouwxy" and word[-2] in _VOWELS and word[-3] not in _VOWELS
    if not doubles:
        return [word]
    is_short = sum(letter in _VOWELS or letter == "y" for letter in word) == 1
    return [word + word[-1]] if is_short else [word, word + word[-1]]


def _ends_in_consonant_y(word: str) -> bool:
    return word.endswith("y") and word[-2] not in _VOWELS
