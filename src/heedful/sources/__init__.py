"""The outside world -> Example | Preference | Task | Document, with a report of how each file was read."""

from heedful.sources.documents import read_documents
from heedful.sources.natural_instructions import TaskEncoding, encode_task
from heedful.sources.own_export import to_jsonl
from heedful.sources.records_reader import read_records
from heedful.sources.reports import FileReport, ReadResult, Skipped
from heedful.sources.standard_library import DEFAULT_MODULES, python_docs

__all__ = [
    "DEFAULT_MODULES",
    "FileReport",
    "ReadResult",
    "Skipped",
    "TaskEncoding",
    "encode_task",
    "python_docs",
    "read_documents",
    "read_records",
    "to_jsonl",
]
