"""Conversation -> token ids and loss mask. The only place where chat text becomes ids, in training and in use.

Promises, each checked on every call:
- the ids of a prompt are an exact prefix of the ids of the rendered conversation, so what is trained is what is asked;
- the ids of a conversation's beginning are the beginning of the whole's: no template rewrites what was said;
- every answer and its end of turn is trained, and nothing else (`loss_mask`, True = trained). What a template writes between
  the prompt and the answer (an empty `<think>` block) a model must write itself: that belongs to the answer;
- every end of turn that is trained is one at which answers stop in use;
- text from messages never becomes a control token: a user who writes "<|im_end|>" gets those ten characters.

How: the tokenizer's chat template is rendered with a placeholder for each message's content. What stands between the
placeholders is the template's own structure, and only there do special tokens count. Content is then put in as plain
text, each stretch between special tokens encoded in one piece, so that ordinary text gets exactly the ids that the
tokenizer's own `apply_chat_template` gives.

Tokenizers without a chat template get a plain one, English or Chinese by the script of the first user message.
`指令` holds instruction and input together: a conversation no longer knows where one ends and the other begins.
Plain templates have no control tokens around messages, so a user can imitate their headings; only the end is safe.

Encoder-decoder models read the prompt apart from the answer. Without a template of their own they get a single question as
it is, for so the T5 family was trained.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from jinja2.exceptions import TemplateError
from tokenizers import Tokenizer

from heedful.errors import InputError, ModelError, TemplateMismatchError
from heedful.records import Message, digest

if TYPE_CHECKING:
    from heedful.models.loading import LoadedModel

RENDER_VERSION = 1
"""Raised by hand when rendering changes: checkpoints trained before are then refused."""

_PLAIN = (
    "{{% for message in messages %}}"
    "{{% if message['role'] == 'assistant' %}}{{{{ '{answer}\n' + message['content'] + eos_token + '\n\n' }}}}"
    "{{% elif message['role'] == 'user' %}}{{{{ '{instruction} ' + message['content'] + '\n\n' }}}}"
    "{{% else %}}{{{{ message['content'] + '\n\n' }}}}{{% endif %}}"
    "{{% endfor %}}"
    "{{% if add_generation_prompt %}}{{{{ '{answer}\n' }}}}{{% endif %}}"
)
PLAIN_TEMPLATES = {
    "plain": _PLAIN.format(instruction="Instruction:", answer="Response:"),
    "chinese": _PLAIN.format(instruction="指令:", answer="输出:"),
}
"""For tokenizers without a template of their own; chosen by name, or by the first user message."""
# With headings only where there were answers before: else nobody would know whose words are whose.
_TEXT = (
    "{{% set answers = messages | selectattr('role', 'equalto', 'assistant') | list %}}"
    "{{% for message in messages %}}"
    "{{% if message['role'] == 'assistant' %}}{{{{ '{answer} ' }}}}"
    "{{% elif answers and message['role'] == 'user' %}}{{{{ '{instruction} ' }}}}{{% endif %}}"
    "{{{{ message['content'] }}}}{{% if not loop.last %}}{{{{ '\n\n' }}}}{{% endif %}}"
    "{{% endfor %}}"
    "{{% if answers and add_generation_prompt %}}{{{{ '\n\n{answer}' }}}}{{% endif %}}"
)
TEXT_TEMPLATES = {
    "plain": _TEXT.format(instruction="Instruction:", answer="Response:"),
    "chinese": _TEXT.format(instruction="指令:", answer="输出:"),
}
"""The same for encoder-decoder models."""

_HAN = re.compile(r"[\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
# Encoded once to see how a tokenizer treats text; part of the template hash.
_PROBES = ("The answer is 42.\n\n- one\n- two", "请把这句话翻译成英文：你好！", "  spaces\tand <|im_end|> text  ")


@dataclass(frozen=True, slots=True)
class Rendered:
    """A conversation as the model reads it."""

    input_ids: list[int]
    loss_mask: list[bool]
    """True where the token is trained: answers and their ends of turn."""
    num_end_of_turn: int
    """How many ends of turn are trained."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A question and its answer, each by itself."""

    source_ids: list[int]
    """What is read: the prompt."""
    target_ids: list[int]
    """What is written: the last answer and its end of turn."""


@dataclass(frozen=True, slots=True)
class _Piece:
    """A stretch of rendered text: the template's own structure, or the content of message number `content`."""

    text: str
    content: int | None = None


def renderer_for(loaded: LoadedModel) -> Renderer:
    """The renderer of a loaded model; raises TemplateMismatchError when it is not the one it was trained with."""
    kind = PairRenderer if loaded.is_encoder_decoder else Renderer
    renderer = kind(loaded.tokenizer, stop_ids=_stop_ids(loaded.model))
    info = loaded.info
    if info is not None and info.template_hash != renderer.template_hash:
        raise TemplateMismatchError(
            f"{loaded.folder}: the chat template or its special tokens are not those that this checkpoint was trained "
            f"with (trained with {info.template_hash}, found {renderer.template_hash}); restore the folder's tokenizer "
            "files, or train again"
        )
    return renderer


class Renderer:
    """Turns conversations into ids with one tokenizer and one template. Holds no state between calls."""

    _plain = PLAIN_TEMPLATES

    def __init__(self, tokenizer: Any, template: str | None = None, *, stop_ids: Collection[int] = ()) -> None:
        """`template`: a name of `PLAIN_TEMPLATES`, Jinja text, or None for the tokenizer's own (else a plain one).

        `stop_ids`: what the model's own configuration says its answers end with, beside the tokenizer's end of text.
        """
        if getattr(tokenizer, "backend_tokenizer", None) is None:
            raise ModelError(f"{type(tokenizer).__name__} is not a fast tokenizer; a tokenizer.json is needed")
        self._tokenizer = tokenizer
        self._templates = _templates(tokenizer, template, self._plain)
        # Our own copy of the tokenizer reads special-token text as the characters it is.
        self._encoder = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
        self._encoder.encode_special_tokens = True
        self._encoder.no_truncation()
        self._encoder.no_padding()
        self._special = {token.content: (index, token) for index, token in _special_tokens(tokenizer).items()}
        # An unknown character becomes an unknown token: that one has no meaning to abuse.
        self._control = {index for index, _ in self._special.values()} - {tokenizer.unk_token_id}
        longest_first = sorted(self._special, key=len, reverse=True)
        self._special_pattern = re.compile("|".join(map(re.escape, longest_first)) or "(?!)")
        # Set below, from a conversation of "a" and "b"; until then nothing is known about the template.
        self._opening = self._follower = ""
        self._opening = self._find_opening()
        self._follower = self._find_follower(stop_ids)
        self.end_of_turn_ids: tuple[int, ...] = self._find_end_of_turn()
        """Ids that end an answer; the first is the one that the template writes and training teaches."""
        if self._follower:
            # Which of them the model writes says who speaks next.
            self.end_of_turn_ids += tuple(sorted(set(stop_ids) - set(self.end_of_turn_ids)))
        self._check_against_tokenizer()
        self.template_hash: str = self._hash()

    def prompt_ids(self, messages: Sequence[Message]) -> list[int]:
        """The ids after which an answer begins: `messages` and the head of the assistant's turn."""
        _check_asks(messages)
        return self._encode_spans(messages, generation_prompt=True).input_ids

    def render(self, messages: Sequence[Message]) -> Rendered:
        """A whole conversation. What follows the last end of turn (a newline, say) is kept, untrained."""
        rendered = self._encode_spans(messages, generation_prompt=False)
        starts = [
            index
            for index, trained in enumerate(rendered.loss_mask)
            if trained and not (index and rendered.loss_mask[index - 1])
        ]
        answers = [number for number, message in enumerate(messages) if message.role == "assistant"]
        for number, start in zip(answers, starts, strict=True):
            if self._prompt_before(messages, number) != rendered.input_ids[:start]:
                raise ModelError(
                    f"the chat template writes what comes before message {number + 1} otherwise in a finished "
                    "conversation than when asking for that answer; such a template cannot be trained faithfully: "
                    "use one-turn conversations, or another template"
                )
            self._check_answer(messages, number, rendered, start)
        return rendered

    def _check_answer(self, messages: Sequence[Message], number: int, rendered: Rendered, start: int) -> None:
        """That answer `number`, trained from `start` on, ends as answers do, and stays as it was once more is said."""
        end = next((i for i in range(start, len(rendered.loss_mask)) if not rendered.loss_mask[i]), None)
        last = rendered.input_ids[:end][-1]
        if last not in self.end_of_turn_ids:
            raise ModelError(
                f"the chat template ends message {number + 1} with {self.token(last)!r}, at which answers do not stop in use "
                f"({', '.join(map(self.token, self.end_of_turn_ids))} are known): the model would learn to run on; another template is needed"
            )
        if number + 1 == len(messages):
            return
        alone = self._encode_spans(messages[: number + 1], generation_prompt=False)
        num_alone = max(place for place, trained in enumerate(alone.loss_mask) if trained) + 1
        if alone.input_ids[:num_alone] != rendered.input_ids[:end]:
            raise ModelError(
                f"the chat template rewrites message {number + 1} once the conversation goes on (it leaves out reasoning, for "
                "example), so the beginning of a conversation is not the beginning of its rendering; such a template cannot be "
                "trained faithfully on several turns: use one-turn conversations, or another template"
            )

    def depends_on_time(self) -> bool:
        """Whether the template writes the date or the time of rendering, so that no two days have equal prompts."""
        from transformers.utils.chat_template_utils import _compile_jinja_template

        values = {
            "messages": [{"role": "user", "content": "a"}],
            "add_generation_prompt": True,
            **self._tokenizer.special_tokens_map,
        }
        # What a template may call for the clock; a name given here goes before transformers' own.
        clocks: list[Callable[[str], str]] = [lambda _: "yesterday", lambda _: "today"]
        template = _compile_jinja_template(self._templates[0])
        texts = {template.render(**values, strftime_now=clock) for clock in clocks}
        return len(texts) > 1

    def pair(self, messages: Sequence[Message]) -> Pair:
        """The last answer, and the prompt that asks for it. What follows its end of turn is left out."""
        _check_answers(messages)
        rendered = self.render(messages)
        num_prompt = len(self.prompt_ids(messages[:-1]))
        end = max(place for place, trained in enumerate(rendered.loss_mask) if trained) + 1
        return Pair(rendered.input_ids[:num_prompt], rendered.input_ids[num_prompt:end])

    def decode(self, ids: Sequence[int]) -> str:
        """Text of `ids`, control tokens left out, spaces as they are."""
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False))

    def token(self, index: int) -> str:
        """A token as the vocabulary spells it, for messages."""
        return str(self._tokenizer.convert_ids_to_tokens(index))

    def _prompt_before(self, messages: Sequence[Message], number: int) -> list[int]:
        if number == 0 or messages[number - 1].role == "assistant":
            raise InputError(
                f"message {number + 1} is an answer, but nothing before it asks for one; "
                "join answers that follow each other, and begin with a user's message"
            )
        return self.prompt_ids(messages[:number])

    # -- template -> pieces --------------------------------------------------------------------------------------

    def _text(self, messages: Sequence[Message], contents: Sequence[str], *, generation_prompt: bool) -> str:
        rows = [{"role": m.role, "content": content} for m, content in zip(messages, contents, strict=True)]
        try:
            text = self._tokenizer.apply_chat_template(
                rows,
                chat_template=self._template_for(messages),
                tokenize=False,
                add_generation_prompt=generation_prompt,
            )
        except TemplateError as error:
            raise InputError(f"the model's chat template refuses this conversation: {error}") from None
        return str(text)

    def _template_for(self, messages: Sequence[Message]) -> str:
        first = next((message.content for message in messages if message.role == "user"), "")
        return self._templates[-1] if _is_chinese(first) else self._templates[0]

    def _pieces(self, messages: Sequence[Message], *, generation_prompt: bool) -> list[_Piece]:
        """Structure and content in turn, beginning and ending with structure."""
        contents = [message.content for message in messages]
        mark = "\ue000"
        while any(mark in content for content in contents):
            mark += "\ue001"
        marks = [f"{mark}{number}\ue002" for number in range(len(messages))]
        skeleton = self._text(messages, marks, generation_prompt=generation_prompt)
        actual = self._text(messages, contents, generation_prompt=generation_prompt)
        parts = re.split(f"{mark}(\\d+)\ue002", skeleton)
        if sorted(map(int, parts[1::2])) != list(range(len(messages))):
            raise ModelError("the chat template leaves out a message or repeats one; another template is needed")
        for place, number in enumerate(map(int, parts[1::2])):
            if messages[number].role == "assistant" and "</think>" in contents[number]:
                # The template puts the answer's own reasoning where it would otherwise say that there is none.
                parts[2 * place] = parts[2 * place].removesuffix(self._opening)
        return _align(parts, contents, actual)

    def _spans(self, messages: Sequence[Message], pieces: Sequence[_Piece]) -> Iterator[tuple[list[_Piece], bool]]:
        """Cut `pieces` where training begins and ends: before each answer, and after its end of turn."""
        span: list[_Piece] = []
        in_answer = False
        for piece in pieces:
            if piece.content is not None and messages[piece.content].role == "assistant":
                opening = self._opening if self._opening and span and span[-1].text.endswith(self._opening) else ""
                if opening:
                    span[-1] = _Piece(span[-1].text.removesuffix(opening))
                yield span, False
                span, in_answer = [_Piece(opening), piece] if opening else [piece], True
            elif in_answer:
                text = piece.text or self._follower
                end = self._special_pattern.search(text)
                if end is None:
                    raise ModelError("the chat template writes no special token after an answer: nothing ends a turn")
                yield [*span, _Piece(text[: end.end()])], True
                rest = text[end.end() :]
                # Some tokens swallow the white space behind them (Phi's).
                span = [_Piece(rest.lstrip() if self._special[end.group()][1].rstrip else rest)]
                in_answer = False
            else:
                span.append(piece)
        yield span, False

    # -- pieces -> ids -------------------------------------------------------------------------------------------

    def _encode_spans(self, messages: Sequence[Message], *, generation_prompt: bool) -> Rendered:
        ids: list[int] = []
        mask: list[bool] = []
        num_end_of_turn = 0
        for span, trained in self._spans(messages, self._pieces(messages, generation_prompt=generation_prompt)):
            encoded = self._encode(span)
            ids += encoded
            mask += [trained] * len(encoded)
            num_end_of_turn += trained
        return Rendered(ids, mask, num_end_of_turn)

    def _encode(self, span: Sequence[_Piece]) -> list[int]:
        ids: list[int] = []
        run = ""
        strip_next = False
        for piece in span:
            texts = [piece.text] if piece.content is not None else self._split_special(piece.text)
            for number, text in enumerate(texts):
                # Odd places hold the special tokens of structure.
                if piece.content is None and number % 2:
                    index, token = self._special[text]
                    ids += self._encode_text(run.rstrip() if token.lstrip else run)
                    ids.append(index)
                    run, strip_next = "", token.rstrip
                else:
                    run += text.lstrip() if strip_next and not run else text
        return ids + self._encode_text(run)

    def _split_special(self, text: str) -> list[str]:
        """`text` and special tokens in turn: ["", "<|im_start|>", "user\\n"]."""
        return re.split(f"({self._special_pattern.pattern})", text)

    def _encode_text(self, text: str) -> list[int]:
        if not text:
            return []
        encoding = self._encoder.encode(text, add_special_tokens=False)
        if self._control.isdisjoint(encoding.ids):
            return list(encoding.ids)
        # Unigram models hold "</s>" as a piece like any other, and may find it in "＜/s＞" too: such text is cut in two.
        cuts = [
            start + 1
            for index, (start, _) in zip(encoding.ids, encoding.offsets, strict=True)
            if index in self._control
        ]
        parts = [text[start:end] for start, end in pairwise([0, *cuts, len(text)])]
        ids = [index for part in parts for index in self._encoder.encode(part, add_special_tokens=False).ids]
        return [index for index in ids if index not in self._control]

    # -- what is known once per tokenizer ------------------------------------------------------------------------

    def _find_opening(self) -> str:
        """What the template writes between a prompt and its answer; a model must write it itself. Mostly nothing."""
        messages = (Message("user", "a"), Message("assistant", "b"))
        before = self._pieces(messages[:1], generation_prompt=True)[-1].text
        written = self._pieces(messages, generation_prompt=False)[-3].text
        return written[len(before) :] if before and written.startswith(before) else ""

    def _find_follower(self, stop_ids: Collection[int]) -> str:
        """The token of the next speaker, in templates that end an answer with nothing else (GLM's); empty in all others.

        It is one only if it comes right after an answer and models stop at it: else an end of turn is merely missing.
        """
        asked, answered = Message("user", "a"), Message("assistant", "b")
        try:
            pieces = self._pieces((asked, answered, asked, answered), generation_prompt=False)
        except (InputError, ModelError):
            return ""  # A template of one question and one answer.
        next_one = self._special_pattern.match(pieces[4].text)
        if pieces[-1].text or next_one is None:
            return ""
        return next_one.group() if self._special[next_one.group()][0] in stop_ids else ""

    def _find_end_of_turn(self) -> tuple[int, ...]:
        messages = (Message("user", "a"), Message("assistant", "b"))
        trained = [
            span
            for span, is_trained in self._spans(messages, self._pieces(messages, generation_prompt=False))
            if is_trained
        ]
        written = self._encode(trained[0])[-1]
        eos = self._tokenizer.eos_token_id
        return (written,) if eos is None or eos == written else (written, eos)

    def _check_against_tokenizer(self) -> None:
        messages = [Message("user", _PROBES[0]), Message("assistant", _PROBES[1]), Message("user", "Thanks.")]
        if self._prompt_ids_of_tokenizer(messages) != self.prompt_ids(messages):
            raise ModelError(
                f"{type(self._tokenizer).__name__} reads text beside special tokens in a way that Heedful does not know; "
                "training would not match use. Another tokenizer or template is needed"
            )

    def _prompt_ids_of_tokenizer(self, messages: Sequence[Message]) -> list[int]:
        rows = [{"role": m.role, "content": m.content} for m in messages]
        template = self._template_for(messages)
        return list(
            self._tokenizer.apply_chat_template(
                rows, chat_template=template, add_generation_prompt=True, return_dict=False
            )
        )

    def _hash(self) -> str:
        tokens = sorted([index, text, token.lstrip, token.rstrip] for text, (index, token) in self._special.items())
        treatment = [self._encode_text(text) for text in _PROBES]
        return digest([RENDER_VERSION, self._templates, tokens, list(self.end_of_turn_ids), treatment])


class PairRenderer(Renderer):
    """For encoder-decoder models: prompt and answer are texts of their own, each ended by the end of text."""

    _plain = TEXT_TEMPLATES

    def prompt_ids(self, messages: Sequence[Message]) -> list[int]:
        """What the encoder reads, in training and in use."""
        _check_asks(messages)
        return [*self._encode(self._pieces(messages, generation_prompt=True)), *self.end_of_turn_ids]

    def pair(self, messages: Sequence[Message]) -> Pair:
        """What the encoder reads, and what the decoder writes after its start token."""
        _check_answers(messages)
        return Pair(self.prompt_ids(messages[:-1]), [*self._encode_text(messages[-1].content), *self.end_of_turn_ids])

    def render(self, messages: Sequence[Message]) -> Rendered:
        """Refused: no text holds both, so there is nothing that a loss mask could stand beside."""
        raise ModelError(
            "an encoder-decoder model reads prompts and writes answers apart: there is a pair of texts for each answer; "
            "use `pair`"
        )

    def _find_end_of_turn(self) -> tuple[int, ...]:
        eos = self._tokenizer.eos_token_id
        if eos is None:
            raise ModelError("the tokenizer has no end-of-text token: nothing can end an answer")
        return (eos,)

    def _prompt_ids_of_tokenizer(self, messages: Sequence[Message]) -> list[int]:
        return [*super()._prompt_ids_of_tokenizer(messages), *self.end_of_turn_ids]

    def _hash(self) -> str:
        return digest(["pair", super()._hash()])


def refuse_dated(renderer: Renderer) -> None:
    """Raise ModelError where prompts change from day to day: the prompt in use would not be the one that was trained."""
    if renderer.depends_on_time():
        raise ModelError(
            "the chat template writes the date or the time, so a prompt in use would not be the prompt that was trained; "
            "put a fixed date into the template (where it says strftime_now), or take it out"
        )


def _stop_ids(model: Any) -> tuple[int, ...]:
    """What the model's configuration says that its answers end with."""
    ids = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
    return tuple(ids) if isinstance(ids, list) else () if ids is None else (ids,)


def _check_asks(prompt: Sequence[Message]) -> None:
    if not prompt or prompt[-1].role == "assistant":
        raise InputError("a prompt ends with a message to answer; this one is empty or ends with an answer")


def _check_answers(messages: Sequence[Message]) -> None:
    if not messages or messages[-1].role != "assistant":
        raise InputError("a question and its answer are wanted; this conversation does not end with an answer")


def _templates(tokenizer: Any, template: str | None, plain: Mapping[str, str]) -> list[str]:
    """One template, or the plain ones with the Chinese one last."""
    chosen = template or tokenizer.chat_template
    if isinstance(chosen, dict):
        raise ModelError(f"the tokenizer has several chat templates ({', '.join(chosen)}); give the text of one")
    if chosen and chosen not in plain:
        return [chosen]
    if tokenizer.eos_token_id is None:
        raise ModelError(
            "the tokenizer has neither a chat template nor an end-of-text token: nothing can end an answer"
        )
    # Base models expect the token with which their tokenizer begins every text.
    begin = "{{ bos_token }}" if tokenizer("a").input_ids[0] == tokenizer.bos_token_id else ""
    names = [chosen] if chosen else list(plain)
    return [begin + plain[name] for name in names]


def _special_tokens(tokenizer: Any) -> dict[int, Any]:
    return {index: token for index, token in tokenizer.added_tokens_decoder.items() if token.special}


def _is_chinese(text: str) -> bool:
    """A third of the letters are Han: a Chinese instruction may quote English, and name things in it."""
    num_letters = sum(character.isalpha() for character in text)
    return len(_HAN.findall(text)) * 3 > num_letters


def _spaced_as_in(content: str, actual: str, position: int) -> str:
    """`content` with white space as it is in `actual`: templates set reasoning and answer apart in their own way."""
    parts = [re.escape(part.strip()) for part in re.split("(</?think>)", content) if part.strip()]
    found = re.compile(r"\s*".join(parts)).match(actual, position)
    return found.group() if found else content


def _align(parts: Sequence[str], contents: Sequence[str], actual: str) -> list[_Piece]:
    """Structure of `parts`, and each content as it stands in `actual`: as given, or trimmed as some templates do."""
    pieces = [_Piece(parts[0])]
    position = len(parts[0])
    matches = actual.startswith(parts[0])
    for number, structure in zip(map(int, parts[1::2]), parts[2::2], strict=True):
        content = contents[number]
        variants = [content, content.strip(), content.lstrip(), content.rstrip()]
        if "</think>" in content:
            variants.append(_spaced_as_in(content, actual, position))
        fitting = next((v for v in variants if actual.startswith(v + structure, position)), None)
        matches = matches and fitting is not None
        pieces += [_Piece(fitting or "", number), _Piece(structure)]
        position += len(fitting or "") + len(structure)
    if not matches or position != len(actual):
        raise ModelError(
            "the chat template changes the content of messages (it cuts or rewrites them), so what is trained would "
            "not be what was written; another template is needed"
        )
    return pieces
