"""TRL's side of bench/train.py, run by the Python that has TRL: jobs in JSON on stdin, answers on stdout, one a line.

    trl_side.py FOLDER THREADS

A job: {"setting": "bf16", "lora": false, "rows": [[ids, mask], ...], "rows_per_step": 32, "steps": 4, "learning_rate": ...}
-> {"seconds": [... of each step], "losses": [...], "tokens": [...]}, or {"error": ...} where the setting does not run.
Steps are timed by a callback, from the beginning of a step to its end; loading, tokenising and saving are not counted.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from typing import Any

os.environ |= {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "WANDB_DISABLED": "true"}

import torch
from datasets import Dataset
from jobs import answer_jobs
from peft import LoraConfig
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
from trl import SFTConfig, SFTTrainer

SETTINGS: dict[str, dict[str, Any]] = {
    "default": {},
    "32 bits": {"bf16": False},
    "bf16": {"bf16": True},
    "bf16 weights": {"bf16": True, "weights": torch.bfloat16},
    "bf16 + packing": {"bf16": True, "packing": True},
    "bf16 + compile": {"bf16": True, "torch_compile": True},
    "bf16 + padding-free": {"bf16": True, "padding_free": True},
}
MICRO = 8
"""Rows that go through at once; more only add padding here."""


class Clock(TrainerCallback):  # type: ignore[misc]
    """Seconds of each optimiser step."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self._started = 0.0

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        self._started = time.perf_counter()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.seconds.append(time.perf_counter() - self._started)


def main() -> None:
    folder, threads = sys.argv[1], int(sys.argv[2])
    torch.set_num_threads(threads)

    def answered(job: dict[str, Any]) -> dict[str, Any]:
        try:
            return trained(folder, job)
        except Exception as error:  # What does not run here is said.
            return {"error": f"{type(error).__name__}: {error}"[:300]}

    answer_jobs(("trl", "torch", "transformers", "peft"), answered)


def trained(folder: str, job: dict[str, Any]) -> dict[str, Any]:
    setting = dict(SETTINGS[job["setting"]])
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=setting.pop("weights", torch.float32))
    packs = setting.get("packing", False)
    limit = job["limit"]
    # A packed sequence is `limit` long: as many as hold the tokens of a step's rows.
    tokens_a_step = sum(len(ids) for ids, _ in job["rows"]) / len(job["rows"]) * job["rows_per_step"]
    # Packed sequences go through one by one: four at once took twice as long here.
    sequences = max(1, round(tokens_a_step / limit)) if packs else job["rows_per_step"]
    micro = 1 if packs else min(MICRO, sequences)
    clock = Clock()
    with tempfile.TemporaryDirectory() as out:
        config = SFTConfig(
            output_dir=out,
            use_cpu=True,
            per_device_train_batch_size=micro,
            gradient_accumulation_steps=max(1, sequences // micro),
            gradient_checkpointing=False,
            max_steps=job["steps"],
            # Rows are no longer than that, and without padding TRL wants no limit.
            max_length=None if setting.get("padding_free") else limit,
            learning_rate=job["learning_rate"],
            lr_scheduler_type="constant",
            weight_decay=0.01,
            max_grad_norm=1.0,
            completion_only_loss=True,
            logging_steps=1,
            save_strategy="no",
            report_to=[],
            seed=0,
            dataloader_num_workers=0,
            **setting,
        )
        trainer = SFTTrainer(
            model,
            args=config,
            train_dataset=Dataset.from_dict(
                {
                    "input_ids": [ids for ids, _ in job["rows"]],
                    "completion_mask": [list(map(int, mask)) for _, mask in job["rows"]],
                }
            ),
            processing_class=AutoTokenizer.from_pretrained(folder),
            peft_config=LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM")
            if job["lora"]
            else None,
            callbacks=[clock],
        )
        trainer.train()
        lines = [line for line in trainer.state.log_history if "loss" in line]
    return {
        "seconds": clock.seconds,
        "losses": [line["loss"] for line in lines],
        "tokens": [line.get("num_tokens") for line in lines],
    }


if __name__ == "__main__":
    main()
