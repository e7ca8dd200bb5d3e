"""A chat from the first prompt to the last: reads, has commands carried out, shows answers, keeps them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from heedful.cli.chat.answering import Answering, when_interrupted
from heedful.cli.chat.conversation import Chat
from heedful.cli.chat.orders import Desk, Leave, carry_out, parse_order
from heedful.cli.chat.reading import Reader
from heedful.cli.chat.screen import Screen
from heedful.errors import HeedfulError, UserError
from heedful.pipeline.answering import checked
from heedful.records import Generation

if TYPE_CHECKING:
    from heedful.cli.chat.voices import Voices


class Dialogue:
    """One chat. A person's mistakes are told and the chat goes on; from a pipe they end it."""

    def __init__(self, chat: Chat, voices: Voices, reader: Reader, screen: Screen) -> None:
        self._chat, self._reader, self._screen = chat, reader, screen
        self._desk = Desk(chat, voices, reader, screen, self._retry)

    def run(self) -> None:
        """Until the input ends, or the person leaves."""
        interrupted_before = False
        while True:
            try:
                text = self._reader.read()
            except EOFError:
                return
            except KeyboardInterrupt:
                if not self._reader.interactive:
                    raise
                if interrupted_before:
                    return
                interrupted_before = True
                self._screen.remark("Ctrl-C again leaves; so does Ctrl-D")
                continue
            interrupted_before = False
            try:
                self._take(text)
            except Leave:
                return
            except (HeedfulError, KeyboardInterrupt) as error:
                if isinstance(error, UserError):
                    error = _in_orders(error)
                if not self._reader.interactive:
                    raise error from None
                self._screen.remark(str(error) or "stopped; nothing was changed")

    def _take(self, text: str) -> None:
        order = parse_order(text)
        if order is not None:
            carry_out(self._desk, *order)
        elif text.strip():
            self._show(self._chat.ask(text.strip("\n")))

    def _retry(self) -> None:
        self._show(self._chat.retry())

    def _show(self, answering: Answering) -> None:
        """Show an answer as it comes; what was shown is kept, however it ends."""
        for read in self._chat.wanted.read:
            self._screen.remark(f"(required: {read.described()})")
        was_stopped = False

        def stop() -> None:
            nonlocal was_stopped
            was_stopped = True
            answering.stop()

        # Also while it is being stored: whoever presses Ctrl-C twice must not lose it.
        with when_interrupted(stop):
            try:
                self._screen.answer(answering)
            finally:
                kept = self._chat.keep(answering)
        if was_stopped and not self._reader.interactive:
            raise KeyboardInterrupt
        remark = _how_it_ended(answering.generation, self._chat.sampling.max_tokens, kept=kept is not None)
        for line in [*([remark] if remark else []), *self._broken(answering.generation)]:
            self._screen.remark(f"({line})")

    def _broken(self, generation: Generation) -> list[str]:
        """What the answer does not keep of what was required."""
        if generation.finish_reason == "cancelled":
            return []
        answer = checked(generation, self._chat.wanted.all)
        return [line for line in answer.complaints if line.startswith("not satisfied")]


def _in_orders(error: UserError) -> UserError:
    """The same error, for somebody who made no request, with remedies that can be typed."""
    text = str(error).removeprefix("request 'chat': ")
    text = text.replace('set "enforce": false', "/require off and then /require check NAME=VALUE")
    return type(error)(text.replace("raise max_tokens", "raise it with /set max_tokens"))


def _how_it_ended(generation: Generation, max_tokens: int, *, kept: bool) -> str:
    """What to say about an answer that did not end by itself; empty for one that did."""
    number = generation.usage.completion_tokens
    if generation.finish_reason == "cancelled":
        return "stopped" if kept else "stopped before the first word; nothing was kept"
    if generation.finish_reason == "length" and 0 < number < max_tokens:
        return f"cut off after {number} tokens: the model reads no more; /new begins another conversation"
    if generation.finish_reason == "length":
        return f"cut off after {max_tokens} tokens; /set max_tokens {2 * max_tokens} allows more"
    return "" if generation.text else "the answer is empty"
