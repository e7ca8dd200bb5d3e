"""What the other stages wrote -> one self-contained report.html.

Files: `data` (what a report is made of), `page` (writes it), `view` (numbers and words for the page), `plots` (charts),
`svg` (charts made safe to put into a page), `palette` (the only place with colours), `templates/`.
"""

from heedful.report.data import ReportData
from heedful.report.page import write_report

__all__ = ["ReportData", "write_report"]
