"""The forms an answer can have, and which of them may stand for which gold."""
