"""What a user may set about curation."""

from __future__ import annotations

from pydantic import Field, model_validator

from heedful.project.settings import Settings


class CurateSettings(Settings):
    """Which rows stay, and how they are split."""

    near_duplicate_threshold: float = Field(0.8, gt=0.3, le=1.0)
    """Rows whose token 3-grams have at least this Jaccard similarity are duplicates; one of them stays."""
    split_threshold: float = Field(0.6, gt=0.3, le=1.0)
    """Rows at least this similar stay on the same side of the split; at most `near_duplicate_threshold`."""
    test_share: float = Field(0.27, ge=0.0, lt=1.0)
    """Share of the kept rows that training never sees and evaluation uses."""
    validation_share: float = Field(0.1, ge=0.0, lt=1.0)
    """Share of the kept rows that chooses the best checkpoint."""
    max_tokens: int = Field(2048, gt=0)
    """Rows with more tokens than this (words and Chinese characters, all messages together) are dropped."""
    skip_rules: tuple[str, ...] = ()
    """Names of rules that are not applied, for example ["unfinished"]; the names are the reasons in the funnel."""

    @model_validator(mode="after")
    def _fit_together(self) -> CurateSettings:
        if self.split_threshold > self.near_duplicate_threshold:
            raise ValueError(
                f"split_threshold {self.split_threshold} is above near_duplicate_threshold "
                f"{self.near_duplicate_threshold}: it must be at most that, since similar rows are kept together first"
            )
        if self.test_share + self.validation_share >= 1:
            raise ValueError(
                f"test_share {self.test_share} and validation_share {self.validation_share} leave no row for training: "
                "their sum must be below 1"
            )
        return self

    @property
    def shares(self) -> dict[str, float]:
        """Wanted share of each split, in the order of `records.SPLITS`."""
        train = 1 - self.validation_share - self.test_share
        return {"train": train, "validation": self.validation_share, "test": self.test_share}
