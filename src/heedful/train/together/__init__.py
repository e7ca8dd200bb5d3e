"""Several processes that train one model: who computes which rows, and how they follow the first."""
