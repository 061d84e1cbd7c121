"""Artifacts by key under a root: data first, manifest last.

interface.py   the Store, and which one a URI means     manifest.py   what makes an artifact whole
folder.py      in a folder of this machine              s3.py         in a bucket, with a folder as working copy
lease.py       one writer per run across machines       bucket.py     objects, the only file that talks to S3
uris.py        what a URI may be                        names.py      what the name of a file or an object may be
"""

from relift.store.folder import FolderStore
from relift.store.interface import Store, open_store
from relift.store.manifest import MANIFEST, FileEntry, Manifest

__all__ = ["MANIFEST", "FileEntry", "FolderStore", "Manifest", "Store", "open_store"]
