"""A run's ledger made again (rebuild.py) from the phases that it recorded (recordings.py)."""
