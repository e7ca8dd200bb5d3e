"""lm-eval's side of bench/score.py, run by the Python that has lm-eval: jobs in JSON on stdin, answers on stdout, one a line.

    lm_eval_side.py FOLDER THREADS

A job: {"do": "score", "dtype": "float32", "batch_size": 16, "pairs": [[context, continuation], ...]} -> {"seconds": ..., "logprobs": [...]}
or {"do": "encode", "pairs": [...]} -> {"ids": [[context ids, continuation ids], ...]}. Loading the model is not counted.
"""

from __future__ import annotations

import os
import sys
import time
from typing import Any

os.environ |= {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "true"}

import torch
from jobs import answer_jobs
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM


def main() -> None:
    folder, threads = sys.argv[1], int(sys.argv[2])
    torch.set_num_threads(threads)
    models: dict[str, HFLM] = {}

    def model(dtype: str) -> HFLM:
        if dtype not in models:
            models[dtype] = HFLM(pretrained=folder, device="cpu", dtype=dtype, backend="causal", batch_size=1)
        return models[dtype]

    def answered(job: dict[str, Any]) -> dict[str, Any]:
        if job["do"] == "encode":
            return {"ids": [model("float32")._encode_pair(*pair) for pair in job["pairs"]]}
        return scored(model(job["dtype"]), job["batch_size"], job["pairs"])

    answer_jobs(("lm-eval", "torch", "transformers"), answered)


def scored(model: HFLM, batch_size: int, pairs: list[list[str]]) -> dict[str, Any]:
    """What its users call, from strings to log-likelihoods: it sorts by length and batches by itself."""
    instances = [
        Instance(request_type="loglikelihood", doc={}, arguments=(context, continuation), idx=number)
        for number, (context, continuation) in enumerate(pairs)
    ]
    model.batch_size_per_gpu = batch_size
    started = time.perf_counter()
    results = model.loglikelihood(instances, disable_tqdm=True)
    return {"seconds": time.perf_counter() - started, "logprobs": [float(logprob) for logprob, _ in results]}


if __name__ == "__main__":
    main()
