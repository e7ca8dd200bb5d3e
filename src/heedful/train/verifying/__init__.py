"""Examples and settings -> proofs about a run that has not begun: what is trained, that resuming and batching change nothing.

`mask.py` shows every token as trained or not, and compares prompts with those in use; `resuming.py` interrupts and continues;
`invariance.py` compares losses and gradients over ways to batch the same rows.
"""
