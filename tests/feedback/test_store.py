"""The store keeps conversations as trees, one opinion a person and answer, and every text exactly or not at all."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from heedful.errors import InputError, StorageError
from heedful.feedback import NotFoundError, Store
from heedful.feedback.store import StoredMessage

UNKNOWN = "0" * 32


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    with closing(Store(store_url)) as opened:
        yield opened


def asked(store: Store, system: str = "") -> tuple[str, str, StoredMessage]:
    """Conversation, question, answer."""
    conversation = store.new_conversation(title="数字", system=system).id
    question = store.add_message(conversation, "user", "一加一？", parent=None)
    answer = store.add_message(
        conversation, "assistant", "三", parent=question.id, model="tiny", finish_reason="stop", sampling={"top_p": 0.9}
    )
    return conversation, question.id, answer


# -- conversations and messages -------------------------------------------------------------------------------


def test_versions_of_an_answer_share_their_parent(store: Store) -> None:
    conversation, question, first = asked(store)
    second = store.add_message(conversation, "assistant", "二", parent=question)
    further = store.add_message(conversation, "user", "Thanks", parent=second.id)
    assert [message.content for message in store.messages(conversation)] == ["一加一？", "三", "二", "Thanks"]
    assert [message.content for message in store.path(further.id)] == ["一加一？", "二", "Thanks"]
    assert [message.content for message in store.path(first.id)] == ["一加一？", "三"]
    assert store.message(first.id) == first
    assert (first.model, first.finish_reason, first.sampling) == ("tiny", "stop", {"top_p": 0.9})


def test_the_conversation_that_changed_last_comes_first(store: Store) -> None:
    first, second = store.new_conversation(title="a").id, store.new_conversation(title="b").id
    assert [each.id for each in store.conversations()] == [second, first]
    store.add_message(first, "user", "hello", parent=None)
    assert [each.id for each in store.conversations()] == [first, second]
    changed = store.change_conversation(second, title="乙")
    assert (changed.title, changed.system) == ("乙", "")
    assert store.conversations(limit=1) == [changed] == [store.conversation(second)]


def test_what_was_written_is_there_when_opened_again(store_url: str) -> None:
    with closing(Store(store_url)) as store:
        conversation, _, answer = asked(store, system="Be brief.")
        said = store.rate(answer.id, rating=1)
        before = (store.conversation(conversation), store.messages(conversation))
    with closing(Store(store_url)) as store:
        assert (store.conversation(conversation), store.messages(conversation)) == before
        assert store.feedback_of(conversation) == {answer.id: said}


def test_an_answer_keeps_the_system_prompt_that_it_was_given_under(store: Store) -> None:
    conversation, question, first = asked(store, system="Be brief.")
    store.change_conversation(conversation, system="Rhyme.")
    second = store.add_message(conversation, "assistant", "二", parent=question)
    late = store.add_message(conversation, "assistant", "2", parent=question, system="Be brief.")
    for message in (first, second, late):
        store.rate(message.id, rating=1)
    assert [row["prompt"][0]["content"] for row in store.export_rows()] == ["Be brief.", "Rhyme.", "Be brief."]


def test_a_deleted_conversation_is_gone_except_for_the_export(store: Store) -> None:
    conversation, _, answer = asked(store)
    store.rate(answer.id, rating=-1)
    store.delete_conversation(conversation)
    assert store.conversations() == []
    calls = [
        lambda: store.conversation(conversation),
        lambda: store.messages(conversation),
        lambda: store.message(answer.id),
        lambda: store.path(answer.id),
        lambda: store.feedback_of(conversation),
        lambda: store.change_conversation(conversation, title="x"),
        lambda: store.add_message(conversation, "user", "x", parent=None),
        lambda: store.rate(answer.id, rating=1),
        lambda: store.delete_conversation(conversation),
    ]
    for call in calls:
        with pytest.raises(NotFoundError, match="may have been deleted"):
            call()
    (row,) = store.export_rows()
    assert (row["message"], row["rating"]) == (answer.id, -1)


@pytest.mark.parametrize("id", [UNKNOWN, "", "x", "0\x00", "\ud800", "'; DROP TABLE heedful_message; --", "零" * 99])
def test_any_id_may_be_asked_for(store: Store, id: str) -> None:
    for call in (store.conversation, store.messages, store.message, store.path, store.delete_conversation, store.rate):
        with pytest.raises(NotFoundError):
            call(id)  # type: ignore[operator]


def test_a_message_has_its_place(store: Store) -> None:
    conversation, question, answer = asked(store)
    other = store.new_conversation().id
    for arguments, part in [
        ((other, "user", "x", question), "belongs to another conversation"),
        ((conversation, "user", "x", UNKNOWN), "no message"),
        ((conversation, "assistant", "x", None), "needs the message that it answers"),
        ((conversation, "assistant", "x", answer.id), "is by the assistant; an answer follows a message of the user"),
        ((conversation, "boss", "x", None), "role is 'boss'; expected one of system, user"),
        ((conversation, "user", " \n", None), "is empty"),
    ]:
        with pytest.raises(InputError, match=part):
            store.add_message(*arguments[:3], parent=arguments[3])  # type: ignore[arg-type]
    assert len(store.messages(conversation)) == 2


def test_a_transaction_that_fails_leaves_nothing(store: Store) -> None:
    conversation = store.new_conversation()
    with pytest.raises(NotFoundError):
        store.add_message(conversation.id, "user", "x", parent=UNKNOWN)
    assert store.conversation(conversation.id) == conversation


# -- feedback -------------------------------------------------------------------------------------------------


def test_the_later_opinion_of_a_person_replaces_the_earlier(store: Store) -> None:
    conversation, _, answer = asked(store)
    first = store.rate(answer.id, rating=1, reason="right")
    second = store.rate(answer.id, rating=-1, correction="二")
    assert second.id == first.id
    assert (second.rating, second.reason, second.correction) == (-1, "", "二")
    assert store.feedback_of(conversation) == {answer.id: second}
    assert len(list(store.export_rows())) == 1
    other = store.rate(answer.id, rating=1, who="李雷")
    assert [(row["who"], row["rating"]) for row in store.export_rows()] == [("", -1), ("李雷", 1)]
    assert store.feedback_of(conversation) == {answer.id: other}


def test_saying_nothing_takes_it_back(store: Store) -> None:
    conversation, _, answer = asked(store)
    store.rate(answer.id, rating=1)
    assert store.rate(answer.id).rating == 0
    assert store.feedback_of(conversation) == {}
    assert list(store.export_rows()) == []
    store.rate(answer.id, reason="too long")
    assert [row["reason"] for row in store.export_rows()] == ["too long"]


def test_only_answers_are_rated(store: Store) -> None:
    _, question, answer = asked(store)
    with pytest.raises(InputError, match="by the user; only answers can be rated"):
        store.rate(question, rating=1)
    for rating in (2, True, None, "1", 0.5):
        with pytest.raises(InputError, match="the rating is"):
            store.rate(answer.id, rating=rating)  # type: ignore[arg-type]


def test_an_exported_row_says_everything(store: Store) -> None:
    conversation, _, answer = asked(store, system="用中文。")
    said = store.rate(answer.id, rating=-1, reason="错了", correction="二", who="韩梅梅")
    assert list(store.export_rows()) == [
        {
            "feedback": said.id,
            "conversation": conversation,
            "message": answer.id,
            "prompt": [{"role": "system", "content": "用中文。"}, {"role": "user", "content": "一加一？"}],
            "answer": "三",
            "model": "tiny",
            "rating": -1,
            "reason": "错了",
            "correction": "二",
            "who": "韩梅梅",
            "when": said.when,
            "sampling": {"top_p": 0.9},
        }
    ]


def test_an_export_goes_on_while_people_rate(store: Store) -> None:
    # With few connections and a writer between any two rows: reading must block nobody.
    told = [asked(store) for _ in range(3)]
    for _, _, answer in told:
        store.rate(answer.id, rating=1)
    seen = []
    for row in store.export_rows():
        seen.append(row["message"])
        conversation, question, _ = told[2]
        store.rate(store.add_message(conversation, "assistant", "new", parent=question).id, rating=-1)
    assert seen[:3] == [answer.id for _, _, answer in told]


# -- texts ----------------------------------------------------------------------------------------------------

EXACT = [
    "<script>alert('1')</script>",
    "'; DROP TABLE heedful_feedback; --",
    "%s %(a)s :a ?",
    "\r\n\t\x01\x7f",
    "\ufeffBOM",
]
EXACT += [
    "ｆｕｌｌ　width",
    "e\u0301 is not é",
    "👩‍👩‍👧 𠮷 \U0010ffff \uffff",
    "a\u2028b\u2029c\x85d",
    "\\u0000 \\x00",
    " x ",
]


@pytest.mark.parametrize("said", EXACT)
def test_texts_are_kept_exactly(store: Store, said: str) -> None:
    conversation = store.new_conversation(title=said, system=said, who=said)
    question = store.add_message(conversation.id, "user", said, parent=None, sampling={said: said, "nul": "\0"})
    answer = store.add_message(conversation.id, "assistant", said, parent=question.id, model=said)
    store.rate(answer.id, reason=said, correction=said, who=said)
    (row,) = store.export_rows()
    kept = store.conversation(conversation.id)
    assert [kept.title, kept.system, kept.who] == [said] * 3
    assert store.message(question.id).sampling == {said: said, "nul": "\0"}
    assert [row[name] for name in ("answer", "model", "reason", "correction", "who")] == [said] * 5
    assert [message["content"] for message in row["prompt"]] == [said, said]


def test_any_text_is_kept_exactly_or_refused(store: Store) -> None:
    conversation, _, answer = asked(store)

    @settings(suppress_health_check=list(HealthCheck), max_examples=40, deadline=None, database=None)
    @given(st.text(st.characters(), max_size=20))
    def check(said: str) -> None:
        refused = any(character == "\0" or "\ud800" <= character <= "\udfff" for character in said)
        if refused:
            with pytest.raises(InputError, match=r"reason holds (a NUL character|half a character) at position \d+"):
                store.rate(answer.id, rating=1, reason=said)
        else:
            store.rate(answer.id, rating=1, reason=said)
            assert store.feedback_of(conversation)[answer.id].reason == said

    check()


@pytest.mark.parametrize(
    ("bad", "part"), [("a\0", "NUL character at position 1"), ("ab\udc00", "half a character at position 2")]
)
def test_what_postgresql_could_not_keep_is_refused_everywhere(store: Store, bad: str, part: str) -> None:
    conversation, question, answer = asked(store)
    calls: list[tuple[str, Any]] = [
        ("title", lambda: store.new_conversation(title=bad)),
        ("system", lambda: store.change_conversation(conversation, system=bad)),
        ("who", lambda: store.new_conversation(who=bad)),
        ("content", lambda: store.add_message(conversation, "user", bad, parent=None)),
        ("model", lambda: store.add_message(conversation, "assistant", "x", parent=question, model=bad)),
        ("system", lambda: store.add_message(conversation, "assistant", "x", parent=question, system=bad)),
        ("finish_reason", lambda: store.add_message(conversation, "user", "x", parent=None, finish_reason=bad)),
        ("reason", lambda: store.rate(answer.id, reason=bad)),
        ("correction", lambda: store.rate(answer.id, correction=bad)),
        ("who", lambda: store.rate(answer.id, rating=1, who=bad)),
    ]
    for name, call in calls:
        with pytest.raises(InputError, match=f"{name} holds .*{part}"):
            call()
    assert list(store.export_rows()) == []


def test_sampling_must_be_json(store: Store) -> None:
    conversation = store.new_conversation().id
    for value in (float("nan"), object(), "\ud800", {1, 2}):
        with pytest.raises(InputError, match="sampling"):
            store.add_message(conversation, "user", "x", parent=None, sampling={"a": value})


def test_very_long_texts(store: Store) -> None:
    _, _, answer = asked(store)
    long = "字句，" * 1_000_000  # 9 MB of UTF-8
    store.rate(answer.id, correction=long, reason=long)
    (row,) = store.export_rows()
    assert row["correction"] == row["reason"] == long
    with pytest.raises(InputError, match="correction has 10,000,001 characters; at most 10,000,000 are kept"):
        store.rate(answer.id, correction="x" * 10_000_001)
    store.rate(answer.id, rating=1, who="名" * 200)
    with pytest.raises(InputError, match="who has 201 characters; at most 200"):
        store.rate(answer.id, rating=1, who="x" * 201)


# -- threads --------------------------------------------------------------------------------------------------


def at_once(num_threads: int, work: Any) -> list[Any]:
    """`work(index)` in threads that start together."""
    barrier = threading.Barrier(num_threads)

    def start(index: int) -> Any:
        barrier.wait()
        return work(index)

    with ThreadPoolExecutor(num_threads) as pool:
        return list(pool.map(start, range(num_threads)))


def test_one_persons_ratings_at_once_become_one(store: Store) -> None:
    conversation, _, answer = asked(store)
    said = at_once(24, lambda index: store.rate(answer.id, rating=1, reason=str(index)))
    assert len({each.id for each in said}) == 1
    # Whoever was last: it is what one of them said, whole.
    assert store.feedback_of(conversation)[answer.id] in said


def test_nothing_is_lost_when_many_rate_and_write_at_once(store: Store) -> None:
    conversation, question, answer = asked(store)

    def work(index: int) -> list[str]:
        mine = []
        for turn in range(5):
            store.rate(answer.id, rating=1, who=f"{index} {turn}")
            mine.append(store.add_message(conversation, "assistant", f"{index} {turn}", parent=question).id)
            store.messages(conversation)
        return mine

    written = at_once(24, work)
    assert len(list(store.export_rows())) == 24 * 5
    order = [message.id for message in store.messages(conversation)]
    assert len(order) == 2 + 24 * 5
    for mine in written:
        assert sorted(mine, key=order.index) == mine


# -- durability -----------------------------------------------------------------------------------------------


def test_it_is_set_up_to_keep_what_it_acknowledges(store: Store, store_url: str) -> None:
    with store._database.transaction(writes=True) as connection:
        if store_url.startswith("sqlite"):
            settings = {
                name: connection.execute(text(f"PRAGMA {name}")).scalar_one()
                for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
            }
            assert settings == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 30_000}
        else:
            assert connection.execute(text("SHOW synchronous_commit")).scalar_one() == "on"


def test_a_server_that_answers_before_it_wrote_is_told_to_wait(postgres_url: str) -> None:
    joined = "&" if "?" in postgres_url else "?"
    url = f"{postgres_url}{joined}options=-c%20synchronous_commit%3Doff"
    with closing(Store(url)) as store, store._database.transaction(writes=False) as connection:
        assert connection.execute(text("SHOW synchronous_commit")).scalar_one() == "on"


def test_it_works_on_after_the_server_dropped_its_connections(postgres_url: str) -> None:
    with closing(Store(postgres_url)) as store, closing(Store(postgres_url)) as other:
        _, _, answer = asked(store)
        end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database()"
        with other._database.transaction(writes=True) as connection:
            assert connection.execute(text(end)).all()
        assert store.rate(answer.id, rating=1).rating == 1


def test_a_closed_store_says_so(store_url: str) -> None:
    store = Store(store_url)
    store.close()
    with pytest.raises(StorageError, match="is closed"):
        store.conversations()
