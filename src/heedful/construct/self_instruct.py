"""New tasks from seed tasks, after Self-Instruct (arXiv:2212.10560), kept thin for small instruct models.

As there: a pool of seeds and accepted rows, prompts with mostly human and a few machine-written demonstrations, filters,
the ROUGE-L novelty gate against the whole pool, outputs written in a second step, filters on those. Different here:
demonstrations are turns of a chat (three human, at most one machine-written, all of one block and language); the
model writes instruction and input together; there is no classification test and no output-first branch; nothing is
rejected for not being ASCII. Added for weak writers: a task is a question or begins as some seed does, and an answer
must neither copy a demonstration's answer nor be long without a word in common with its task.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass

from heedful.construct.collect import Candidate, Proposal, Refusal, instruction_text
from heedful.construct.data import prompts
from heedful.construct.novelty import NoveltyGate
from heedful.construct.roots import Roots, seed_root
from heedful.construct.settings import ConstructSettings
from heedful.construct.written import content, fault, is_copy, starts_with_punctuation
from heedful.generate.engine import Engine, Request, Sampling, generate
from heedful.project import stream, stream_seed
from heedful.records import Example, Generation, Message, canonical_json, conversation, derived_id
from heedful.requirements import LANGUAGES, Language
from heedful.text import num_words, tokenize

_NUM_HUMAN, _NUM_MACHINE = 3, 1
_MAXIMUM_DEMONSTRATION = 320
"""Characters of a demonstration: longer seeds would fill a small model's context."""
_MINIMUM_WORDS, _MAXIMUM_WORDS = 4, 150
"""Of an instruction, as in the paper's code; Chinese characters count as words."""
_MAXIMUM_TOKENS = {"task": 64, "answer": 96}
_LONG_ANSWER_WORDS = 8
"""A longer answer that shares no word with its task is about something else; a shorter one may be a label."""
_ELSEWHERE = re.compile(
    r"\b(?:images?|graphs?|pictures?|photos?|files?|maps?|draw|plot|go to|videos?|audio|music|diagrams?|flowcharts?)\b"
    r"|图片|图像|照片|图表|画出|绘制|视频|音频|附件|地图|流程图",
    re.IGNORECASE,
)
_OTHER_LANGUAGE = re.compile(
    r"\b(?:translat\w*|chinese|english|french|spanish|german|japanese)\b|翻译|译成|英文|英语|中文|汉语|日语|法语",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class _Draw:
    """What one draw starts from."""

    number: int
    language: Language
    demonstrations: tuple[Example, ...]


class SelfInstruct:
    """The method `self_instruct`. Two requests a draw at most: the task, then its answer."""

    name = "self_instruct"

    def __init__(
        self,
        seeds: Sequence[Example],
        roots: Roots,
        engine: Engine,
        settings: ConstructSettings,
        gate: NoveltyGate,
        seed: int,
    ) -> None:
        """`gate` knows all seeds and whatever is accepted by now; it is only read here."""
        self._engine, self._settings, self._gate, self._seed = engine, settings, gate, seed
        self._cells = _cells(seeds, roots)
        self._blocks = roots.seeds
        self._first_words = frozenset(words[0] for row in seeds if (words := tokenize(instruction_text(row.prompt))))

    def round_size(self, missing: int) -> int:
        """A whole batch of the engine: a weak writer is refused often."""
        return self._engine.preferred_batch

    def propose(self, draws: range, accepted: Sequence[Example]) -> list[Proposal]:
        """Tasks for all draws in one batch, answers to those that pass the filters in another."""
        if not self._cells:
            return []
        started = [self._start(number, accepted) for number in draws]
        tasks = list(generate(self._engine, [self._ask_task(draw) for draw in started]))
        faults = [
            _task_fault(task, draw, self._gate, self._first_words) for task, draw in zip(tasks, started, strict=True)
        ]
        answerable = [place for place, reason in enumerate(faults) if not reason]
        requests = [self._ask_answer(started[place], tasks[place].text.strip()) for place in answerable]
        answers = dict(zip(answerable, generate(self._engine, requests), strict=True))
        return [
            self._proposal(draw, task.text.strip(), answers[place]) if place in answers else Refusal(reason, task.text)
            for place, (draw, task, reason) in enumerate(zip(started, tasks, faults, strict=True))
        ]

    def _start(self, number: int, accepted: Sequence[Example]) -> _Draw:
        """Demonstrations of one block and language; cells take turns, so every block and language gets its share."""
        language, block, humans = self._cells[number % len(self._cells)]
        generator = stream(self._seed, "self_instruct", number)
        own = [row for row in accepted if row.method == self.name and row.language == language]
        machine = [
            row for row in own if self._blocks[row.groups["seed"]] == block and _length(row) <= _MAXIMUM_DEMONSTRATION
        ]
        shown = _sample(humans, _NUM_HUMAN, generator) + _sample(machine, _NUM_MACHINE, generator)
        return _Draw(number, language, tuple(_sample(shown, len(shown), generator)))

    def _ask_task(self, draw: _Draw) -> Request:
        texts = prompts(self.name, draw.language)
        turns = [Message("system", texts["system"])]
        for row in draw.demonstrations:
            turns += [Message("user", texts["ask"]), Message("assistant", row.prompt[-1].content)]
        return self._request(draw, "task", [*turns, Message("user", texts["ask"])], self._settings.temperature)

    def _ask_answer(self, draw: _Draw, task: str) -> Request:
        turns = [Message("system", prompts(self.name, draw.language)["answer"])]
        for row in draw.demonstrations:
            turns += [row.prompt[-1], Message("assistant", row.answer)]
        return self._request(draw, "answer", [*turns, Message("user", task)], 0.0)

    def _request(self, draw: _Draw, step: str, messages: Sequence[Message], temperature: float) -> Request:
        seed = stream_seed(self._seed, self.name, draw.number, step)
        sampling = Sampling(temperature, top_p=0.9, seed=seed, max_tokens=_MAXIMUM_TOKENS[step])
        return Request(f"{self.name} {draw.number} {step}", tuple(messages), sampling=sampling)

    def _proposal(self, draw: _Draw, task: str, answer: Generation) -> Proposal:
        output = answer.text.strip()
        reason = _answer_fault(task, answer, draw)
        if reason:
            return Refusal(f"answer_{reason}", f"{task}\n\n{output}")
        parents = tuple(row.id for row in draw.demonstrations)
        first_seed = next(seed_root(row) for row in draw.demonstrations if seed_root(row))
        example = Example(
            id=derived_id(self.name, parents, draw.number),
            messages=conversation(task, output),
            method=self.name,
            source=self._settings.model,
            task=self.name,
            language=draw.language,
            parents=parents,
            meta=canonical_json({"groups": {"seed": first_seed}}),
        )
        return Candidate(example, instruction_text(example.prompt))


def _cells(seeds: Sequence[Example], roots: Roots) -> list[tuple[Language, int, list[Example]]]:
    """Usable seeds by language and block; a cell with fewer than two shows nothing of what varies."""
    cells: list[tuple[Language, int, list[Example]]] = []
    for block in sorted(set(roots.seeds.values())):
        for language in LANGUAGES:
            usable = [
                row
                for row in seeds
                if row.language == language
                and roots.seeds[seed_root(row)] == block
                and [message.role for message in row.messages] == ["user", "assistant"]
                and _length(row) <= _MAXIMUM_DEMONSTRATION
            ]
            if len(usable) >= 2:
                cells.append((language, block, usable))
    return cells


def _length(row: Example) -> int:
    return len(row.prompt[-1].content) + len(row.answer)


def _sample(rows: Sequence[Example], number: int, generator: random.Random) -> list[Example]:
    return generator.sample(rows, min(number, len(rows)))


# -- filters ---------------------------------------------------------------------------------------------------


def _task_fault(task: Generation, draw: _Draw, gate: NoveltyGate, first_words: frozenset[str]) -> str:
    text = task.text.strip()
    if reason := fault(task, draw.language):
        return reason
    instruction, _, rest = text.partition("\n\n")
    if not _MINIMUM_WORDS <= num_words(instruction) <= _MAXIMUM_WORDS:
        return "too_short" if num_words(instruction) < _MINIMUM_WORDS else "too_long"
    if starts_with_punctuation(text):
        return "starts_with_punctuation"
    if not instruction.rstrip().endswith(("?", "？")) and tokenize(text)[0] not in first_words:
        return "not_a_task"
    if _ELSEWHERE.search(text):
        return "needs_more_than_text"
    if any(phrase in text for phrase in (prompts("self_instruct", draw.language)["ask"], "user:", "assistant:")):
        return "copies_prompt"
    if text.endswith((":", "：")) or (instruction.endswith((":", "：")) and not rest.strip()):
        return "input_missing"
    return "" if gate.is_novel(instruction) else "not_novel"


def _answer_fault(task: str, answer: Generation, draw: _Draw) -> str:
    output = answer.text.strip()
    reason = fault(answer, draw.language)
    if reason and not (reason == "wrong_language" and _OTHER_LANGUAGE.search(task)):
        return reason
    instruction, _, given = task.partition("\n\n")
    if output in (given.strip(), instruction.strip(), task):
        return "equals_input"
    if is_copy(output, [task, instruction]):
        return "copies_task"
    if is_copy(output, [row.answer for row in draw.demonstrations]):
        return "copies_demonstration"
    if output.endswith((":", "：")):
        return "ends_with_colon"
    translated = bool(_OTHER_LANGUAGE.search(task))
    is_long = num_words(output) > _LONG_ANSWER_WORDS
    return "off_topic" if is_long and not translated and not content(output) & content(task) else ""
