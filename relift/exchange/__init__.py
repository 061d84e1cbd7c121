"""The hard set out of the ledger and solutions back in.

hard_set.py   what is exported, as records            card.py      the dataset card
folder.py     as a Hugging Face dataset folder        human.py     as JSONL for people to fill in
candidates.py solutions found in whatever is given    imports.py   each verified, all taken in or none
"""

from relift.exchange.folder import write_folder
from relift.exchange.hard_set import HardSet, read_hard_set
from relift.exchange.human import write_wanted
from relift.exchange.imports import ImportReport, import_solutions

__all__ = ["HardSet", "ImportReport", "import_solutions", "read_hard_set", "write_folder", "write_wanted"]
