"""The / commands of a chat: what each is called, what it does, and what to say about a misspelt one."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from heedful.cli.chat.conversation import BASE, SETTABLE, TUNED, Chat
from heedful.cli.chat.reading import Reader
from heedful.cli.chat.screen import Screen
from heedful.errors import InputError
from heedful.pipeline.engines import described
from heedful.project.settings import nearest
from heedful.requirements import parse, parse_text

if TYPE_CHECKING:
    from heedful.cli.chat.voices import Voices

# A word of letters alone: `/etc/hosts` and `/* a comment` are things to say.
_ORDER = re.compile(r"/([A-Za-z]+)(?:\s+(.*))?\s*", re.DOTALL)
_RATINGS = {"up": 1, "down": -1}
_NO_SYSTEM = _NOTHING = "off"
_CHECK = "check"


class Leave(Exception):  # noqa: N818  (no error: the wish to end)
    """Ends the chat."""


@dataclass(frozen=True, slots=True)
class Desk:
    """What commands work with."""

    chat: Chat
    voices: Voices
    reader: Reader
    screen: Screen
    retry: Callable[[], None]
    """Answers the last question again and shows it."""


@dataclass(frozen=True, slots=True)
class Order:
    """One command."""

    usage: str
    meaning: str
    run: Callable[[Desk, str], None]


def parse_order(text: str) -> tuple[str, str] | None:
    """(name, rest) of a command; None for what is to be said to the model."""
    match = _ORDER.fullmatch(text.strip())
    return (match[1].lower(), (match[2] or "").strip()) if match else None


def carry_out(desk: Desk, name: str, rest: str) -> None:
    """Do what the command says; raises InputError naming the nearest for one that does not exist."""
    if name not in ORDERS:
        close = nearest(name, list(ORDERS))
        raise InputError(f"unknown command '/{name}'; {close}; to say it to the model, put a space after the /")
    ORDERS[name].run(desk, rest)


def _help(desk: Desk, rest: str) -> None:
    width = max(len(order.usage) for order in ORDERS.values())
    lines = [f"{order.usage:<{width}}  {order.meaning}" for order in ORDERS.values()]
    keys = "Enter sends; Alt+Enter, or a line that ends with \\, goes on in the next line.\n"
    keys += "Ctrl-C stops an answer; twice at the prompt it leaves, as Ctrl-D does."
    desk.screen.remark("\n".join(lines) + "\n" + keys)


def _system(desk: Desk, rest: str) -> None:
    if rest:
        desk.chat.set_system("" if rest == _NO_SYSTEM else rest)
    desk.screen.remark(f"system prompt: {desk.chat.system or 'none'}")


def _retry(desk: Desk, rest: str) -> None:
    desk.retry()


def _rate(desk: Desk, rest: str) -> None:
    word, _, reason = rest.partition(" ")
    if word not in _RATINGS:
        raise InputError(f"/rate {word}: expected up or down, and a reason if you like: /rate down too long")
    desk.chat.rate(_RATINGS[word], reason.strip())
    desk.screen.remark(f"kept: {word}" + (f" ({reason.strip()})" if reason.strip() else ""))


def _correct(desk: Desk, rest: str) -> None:
    answer = desk.chat.answer.content
    try:
        better = rest or desk.reader.read("better> ", draft=answer)
    except EOFError:
        raise InputError("no better answer was given; nothing was changed") from None
    desk.chat.correct(better)
    desk.screen.remark("kept: your better answer")


def _save(desk: Desk, rest: str) -> None:
    if not rest:
        raise InputError("/save needs a file's name, for example /save talk.jsonl")
    number = desk.chat.save(Path(rest))
    desk.screen.remark(f"{number} messages written to {rest}")


def _model(desk: Desk, rest: str) -> None:
    if rest:
        desk.chat.voice = desk.voices.voice(rest)
    now = f"{desk.voices.describe(desk.chat.voice.id)}, with {described(desk.chat.voice.engine)}"
    desk.screen.remark(f"model: {now}" + ("" if rest else f"; /model {TUNED}, {BASE}, or a model's name changes it"))


def _new(desk: Desk, rest: str) -> None:
    desk.chat.new()
    desk.screen.remark("a new conversation")


def _set(desk: Desk, rest: str) -> None:
    name, _, value = rest.partition(" ")
    if name:
        desk.chat.set(name, value.strip())
    desk.screen.remark(", ".join(f"{key} = {getattr(desk.chat.sampling, key)}" for key in SETTABLE))


def _require(desk: Desk, rest: str) -> None:
    chat = desk.chat
    if rest == _NOTHING:
        chat.requirements = ()
    elif rest:
        word, _, text = rest.partition(" ")
        only_checked = word == _CHECK and bool(text)
        spec = parse_text(text if only_checked else rest)
        chat.require(replace(spec, enforce=not only_checked))
    if not chat.requirements:
        desk.screen.remark("nothing is required; /require words=30:50 changes that")
    for spec in chat.requirements:
        desk.screen.remark(f"required: {parse(spec).say('en')}{'' if spec.enforce else ' (only checked)'}")


def _quit(desk: Desk, rest: str) -> None:
    raise Leave


ORDERS: dict[str, Order] = {
    "help": Order("/help", "this list", _help),
    "system": Order("/system [TEXT|off]", "what the model is told before everything else", _system),
    "retry": Order("/retry", "another answer to the last question", _retry),
    "rate": Order("/rate up|down [REASON]", "say what you think of the last answer", _rate),
    "correct": Order("/correct [TEXT]", "give a better answer; without TEXT, edit the last one", _correct),
    "save": Order("/save FILE", "write the conversation to a new file, one jsonl row that import reads", _save),
    "model": Order("/model [NAME]", f"who answers: {TUNED}, {BASE}, or any model's name", _model),
    "new": Order("/new", "begin another conversation", _new),
    "require": Order(
        "/require [NAME=VALUE|off]",
        "what answers must keep, such as words=30:50; as check NAME=VALUE it is not enforced",
        _require,
    ),
    "set": Order("/set [NAME VALUE]", "temperature or max_tokens", _set),
    "quit": Order("/quit", "leave", _quit),
}
"""All commands, in the order in which /help lists them."""
