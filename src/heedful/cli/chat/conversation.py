"""A conversation with a model: what is said, stored when it is said; versions, ratings and corrections of answers.

Knows no terminal. An answer's way: `ask` or `retry` gives an `Answering`, the caller reads it to its end, `keep` stores
it. The conversation is a tree, as on the page: answers to the same question are versions, the last one goes on.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from heedful.cli.chat.answering import Answering
from heedful.errors import InputError, RequirementError
from heedful.feedback.store import Conversation, Store, StoredMessage
from heedful.generate.engine import Engine, Request, Sampling
from heedful.pipeline.answering import prompt_of
from heedful.pipeline.requiring import Wanted, wanted
from heedful.project.settings import nearest
from heedful.records import Feedback, Message, RequirementSpec
from heedful.requirements import conflicts

RETRY_TEMPERATURE = 0.7
"""A greedy answer never changes; another version needs some chance."""
TUNED, BASE = "tuned", "base"
"""What the project's own models are called, whatever their names."""
_TITLE_LENGTH = 60


@dataclass(frozen=True, slots=True)
class Voice:
    """A model that answers, and the name under which its answers are kept."""

    id: str
    engine: Engine


@dataclass(frozen=True, slots=True)
class _Asked:
    """A question and how it is being answered."""

    question: StoredMessage
    voice: Voice
    sampling: Sampling
    system: str
    wanted: Wanted


class Chat:
    """One person's side of the feedback store, with the conversation that is under way."""

    def __init__(
        self, store: Store, voice: Voice, *, system: str = "", sampling: Sampling, auto_require: bool = False
    ) -> None:
        """`auto_require`: what a message itself states is required of its answer."""
        self._store = store
        self.voice = voice
        self.sampling = sampling
        self.auto_require = auto_require
        self.requirements: tuple[RequirementSpec, ...] = ()
        """Of every answer from now on."""
        self._system = system
        self._conversation: Conversation | None = None
        self._asked: _Asked | None = None
        self._answer: StoredMessage | None = None

    @property
    def system(self) -> str:
        """What the model is told before everything else; empty for nothing."""
        return self._system

    @property
    def answer(self) -> StoredMessage:
        """The last answer; raises InputError when there is none yet."""
        if self._answer is None:
            raise InputError("there is no answer yet; ask something first")
        return self._answer

    @property
    def wanted(self) -> Wanted:
        """What the answer under way, or the last one, must keep."""
        return self._asked.wanted if self._asked is not None else Wanted()

    def ask(self, text: str) -> Answering:
        """Say `text`; raises an error, and stores nothing, when the model cannot answer it."""
        message = Message("user", text)
        wanted = self._wanted(text)
        answering = self._start([*self._said(self._answer), message], self.sampling, wanted)
        try:
            conversation = self._conversation or self._begin(message.content)
            parent = self._answer.id if self._answer else None
            question = self._store.add_message(conversation.id, "user", message.content, parent=parent)
        except BaseException:
            answering.discard()
            raise
        self._conversation = conversation
        self._asked = _Asked(question, self.voice, self.sampling, self._system, wanted)
        return answering

    def retry(self) -> Answering:
        """Another answer to the last question: a version beside the others, with a seed of its own."""
        if self._asked is None:
            raise InputError("there is nothing to answer again; ask something first")
        question = self._asked.question
        versions = [
            message
            for message in self._store.messages(question.conversation)
            if message.parent == question.id and message.role == "assistant"
        ]
        sampling = replace(
            self.sampling,
            seed=self.sampling.seed + max(len(versions), 1),
            temperature=self.sampling.temperature or RETRY_TEMPERATURE,
        )
        wanted = self._wanted(question.content)
        answering = self._start(self._said(question), sampling, wanted)
        self._asked = _Asked(question, self.voice, sampling, self._system, wanted)
        return answering

    def keep(self, answering: Answering) -> StoredMessage | None:
        """Store an answer that has ended; one that was stopped before its first word leaves nothing to keep.

        No database keeps a NUL character, which a model of bytes may write: the sign ␀ stands for it.
        """
        generation, asked = answering.generation, self._asked
        assert asked is not None, "an answer without a question"
        if generation.finish_reason == "cancelled" and not generation.text:
            return None
        self._answer = self._store.add_message(
            asked.question.conversation,
            "assistant",
            generation.text.replace("\0", "\u2400"),
            parent=asked.question.id,
            model=asked.voice.id,
            finish_reason=generation.finish_reason,
            sampling=_described(asked),
            system=asked.system,
        )
        return self._answer

    def rate(self, rating: int, reason: str = "") -> None:
        """Say that the last answer is good (1) or bad (-1); a correction given before stays."""
        before = self._feedback()
        self._store.rate(self.answer.id, rating=rating, reason=reason, correction=before.correction if before else "")

    def correct(self, text: str) -> None:
        """Say what the last answer should have been; a rating given before stays."""
        text = text.strip()
        if not text:
            raise InputError("the better answer is empty; nothing was changed")
        if text == self.answer.content.strip():
            raise InputError(
                "the better answer is the answer itself; nothing was changed, /rate up says that it is good"
            )
        before = self._feedback()
        self._store.rate(
            self.answer.id,
            rating=before.rating if before else 0,
            reason=before.reason if before else "",
            correction=text,
        )

    def new(self) -> None:
        """Begin another conversation, with the same model, system prompt and sampling."""
        self._conversation = self._asked = self._answer = None

    def set_system(self, text: str) -> None:
        """Tell the model something else before everything else, from the next answer on."""
        self._system = text.strip()
        if self._conversation is not None:
            self._conversation = self._store.change_conversation(self._conversation.id, system=self._system)

    def require(self, spec: RequirementSpec) -> None:
        """Require `spec` of every answer from now on; raises RequirementError, and changes nothing, when it cannot be kept."""
        both = (*self.requirements, spec)
        if found := conflicts(both):
            raise RequirementError(
                f"no answer can satisfy these requirements together: {'; '.join(found)}; /require off drops those of before"
            )
        self.requirements = both

    def set(self, name: str, value: str) -> None:
        """Change how answers are chosen: `temperature` or `max_tokens`."""
        if name not in SETTABLE:
            raise InputError(f"unknown setting {name!r}; {nearest(name, list(SETTABLE))}")
        self.sampling = replace(self.sampling, **{name: SETTABLE[name](value)})

    def save(self, path: Path) -> int:
        """Write the conversation as one row in messages shape to a new file; returns the number of messages."""
        messages = [{"role": message.role, "content": message.content} for message in self._said(self.answer)]
        row = json.dumps({"messages": messages}, ensure_ascii=False)
        _write_new(path.expanduser(), row + "\n")
        return len(messages)

    # -- inside ------------------------------------------------------------------------------------------------

    def _begin(self, first: str) -> Conversation:
        title = next((line.strip() for line in first.splitlines() if line.strip()), "")
        return self._store.new_conversation(title=title[:_TITLE_LENGTH], system=self._system)

    def _said(self, last: StoredMessage | None) -> list[Message]:
        """System prompt and everything up to `last`."""
        system = [Message("system", self._system)] if self._system else []
        path = self._store.path(last.id) if last is not None else []
        return system + [Message(message.role, message.content) for message in path]

    def _wanted(self, text: str) -> Wanted:
        return wanted(text, self.requirements, auto_require=self.auto_require)

    def _start(self, messages: Iterable[Message], sampling: Sampling, wanted: Wanted) -> Answering:
        """What is required is said behind the last message; what is stored are a person's own words."""
        *before, last = messages
        if wanted.said:
            last = replace(last, content=prompt_of(last.content, "", wanted.said, seed=sampling.seed))
        request = Request("chat", (*before, last), sampling=sampling, requirements=wanted.all)
        return Answering(self.voice.engine.submit(request))

    def _feedback(self) -> Feedback | None:
        return self._store.feedback_of(self.answer.conversation).get(self.answer.id)


def _temperature(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < math.inf:
        raise InputError(f"temperature is {text!r}, expected 0 (always the likeliest word) or more, for example 0.7")
    return value


def _max_tokens(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 2**31):
        raise InputError(f"max_tokens is {text!r}, expected a whole number of at least 1, for example 512")
    return int(text)


SETTABLE: dict[str, Any] = {"temperature": _temperature, "max_tokens": _max_tokens}
"""What /set can change, and how each value is read."""


def _described(asked: _Asked) -> dict[str, Any]:
    sampling = asked.sampling
    required = [spec.as_dict() for spec in asked.wanted.all]
    told = {"temperature": sampling.temperature, "max_tokens": sampling.max_tokens, "seed": sampling.seed}
    return {**told, **({"requirements": required} if required else {})}


def _write_new(path: Path, text: str) -> None:
    """Write a file that does not exist yet; what cannot be written whole is not left behind."""
    try:
        file = path.open("x", encoding="utf-8")
    except FileExistsError:
        raise InputError(f"{path} exists and is not overwritten; give another name") from None
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error.strerror}); give another place") from None
    try:
        with file:
            file.write(text)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
