"""Exact arithmetic on expressions, without a computer algebra system."""
