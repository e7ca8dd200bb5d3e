"""New tasks from seeds: what is asked, what is filtered, what is written down."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from heedful.construct.collect import Candidate, Proposal, Refusal
from heedful.construct.novelty import NoveltyGate
from heedful.construct.roots import Roots, seed_root
from heedful.construct.self_instruct import SelfInstruct
from heedful.construct.settings import ConstructSettings
from heedful.generate.engine import Request
from heedful.generate.fake import FakeEngine
from heedful.records import Example

MakeSeed = Callable[..., Example]

# Seeds begin so; a task that begins like none of them and asks no question is no task.
FIRST_WORDS = ("Explain", "Do", "Describe", "Write", "Look", "Name", "Rewrite", "Translate")
TASK = "Explain how a lighthouse helps sailors at night."
ANSWER = "A lighthouse shows sailors where the coast is."


class Writer:
    """Writes `task` first and `answer` then, and remembers what it was asked."""

    def __init__(self, task: str = TASK, answer: str = ANSWER) -> None:
        self.replies = {"task": task, "answer": answer}
        self.requests: list[Request] = []

    def __call__(self, request: Request) -> str:
        self.requests.append(request)
        return self.replies[request.id.split()[-1]]


def propose(
    writer: Writer, seeds: Sequence[Example], blocks: dict[str, int] | None = None, accepted: Sequence[Example] = (), draws: int = 1
) -> list[Proposal]:  # fmt: skip
    blocks = blocks or {seed_root(seed): 0 for seed in seeds}
    gate = NoveltyGate(0.7, [seed.prompt[-1].content.split("\n\n")[0] for seed in seeds])
    method = SelfInstruct(seeds, Roots({}, {}, blocks, 1), FakeEngine(writer), ConstructSettings(), gate, seed=1)
    return method.propose(range(draws), accepted)


@pytest.fixture
def seeds(make_seed: MakeSeed) -> list[Example]:
    return [
        make_seed(n, f"{word} the thing with number {n}.", "It is all done and well.", input="Some text to work on.")
        for n, word in enumerate(FIRST_WORDS)
    ]


@pytest.fixture
def chinese(make_seed: MakeSeed) -> list[Example]:
    fruit = [make_seed(n, f"请写出第{n}种水果的颜色和味道。", "红色，很甜。", language="zh") for n in range(3)]
    return [*fruit, make_seed(3, "把这句话改成问句。", "它开花吗？", language="zh")]


def test_a_good_task_becomes_an_example(seeds: list[Example]) -> None:
    writer = Writer()
    (proposal,) = propose(writer, seeds)
    assert isinstance(proposal, Candidate)
    example = proposal.example
    assert [message.content for message in example.messages] == [TASK, ANSWER]
    assert proposal.novel_text == TASK
    assert len(example.parents) == 3
    assert set(example.parents) <= {seed.id for seed in seeds}
    assert example.groups["seed"] in example.parents
    assert (example.method, example.language) == ("self_instruct", "en")
    asked, answered = writer.requests
    assert [message.role for message in asked.messages] == ["system", *["user", "assistant"] * 3, "user"]
    shown = {message.content for message in asked.messages if message.role == "assistant"}
    assert shown <= {seed.prompt[-1].content for seed in seeds}
    assert answered.messages[-1].content == TASK
    assert answered.sampling.temperature == 0


def test_demonstrations_are_of_one_block_and_language(make_seed: MakeSeed) -> None:
    seeds = [make_seed(number, language="en" if number % 2 else "zh") for number in range(40)]
    blocks = {seed_root(seed): place % 5 for place, seed in enumerate(seeds)}
    by_id = {seed.id: seed for seed in seeds}
    writer = Writer("Do explain how a lighthouse helps sailors at night.")
    seen = set()
    for proposal in propose(writer, seeds, blocks, draws=20):
        if isinstance(proposal, Candidate):
            parents = [by_id[parent] for parent in proposal.example.parents]
            kinds = {(blocks[seed_root(parent)], parent.language) for parent in parents}
            assert len(kinds) == 1
            seen |= kinds
    assert {block for block, _ in seen} == set(range(5))


def test_machine_demonstrations_come_from_the_same_block(seeds: list[Example]) -> None:
    (first,) = propose(Writer(), seeds)
    assert isinstance(first, Candidate)
    writer = Writer("Describe three uses of an old newspaper at home.", "Wrap glasses, dry shoes, clean windows.")
    (second,) = propose(writer, seeds, accepted=[first.example])
    assert isinstance(second, Candidate)
    assert first.example.id in second.example.parents
    assert TASK in [message.content for message in writer.requests[0].messages]
    elsewhere = {**{seed_root(seed): 0 for seed in seeds[1:]}, seed_root(seeds[0]): 1}
    moved = first.example.with_meta(groups={"seed": seeds[0].id})
    (third,) = propose(writer, seeds, elsewhere, accepted=[moved])
    assert isinstance(third, Candidate)
    assert moved.id not in third.example.parents


@pytest.mark.parametrize(
    ("task", "reason"),
    [
        ("  ", "empty"),
        ("Write more.", "too_short"),
        (" ".join(f"word{n}" for n in range(200)), "truncated"),
        ("Look at the picture and describe it in detail.", "needs_more_than_text"),
        ("- Explain how a lighthouse helps sailors.", "starts_with_punctuation"),
        ("I'm sorry, as an AI I have no more tasks for you.", "refusal"),
        ("Write one more task, different from the others. Make it short.", "copies_prompt"),
        ("Rewrite the following sentence in a polite way:", "input_missing"),
        ("Do the thing with number 77.", "not_novel"),
        ("The French are very fond of their food.", "not_a_task"),
        ("name the fruit and name the fruit and name the fruit and name the fruit", "repetitive"),
        ("请写一首关于秋天的短诗，要有四行。", "wrong_language"),
    ],
)
def test_tasks_that_are_rejected(seeds: list[Example], task: str, reason: str) -> None:
    writer = Writer(task)
    (proposal,) = propose(writer, seeds)
    assert isinstance(proposal, Refusal)
    assert proposal.reason == reason
    # An answer to it is not even asked for.
    assert len(writer.requests) == 1


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("", "answer_empty"),
        (TASK, "answer_equals_input"),
        ("Explain how a lighthouse helps the sailors at night", "answer_copies_task"),
        (" ".join(f"word{n}" for n in range(200)), "answer_truncated"),
        ("Here it is:", "answer_ends_with_colon"),
        ("It is all done and well!", "answer_copies_demonstration"),
        ("Warm bread with butter and honey tastes best in the early morning.", "answer_off_topic"),
        ("it shines and it shines and it shines and it shines", "answer_repetitive"),
        ("灯塔用灯光告诉船只海岸在哪里。", "answer_wrong_language"),
    ],
)
def test_answers_that_are_rejected(seeds: list[Example], answer: str, reason: str) -> None:
    (proposal,) = propose(Writer(answer=answer), seeds)
    assert isinstance(proposal, Refusal)
    assert proposal.reason == reason
    assert TASK in proposal.text


def test_chinese_is_not_rejected_for_its_script_but_for_being_old(chinese: list[Example]) -> None:
    (fresh,) = propose(Writer("把下面的通知改写得更礼貌一些。\n\n明天不开门。", "很抱歉，明天休息。"), chinese)
    assert isinstance(fresh, Refusal)  # "抱歉" opens most Chinese refusals
    (fresh,) = propose(
        Writer("把下面的通知改写得更礼貌一些。\n\n明天不开门。", "尊敬的顾客，本店明天休息一天。"), chinese
    )
    assert isinstance(fresh, Candidate)
    assert fresh.novel_text == "把下面的通知改写得更礼貌一些。"
    (old,) = propose(Writer("请写出第9种水果的颜色和气味。"), chinese)
    assert isinstance(old, Refusal)
    assert old.reason == "not_novel"


def test_a_translation_may_be_in_the_other_language(seeds: list[Example]) -> None:
    (proposal,) = propose(
        Writer("Translate this sentence into Chinese.\n\nThe shop is closed.", "这家商店今天已经关门了。"), seeds
    )
    assert isinstance(proposal, Candidate)


def test_without_two_seeds_of_a_language_there_is_nothing_to_draw_from(make_seed: MakeSeed) -> None:
    assert propose(Writer(), [make_seed(1), make_seed(2, language="zh")]) == []
    assert propose(Writer(), []) == []
