-- From schema 4 to 5: iterations say how often questions were asked until enough groups had signal; uses how much of a
-- demonstration was given and not trained on; and attempts have purposes of which nothing is counted.

-- Before, an iteration asked its batch once, and nothing was refilled.
CREATE VIEW new.iterations AS
SELECT *, 1 AS rounds, 0 AS lacking FROM old.iterations;

-- Before, no rule of relift gave the beginning of a demonstration, and one of one's own that did could not say whose.
CREATE VIEW new.uses AS
SELECT *, NULL::INTEGER AS prefix_tokens FROM old.uses;
