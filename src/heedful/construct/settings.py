"""Settings of the construct stage."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from heedful.project.settings import Settings


class ConstructSettings(Settings):
    """How many examples to make, by which methods, and what is good enough."""

    count: int = Field(200, ge=0)
    """Examples to construct; exactly so many are accepted, or a statement says why not."""
    model: str = "smollm2-135m-instruct-q4_1"
    """The writer of self_instruct and document_qa: a package model, a folder, `owner/model` or `https://host/v1#model`."""
    self_instruct: float = Field(0.02, ge=0, le=1)
    """Share of `count` that the model invents from the seeds; what it falls short of, templates make up."""
    document_qa: float = Field(0.04, ge=0, le=1)
    """Share of `count` that are questions which the model asks about a passage; templates make up a shortfall."""
    blocks: int = Field(10, ge=1, le=1000)
    """Documents, wordings and seeds are dealt to so many blocks and combined only within one; splits cut between them."""
    max_candidates_per_row: int = Field(4, ge=1)
    """A method gives up after so many candidates for each example asked of it."""
    max_passage_characters: int = Field(700, ge=80)
    """The longest passage that a prompt shows; longer paragraphs are passed over and counted, never cut."""
    novelty: float = Field(0.7, gt=0, le=1)
    """A model-written instruction is rejected when its ROUGE-L F with a seed or an accepted one is greater."""
    temperature: float = Field(0.7, ge=0, le=2)
    """Sampling temperature for tasks that the model invents; questions and answers are written greedily."""

    @model_validator(mode="after")
    def _shares_fit(self) -> Self:
        if self.self_instruct + self.document_qa > 1:
            raise ValueError(
                f"the shares self_instruct = {self.self_instruct} and document_qa = {self.document_qa} add up to more than 1"
            )
        return self
