-- From schema 4 to 5: iterations say how often questions were asked until enough groups had signal.

-- Before, an iteration asked its batch once, and nothing was refilled.
CREATE VIEW new.iterations AS
SELECT *, 1 AS rounds, 0 AS lacking FROM old.iterations;
