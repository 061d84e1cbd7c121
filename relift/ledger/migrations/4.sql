-- From schema 3 to 4: updates hold what a loss of one's own measured. Before there were none but relift's, whose metrics
-- have columns. Uses say which kind of update trained on the demonstration: before, a supervised one always.

CREATE VIEW new.updates AS
SELECT *, MAP {}::MAP(VARCHAR, DOUBLE) AS metrics FROM old.updates;

CREATE VIEW new.uses AS
SELECT *, 'sft' AS kind FROM old.uses;
