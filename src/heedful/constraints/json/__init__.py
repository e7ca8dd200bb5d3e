"""A JSON Schema -> a machine that reads an answer character by character and always knows how it can end."""

from heedful.constraints.json.machine import JsonMachine, JsonState

__all__ = ["JsonMachine", "JsonState"]
