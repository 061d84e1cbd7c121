"""Where demonstrations come from, and what a solution must pass to become one."""

from relift.teacher.admission import admit
from relift.teacher.dataset import DatasetTeacher

__all__ = ["DatasetTeacher", "admit"]
