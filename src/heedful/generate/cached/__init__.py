"""CachedEngine: answers and scores that were computed once are kept in a SQLite file, so nothing is computed or paid for twice.

keys.py      what an answer depends on -> its key
store.py     the file
batches.py   engines whose answers depend on their batch (local): computed and stored batch by batch
singly.py    engines whose answers come one by one (remote): each is stored as it arrives, and asked by one process only
engine.py    the engine around them
"""

from heedful.generate.cached.engine import CachedEngine, CachedHandle

__all__ = ["CachedEngine", "CachedHandle"]
