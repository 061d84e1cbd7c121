"""What a person looks at when a run is done: figures, and one HTML page that holds them all.

data.py      what the page tells, read from a run's folder       style.py   colours, axes, labels at line ends
examples.py  the same question before and after                  page.py    the page (page.html is its frame)
figures.py   the three figures                           benchmarks.py  the page of an evaluation alone
browse.py    the page to search the hard questions (browse.html, browse.css, browse.js, browse_math.js)
"""

from relift.report.benchmarks import write_evaluation
from relift.report.write import write_report

__all__ = ["write_evaluation", "write_report"]
