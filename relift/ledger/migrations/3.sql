-- From schema 2 to 3: groups hold the sums of their attempts, for every purpose and not for training alone, and what
-- left the buffer untaught is kept.

CREATE VIEW new.groups AS
WITH sums AS (
    SELECT
        run, iteration, purpose, question_id,
        min(policy_version) AS policy_version,
        count(*)::INTEGER AS rollouts,
        (count(*) FILTER (status = 'correct'))::INTEGER AS correct,
        count(reward)::INTEGER AS graded,
        sum(tokens)::BIGINT AS tokens
    FROM old.attempts
    GROUP BY run, iteration, purpose, question_id
)
SELECT sums.*, gate.is_hardest, gate.is_control
FROM sums
LEFT JOIN old.groups gate
    ON sums.purpose = 'train' AND gate.run = sums.run AND gate.iteration = sums.iteration
    AND gate.question_id = sums.question_id
ORDER BY sums.run, sums.iteration, sums.purpose, sums.question_id;

-- Nobody wrote down what left: the history before this schema has none.
CREATE VIEW new.leavings AS
SELECT
    NULL::VARCHAR AS run, NULL::INTEGER AS iteration, NULL::VARCHAR AS question_id,
    NULL::VARCHAR AS demonstration_id, NULL::VARCHAR AS reason
WHERE false;
