-- From schema 4 to 5: iterations say how often questions were asked until enough groups had signal; uses how much of a
-- demonstration was given and not trained on; demonstrations of what kind they are; and attempts have purposes of which
-- nothing is counted.

-- Before, an iteration asked its batch once, and nothing was refilled.
CREATE VIEW new.iterations AS
SELECT *, 1 AS rounds, 0 AS lacking FROM old.iterations;

-- Before, teachers were asked for solutions alone.
CREATE VIEW new.demonstrations AS
SELECT *, 'solution' AS kind FROM old.demonstrations;

-- Before, no rule of relift gave the beginning of a demonstration, and one of one's own that did could not say whose.
CREATE VIEW new.uses AS
SELECT *, NULL::INTEGER AS prefix_tokens FROM old.uses;
