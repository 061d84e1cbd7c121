-- From schema 3 to 4: updates hold what a loss of one's own measured. Before there were none but relift's, whose metrics
-- have columns.

CREATE VIEW new.updates AS
SELECT *, MAP {}::MAP(VARCHAR, DOUBLE) AS metrics FROM old.updates;
