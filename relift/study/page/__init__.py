"""The page that people show of a study, and its figures as SVG and PNG.

write.py        the page: what stands on it, in which order        page.css    its style, beside that of a run's report
markdown.py     the same in short, which READMEs quote     sentences.py   what both say in words
view.py         methods with their runs, out of the records        tables.py   its tables
figures.py      which figures there are                            drawing.py  marks, axes, labels that do not collide
curves.py       learning curves        accuracy.py   final accuracy        differences.py  comparisons, forgetting, lift
"""

from relift.study.page.write import write_page

__all__ = ["write_page"]
