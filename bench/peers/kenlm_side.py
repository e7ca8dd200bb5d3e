"""KenLM's side of bench/language_models.py, run by the Python that has it: an ARPA file and lines of tokens -> perplexity.

    python kenlm_side.py model.arpa text.txt

Each line is one document of tokens between spaces; its end is scored, too. The last line on stdout is JSON. KenLM adds
32-bit numbers; here every token's is taken by itself and added in 64 bits.
"""

import json
import sys
import time

import kenlm


def main() -> None:
    arpa, text = sys.argv[1:]
    started = time.perf_counter()
    model = kenlm.Model(arpa)
    loaded = time.perf_counter()
    total, number, unknown = 0.0, 0, 0
    with open(text, encoding="utf-8") as file:
        for line in file:
            for logprob, _, is_unknown in model.full_scores(line.rstrip("\n"), bos=True, eos=True):
                total, number, unknown = total + logprob, number + 1, unknown + is_unknown
    seconds = {"load": loaded - started, "score": time.perf_counter() - loaded}
    perplexity = 10 ** (-total / number)
    print(json.dumps({"perplexity": perplexity, "num_tokens": number, "num_unknown": unknown, "seconds": seconds}))


if __name__ == "__main__":
    main()
