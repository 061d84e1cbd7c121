-- From schema 3 to 4: updates hold what a loss of one's own measured, and attempts what a reward of one's own gave.

-- Before there was no loss but relift's, whose metrics have columns.
CREATE VIEW new.updates AS
SELECT *, MAP {}::MAP(VARCHAR, DOUBLE) AS metrics FROM old.updates;

-- Before there was no reward but that of the verdict, which has no parts and cannot fail.
CREATE VIEW new.reward_parts AS
SELECT
    NULL::VARCHAR AS run, NULL::INTEGER AS iteration, NULL::VARCHAR AS question_id, NULL::INTEGER AS sample,
    NULL::VARCHAR AS purpose, NULL::VARCHAR AS name, NULL::DOUBLE AS value
WHERE false;
CREATE VIEW new.reward_failures AS
SELECT
    NULL::VARCHAR AS run, NULL::INTEGER AS iteration, NULL::VARCHAR AS question_id, NULL::INTEGER AS sample,
    NULL::VARCHAR AS purpose, NULL::VARCHAR AS status, NULL::VARCHAR AS reason
WHERE false;

-- Before, only supervised updates trained on demonstrations.
CREATE VIEW new.uses AS
SELECT *, 'sft' AS kind FROM old.uses;
