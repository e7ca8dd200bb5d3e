"""What people write in English, and what only looks like a requirement."""

from __future__ import annotations

from typing import Any

import pytest

from heedful.requirements.reading import read_requirements
from heedful.requirements.reading.numbers import read

ANSWERS = ["My answer is yes.", "My answer is no.", "My answer is maybe."]


def specs(text: str) -> list[tuple[str, dict[str, Any]]]:
    return [(found.spec.kind, dict(found.spec.parameters)) for found in read_requirements(text)]


@pytest.mark.parametrize(
    ("text", "kind", "parameters"),
    [
        ("Describe the sea in at least 300 words.", "words", {"minimum": 300}),
        ("Write a poem with fewer than twenty-five words.", "words", {"maximum": 24}),
        ("Write 1,200 or more words about tea.", "words", {"minimum": 1200}),
        ("Write a 200+ word story about a fox.", "words", {"minimum": 200}),
        ("Your essay should be between 300 and 400 words.", "words", {"minimum": 300, "maximum": 400}),
        ("Explain gravity. I don't want anything longer than 30 words.", "words", {"maximum": 30}),
        ("Explain gravity. The number of words in your answer should be in the range of 40 to 60.", "words", {"minimum": 40, "maximum": 60}),
        ("What is tea? No more than 50 words.", "words", {"maximum": 50}),
        ("Answer in one word: is it raining?", "words", {"exactly": 1}),
        ("Write a tweet of no more than 280 characters about rain.", "characters", {"maximum": 280}),
        ("Explain a lattice in three sentences.", "sentences", {"exactly": 3}),
        ("Describe Rome in 3-4 sentences.", "sentences", {"minimum": 3, "maximum": 4}),
        ("Tell me about Rome in no more than 3 sentences.", "sentences", {"maximum": 3}),
        ("Write about Rome. There should be 3 paragraphs. Paragraphs are separated with the markdown divider: ***", "paragraphs", {"exactly": 3, "separator": "stars"}),
        ("Write exactly 2 paragraphs about Rome.", "paragraphs", {"exactly": 2}),
        ("What is tea? Answer with exactly 3 bullet points.", "bullets", {"exactly": 3}),
        ("What is tea? Your answer must contain exactly 3 bullet points in markdown, such as:\n* This is point 1", "bullets", {"exactly": 3, "definition": "markdown"}),
        ("Write about energy and include the keywords 'solar' and 'wind'.", "keywords", {"all": ["solar", "wind"]}),
        ("Write about food. Don’t forget to include the keywords waste, material and meal.", "keywords", {"all": ["waste", "material", "meal"]}),
        ("Write about food using the words \"salt,\" \"pepper,\" and \"oil.\"", "keywords", {"all": ["salt", "pepper", "oil"]}),
        ("Write about war. Make sure to use the word war at least 8 times.", "keywords", {"all": ["war"], "times": 8}),
        ("Write an ad. The word sale should appear 3 to 5 times.", "keywords", {"all": ["sale"], "times": 3, "maximum": 5}),
        ("Write an ad. Make sure to use the word \"the\" once or less.", "keywords", {"all": ["the"], "times": 0, "maximum": 1}),
        ("Describe snow without using the words \"white\" or \"cold\".", "forbidden", {"words": ["white", "cold"]}),
        ("Write a pitch. The words startup and capsule cannot be in the response.", "forbidden", {"words": ["startup", "capsule"]}),
        ("Write an ad. Do not include the following keywords: field, thanks, new idea.", "forbidden", {"words": ["field", "thanks", "new idea"]}),
        ("Write a story that begins with \"Once upon a time\".", "starts_with", {"text": "Once upon a time"}),
        ("Plan a trip. End your response with this exact phrase: \"Enjoy!\"", "ends_with", {"text": "Enjoy!"}),
        ("Plan a trip. Finish with the exact phrase Is that all?", "ends_with", {"text": "Is that all?"}),
        ("Write a letter. The letter q should appear at least 6 times.", "letters", {"letter": "q", "minimum": 6}),
        ("Write a letter. Don't contain the letter \"p\" in your reply.", "letters", {"letter": "p", "exactly": 0}),
        ("Write a letter. Words with all capital letters should appear at least 16 times.", "capitals", {"minimum": 16}),
        ("Is it cold? Your entire response should be in all lowercase letters.", "case", {"case": "lower"}),
        ("Is it cold? Answer in all caps.", "case", {"case": "upper"}),
        ("Write a poem without any capital letters.", "case", {"case": "lower"}),
        ("Write a rap. Do not use any commas.", "no_commas", {}),
        ("Write a riddle that doesn't use commas.", "no_commas", {}),
        ("Write a plan with at least 4 placeholders represented by square brackets, such as [address].", "placeholders", {"minimum": 4}),
        ("Write a plan. Highlight at least 3 sections with markdown, i.e. *highlighted section*.", "highlights", {"minimum": 3}),
        ("Write a poem. The poem must have 4 sections marked with SECTION X.", "sections", {"splitter": "SECTION", "minimum": 4}),
        ("Write a poem. Your answer must contain a title, wrapped in double angular brackets, such as <<poem of joy>>.", "title", {}),
        ("Write a poem. At the end add a postscript starting with P.S.", "postscript", {"marker": "P.S."}),
        ("Write a poem. Wrap your entire response with double quotation marks.", "quoted", {}),
        ("Is tea healthy? Give two different responses separated by 6 asterisk symbols: ******", "responses", {}),
        ("List three cities. The entire output should be wrapped in JSON format.", "json_schema", {"schema": True}),
        ("Is tea healthy? Your response should be in Hindi.", "language", {"language": "hi"}),
        ("Is tea healthy? Answer using only Russian, no other language is allowed.", "language", {"language": "ru"}),
        ("What is tea?\n\nFirst repeat the request above word for word without change, then give your answer.", "repeats", {"text": "What is tea?"}),
        ("First repeat the request below word for word, then give your answer.\n\nWhat is tea?", "repeats", {"text": "What is tea?"}),
        ("Write exactly 4 paragraphs about tea, separated by two new lines. The second paragraph must start with the word \"milk\".", "paragraph_start", {"paragraphs": 4, "paragraph": 2, "word": "milk"}),
        ("Is tea healthy? Answer with exactly one of the following phrases: \"My answer is yes.\", \"My answer is no.\", \"My answer is maybe.\"", "choice", {"options": ANSWERS}),
        ("Is tea healthy? Your answer must contain one of the following phrases:\nMy answer is yes.\nMy answer is no.\nMy answer is maybe.", "keywords", {"any": ANSWERS}),
    ],
)  # fmt: skip
def test_what_is_said_is_read(text: str, kind: str, parameters: dict[str, Any]) -> None:
    assert specs(text) == [(kind, parameters)]


@pytest.mark.parametrize(
    "text",
    [
        # descriptions and hypotheses
        "A 300-word essay was handed in yesterday. Grade it.",
        "Write a story about a boy who had to write at least 300 words.",
        "If your answer must have at least 300 words, what do you do?",
        "Is it true that essays should have no more than 5 paragraphs?",
        "Describe a company with more than 500 employees.",
        # about, roughly
        "Write about 300 words on tea.",
        "Write a 500 word essay about tea.",
        "Write a couple of sentences about tea.",
        # the topic
        "List 5 animals.",
        "List words that start with the letter q.",
        "Name at least 3 words that rhyme with tea.",
        "How many sentences are in a haiku with at least 3 lines?",
        "Combine these two sentences: I like tea. I like milk.",
        "Explain the meaning of the phrase \"no more than 3 sentences\".",
        "In what situation would you use the phrase \"break a leg\"?",
        "Write a function that returns words with at least 5 characters.",
        "Create a regex for a password of at least 8 characters.",
        "Explain how to parse JSON format in Python.",
        "Translate the following sentence into French: I like tea.",
        "How do you say thank you in German?",
        "Explain the use of articles in German.",
        "Convert this text to lowercase: HELLO",
        "How do commas work? Are they always used in lists?",
        "Find the postscript of the letter.",
        # parts of the answer
        "Write an article with a title of at most 5 words.",
        "Write a poem in which each line has at least 5 words.",
        # quoted or given
        "Summarize this note: \"Use at most 50 words. Do not use any commas.\"",
        "Proofread the following email:\n\nHi team,\nplease answer in at most 50 words. Do not use commas.\nThanks, Ann",
        "Summarize the text below.\n\nStudents must write at least 300 words. They should not use commas. It was hard.",
        "```\nYour answer must have at least 300 words.\n```\nWhat does this prompt do?",
    ],
)  # fmt: skip
def test_what_is_not_said_is_not_read(text: str) -> None:
    assert specs(text) == []


def test_requirements_after_a_given_text_are_read() -> None:
    text = "Expand the following: Jeanne has rolled the dice.\n\nItalicize at least 10 text parts with markdown, like *this*. Do not use commas."
    assert [kind for kind, _ in specs(text)] == ["highlights", "no_commas"]


def test_found_says_where() -> None:
    text = "Write a plan of at least 30 words without commas."
    assert [text[found.start : found.end] for found in read_requirements(text)] == [
        "at least 30 words",
        "without commas",
    ]


def test_what_is_said_twice_is_read_once() -> None:
    assert specs("Do not use commas. Write a poem. Remember: do not use any commas!") == [("no_commas", {})]


@pytest.mark.parametrize(
    ("text", "number"),
    [("three", 3), ("twenty-five", 25), ("two hundred", 200), ("1,200", 1200), ("三", 3), ("二十", 20), ("一百零五", 105),
     ("两千", 2000), ("１２", 12), ("二〇", 20), ("三万", 30_000), ("a couple", None), ("few", None), ("", None)],
)  # fmt: skip
def test_numbers(text: str, number: int | None) -> None:
    assert read(text) == number
