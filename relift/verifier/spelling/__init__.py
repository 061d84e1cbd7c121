"""Rewriting the characters and commands of an answer to one form."""
