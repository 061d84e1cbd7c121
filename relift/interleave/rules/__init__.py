"""The rules that come with relift, one a file, and what makes a rule of a configuration: ``make``."""
