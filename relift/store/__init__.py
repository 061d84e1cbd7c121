"""Artifacts by place under a root: data first, manifest last."""

from relift.store.folder import FolderStore, open_store
from relift.store.manifest import MANIFEST, FileEntry, Manifest

__all__ = ["MANIFEST", "FileEntry", "FolderStore", "Manifest", "open_store"]
