"""Where demonstrations come from, and what a solution must pass to become one.

queue.py     hand in questions, pick up demonstrations    admission.py  what a solution must pass
imported.py  solutions handed in with an import           dataset.py    the dataset's own solutions
own.py       a function or class of one's own         budget.py     what it costs
api.py       an OpenAI-compatible model                   limits.py     rate and pause
client.py    one request at a time                        exchange.py   HTTP, bounded
prompt.py    what is asked                                reply.py      what came, checked
endpoint.py  address and key                              failure.py    why nothing came
answers.py   answers that cross runs                      connect.py    before any work starts
background.py  a thread beside training
"""

from relift.teacher.admission import admit
from relift.teacher.dataset import DatasetTeacher

__all__ = ["DatasetTeacher", "admit"]
