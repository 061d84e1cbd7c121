-- From schema 4 to 5: uses say how much of a demonstration was given and not trained on; attempts have purposes of which
-- nothing is counted.

-- Before, no rule of relift gave the beginning of a demonstration, and one of one's own that did could not say whose.
CREATE VIEW new.uses AS
SELECT *, NULL::INTEGER AS prefix_tokens FROM old.uses;
