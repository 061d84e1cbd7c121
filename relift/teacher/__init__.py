"""Where demonstrations come from, and what a solution must pass to become one.

desk.py      hand in questions, pick up demonstrations    admission.py  what a solution must pass
imported.py  solutions handed in with an import           dataset.py    the dataset's own solutions
api.py       an OpenAI-compatible model                   client.py     one request at a time
prompt.py    what is asked                                limits.py     pace, pause, budget
answers.py   answers that cross runs
"""

from relift.teacher.admission import admit
from relift.teacher.dataset import DatasetTeacher

__all__ = ["DatasetTeacher", "admit"]
