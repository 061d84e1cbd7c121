-- The hard-example ledger of relift, schema version 2.
--
-- One file belongs to one run, which is its only writer; every table carries the run, so that the ledgers of a project
-- can be read as one. Rows are only ever added (but for the status of the run and the answer to a teacher request).
-- A column `seconds`, or one whose name ends in `_seconds` or `_at`, is wall-clock: it alone may differ between a
-- resumed run and an uninterrupted one. Times are UTC. What can be derived from the tables is a view, at the end.

CREATE TABLE relift_ledger (        -- one row: what this file is
    schema_version INTEGER NOT NULL
);
INSERT INTO relift_ledger VALUES (2);

CREATE TABLE runs (                 -- one row is a run
    run VARCHAR PRIMARY KEY,
    config_json VARCHAR NOT NULL,   -- the resolved configuration tree
    base_model VARCHAR NOT NULL,
    code_version VARCHAR NOT NULL,
    parent_run VARCHAR,             -- the run that this one forked from, and
    parent_iteration INTEGER,       -- the first iteration that it did not inherit
    status VARCHAR NOT NULL,        -- running, finished, interrupted, failed
    created_at TIMESTAMP NOT NULL,
    updated_at TIMESTAMP NOT NULL   -- when the status was last set
);

CREATE TABLE questions (            -- one row is a question
    run VARCHAR NOT NULL,
    question_id VARCHAR NOT NULL,   -- hash of the normalised text: the same in every run
    text VARCHAR NOT NULL,
    answer VARCHAR NOT NULL,        -- the gold answer
    source VARCHAR NOT NULL,        -- dataset, and after a slash the part of it
    split VARCHAR NOT NULL,         -- train, or the name of what is held out
    gold_status VARCHAR NOT NULL,   -- ok; quarantined: the gold did not parse, so the question is never sampled
    repeats INTEGER NOT NULL,       -- how often the dataset holds it
    PRIMARY KEY (run, question_id)
);

CREATE TABLE groups (               -- one row is what the gate made of a question's rollouts in one iteration
    run VARCHAR NOT NULL,
    iteration INTEGER NOT NULL,
    question_id VARCHAR NOT NULL,
    is_hardest BOOLEAN NOT NULL,
    is_control BOOLEAN NOT NULL     -- in the share of hard questions that is never taught
);

CREATE TABLE attempts (             -- one row is a rollout
    run VARCHAR NOT NULL,
    iteration INTEGER NOT NULL,
    question_id VARCHAR NOT NULL,
    sample INTEGER NOT NULL,        -- its number within the group, from 0
    purpose VARCHAR NOT NULL,       -- train, probe, evaluation, confirm
    policy_version INTEGER NOT NULL,
    status VARCHAR NOT NULL,        -- correct, wrong, no_answer, malformed, truncated, timeout, error, bad_gold
    reward DOUBLE,                  -- NULL when it could not be graded
    answer VARCHAR,                 -- the extracted final answer
    decided_by VARCHAR NOT NULL,    -- path of the verifier: string, rational, guard, sympy, callable
    reason VARCHAR NOT NULL,        -- one phrase for a status that is neither correct nor wrong
    tokens INTEGER NOT NULL,
    finish_reason VARCHAR NOT NULL, -- stop, length
    seconds DOUBLE NOT NULL,        -- of the verdict
    text VARCHAR                    -- only where no rollout of the group was correct
);

CREATE TABLE demonstrations (       -- one row is a solution that was offered
    run VARCHAR NOT NULL,
    iteration INTEGER NOT NULL,     -- when it was first offered
    demonstration_id VARCHAR NOT NULL, -- hash of question and text
    question_id VARCHAR NOT NULL,
    source VARCHAR NOT NULL,
    text VARCHAR NOT NULL,
    tokens INTEGER NOT NULL,
    cost_usd DOUBLE NOT NULL,
    latency_seconds DOUBLE NOT NULL,
    refusal VARCHAR,                -- why it was not admitted; NULL when it was
    PRIMARY KEY (run, demonstration_id)
);

CREATE TABLE teacher_requests (     -- one row is a request to a teacher: the cache that survives a crash
    run VARCHAR NOT NULL,
    request_key VARCHAR NOT NULL,   -- hash of model, prompt and parameters
    question_id VARCHAR NOT NULL,
    model VARCHAR NOT NULL,
    prompt VARCHAR NOT NULL,        -- the messages, as JSON
    parameters_json VARCHAR NOT NULL, -- what was sent beside them, and the number of the candidate
    attempts INTEGER NOT NULL,      -- how often it was sent; 0 where another run had the answer
    answer VARCHAR,                 -- NULL until it is answered
    finish_reason VARCHAR,          -- stop, length
    failure VARCHAR,                -- why there is no answer
    input_tokens INTEGER,
    output_tokens INTEGER,
    cost_usd DOUBLE,                -- of the answer; 0 where another run paid for it
    unanswered_usd DOUBLE NOT NULL, -- at most, of what was sent and may be billed though its answer never came
    latency_seconds DOUBLE,
    sent_at TIMESTAMP NOT NULL,
    answered_at TIMESTAMP,
    PRIMARY KEY (run, request_key)
);

CREATE TABLE updates (              -- one row is what an RL or a supervised update reported
    run VARCHAR NOT NULL,
    iteration INTEGER NOT NULL,
    version INTEGER NOT NULL,       -- the policy version after it
    parent_version INTEGER,
    checksum VARCHAR NOT NULL,      -- of the weights
    kind VARCHAR NOT NULL,          -- rl, sft
    loss DOUBLE NOT NULL,           -- nats per token, as are entropy, the gaps and nll_*
    tokens BIGINT NOT NULL,
    sequences INTEGER NOT NULL,
    grad_norm DOUBLE NOT NULL,      -- before clipping, largest of the optimizer steps
    entropy DOUBLE NOT NULL,
    clip_fraction DOUBLE NOT NULL,
    logprob_gap_mean DOUBLE NOT NULL,
    logprob_gap_max DOUBLE NOT NULL,
    nll_before DOUBLE NOT NULL,
    nll_after DOUBLE NOT NULL,
    lr DOUBLE NOT NULL,
    seconds DOUBLE NOT NULL,
    steps INTEGER NOT NULL,         -- optimizer steps taken; 0 leaves the policy version as it was
    skipped INTEGER NOT NULL,       -- not taken because nothing had signal
    refused INTEGER NOT NULL,       -- not taken because the gradient was not finite or above its limit
    kl DOUBLE NOT NULL,             -- to the start model, nats per trained token; 0 where there is no KL term
    correction_mean DOUBLE NOT NULL,  -- weight of a trained token for the engine's gap; 0 where there is no correction
    bounded_fraction DOUBLE NOT NULL, -- share of trained tokens whose such weight was truncated or masked
    flops DOUBLE NOT NULL,          -- of one forward and one backward pass over what was trained on
    mfu DOUBLE,                     -- share of the device's peak that these came to; NULL where no peak is known
    peak_memory_bytes BIGINT NOT NULL -- of the process, on a GPU of its allocator, until the end of the update
);

CREATE TABLE uses (                 -- one row is a demonstration that one supervised update trained on
    run VARCHAR NOT NULL,
    iteration INTEGER NOT NULL,
    version INTEGER NOT NULL,       -- the policy version after the update
    demonstration_id VARCHAR NOT NULL,
    question_id VARCHAR NOT NULL,
    nll_before DOUBLE,              -- nats per token under the policy before the update, and after; NULL if not measured
    nll_after DOUBLE
);

CREATE TABLE evaluations (          -- one row is a benchmark under one policy version
    run VARCHAR NOT NULL,
    iteration INTEGER NOT NULL,
    version INTEGER NOT NULL,
    benchmark VARCHAR NOT NULL,
    kind VARCHAR NOT NULL,          -- difficulty class where there is one: mastered, border, unreached
    questions INTEGER NOT NULL,
    k INTEGER NOT NULL,             -- completions per question
    avg_at_k DOUBLE NOT NULL,
    pass_at_k DOUBLE NOT NULL,
    low DOUBLE NOT NULL,            -- 95 % interval of avg_at_k
    high DOUBLE NOT NULL,
    bands MAP(VARCHAR, INTEGER) NOT NULL, -- questions by difficulty band
    mean_tokens DOUBLE NOT NULL,
    truncated INTEGER NOT NULL
);

CREATE TABLE iterations (           -- one row is what an iteration reported
    run VARCHAR NOT NULL,
    iteration INTEGER NOT NULL,
    questions INTEGER NOT NULL,
    rollouts INTEGER NOT NULL,
    tokens BIGINT NOT NULL,         -- sampled
    mean_tokens DOUBLE NOT NULL,
    accuracy DOUBLE NOT NULL,
    statuses MAP(VARCHAR, INTEGER) NOT NULL,
    unsolved INTEGER NOT NULL,      -- groups that the gate called hardest
    solved_all INTEGER NOT NULL,
    buffer INTEGER NOT NULL,        -- demonstrations waiting afterwards
    taught INTEGER NOT NULL,        -- demonstrations that its supervised updates trained on
    seconds MAP(VARCHAR, DOUBLE) NOT NULL -- wall seconds by phase
);

CREATE TABLE ingested (             -- one row is a batch already written: what makes writing idempotent
    run VARCHAR NOT NULL,
    key VARCHAR NOT NULL,           -- run/iteration/phase
    written_at TIMESTAMP NOT NULL,
    PRIMARY KEY (run, key)
);

-- VIEWS

-- One row per question sampled in an iteration. is_hardest and is_control are NULL where the gate was not asked.
CREATE VIEW group_results AS
SELECT
    a.run, a.iteration, a.purpose, a.question_id,
    min(a.policy_version) AS policy_version,
    count(*) AS rollouts,
    count(*) FILTER (a.status = 'correct') AS correct,
    count(*) FILTER (a.status = 'correct') / count(*) AS accuracy,
    avg(a.tokens) AS mean_tokens,
    bool_or(g.is_hardest) AS is_hardest,
    bool_or(g.is_control) AS is_control
FROM attempts a
LEFT JOIN groups g
    ON a.purpose = 'train' AND g.run = a.run AND g.iteration = a.iteration AND g.question_id = a.question_id
GROUP BY a.run, a.iteration, a.purpose, a.question_id;

-- One row per question and run that the gate ever called hardest, with what became of it:
--   control     kept from teaching, to compare with
--   open        never taught, and its latest rollouts hold no correct one
--   queued      never taught, but an admitted demonstration waits for it
--   solved      never taught, and its latest rollouts hold a correct one: RL alone got there
--   taught      taught, and not solved since (perhaps not sampled since)
--   learned     taught, and its latest rollouts since hold a correct one
--   regressed   solved at some time after it was taught, but not by its latest rollouts
-- Rollouts count as later than an update when a policy sampled them that had it behind it.
CREATE VIEW hard_examples AS
WITH hard AS (
    SELECT
        run, question_id,
        count(*) FILTER (is_hardest) AS times_hardest,
        min(iteration) FILTER (is_hardest) AS first_hardest,
        max(iteration) FILTER (is_hardest) AS last_hardest,
        bool_or(is_control) AS is_control
    FROM groups GROUP BY run, question_id HAVING bool_or(is_hardest)
), teaching AS (
    SELECT
        run, question_id, count(*) AS times_taught, max(iteration) AS last_taught,
        min(version) AS first_version, max(version) AS last_version,
        max_by(nll_before, version) AS nll_before, max_by(nll_after, version) AS nll_after
    FROM uses GROUP BY run, question_id
), offered AS (
    SELECT run, question_id, count(*) FILTER (refusal IS NULL) AS admitted, count(refusal) AS refused
    FROM demonstrations GROUP BY run, question_id
), sampled AS (
    SELECT
        r.run, r.question_id,
        count(*) AS times_sampled,
        count(*) FILTER (r.correct = 0) AS times_unsolved,
        max(r.iteration) AS last_sampled,
        max(r.policy_version) AS last_policy_version,
        max_by(r.accuracy, (r.policy_version, r.iteration)) AS last_accuracy,
        count(*) FILTER (r.policy_version >= t.first_version) AS sampled_since_taught,
        count(*) FILTER (r.policy_version >= t.first_version AND r.correct > 0) AS solved_since_taught
    FROM group_results r
    JOIN hard USING (run, question_id)
    LEFT JOIN teaching t USING (run, question_id)
    GROUP BY r.run, r.question_id
)
SELECT
    run, question_id,
    CASE
        WHEN is_control THEN 'control'
        WHEN times_taught IS NULL AND admitted > 0 THEN 'queued'
        WHEN times_taught IS NULL AND last_accuracy > 0 THEN 'solved'
        WHEN times_taught IS NULL THEN 'open'
        WHEN last_policy_version < last_version THEN 'taught'
        WHEN last_accuracy > 0 THEN 'learned'
        WHEN solved_since_taught > 0 THEN 'regressed'
        ELSE 'taught'
    END AS state,
    q.text, q.answer AS gold, q.source,
    times_sampled, times_hardest, times_unsolved, first_hardest, last_hardest, last_sampled, last_accuracy,
    coalesce(admitted, 0) AS admitted, coalesce(refused, 0) AS refused,
    coalesce(times_taught, 0) AS times_taught, last_taught, nll_before, nll_after,
    sampled_since_taught, solved_since_taught
FROM hard
JOIN sampled USING (run, question_id)
LEFT JOIN teaching USING (run, question_id)
LEFT JOIN offered USING (run, question_id)
LEFT JOIN questions q USING (run, question_id);
