-- The hard-example ledger of relift, schema version 5.
--
-- One file belongs to one run, which is its only writer; every table carries the run, so that the ledgers of a project
-- can be read as one. Rows are only ever added (but for the status of the run and the answer to a teacher request).
-- A column `seconds`, or one whose name ends in `_seconds` or `_at`, is wall-clock: it alone may differ between a
-- resumed run and an uninterrupted one. Times are UTC. What can be derived from the tables is a view, at the end.
-- Iteration -1 is what comes before the first one: the warm start, and the evaluation of the base before it.

CREATE TABLE relift_ledger (        -- one row: what this file is
    schema_version INTEGER NOT NULL
);
INSERT INTO relift_ledger VALUES (5);

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

CREATE TABLE groups (               -- one row is a question sampled in an iteration for a purpose: the sums of its attempts
    run VARCHAR NOT NULL,
    iteration INTEGER NOT NULL,
    purpose VARCHAR NOT NULL,       -- as in attempts
    question_id VARCHAR NOT NULL,
    policy_version INTEGER NOT NULL,
    rollouts INTEGER NOT NULL,
    correct INTEGER NOT NULL,
    graded INTEGER NOT NULL,        -- rollouts that have a reward
    tokens BIGINT NOT NULL,
    is_hardest BOOLEAN,             -- what the gate said; NULL where it was not asked: every purpose but train
    is_control BOOLEAN              -- in the share of hard questions that is never taught; NULL as above
);

CREATE TABLE attempts (             -- one row is a rollout
    run VARCHAR NOT NULL,
    iteration INTEGER NOT NULL,
    question_id VARCHAR NOT NULL,
    sample INTEGER NOT NULL,        -- its number within the group, from 0
    purpose VARCHAR NOT NULL,       -- train; probe: did teaching last; evaluation; confirm: an evaluation with other draws;
                                    -- guided: with the beginning of a solution given, or solutions shown, wrong ones
                                    -- too; unguided: a question as it is, asked beside the batch; prefix_search,
                                    -- continuation: to see where a beginning leads; in_view: the first half of a
                                    -- question's samples with its demonstration in view, the rest without
    policy_version INTEGER NOT NULL,
    status VARCHAR NOT NULL,        -- correct, wrong, no_answer, malformed, truncated, timeout, error, bad_gold
    reward DOUBLE,                  -- NULL when it could not be graded, or the reward failed
    answer VARCHAR,                 -- the extracted final answer
    decided_by VARCHAR NOT NULL,    -- path of the verifier: string, rational, guard, sympy, callable
    reason VARCHAR NOT NULL,        -- one phrase for a status that is neither correct nor wrong
    tokens INTEGER NOT NULL,
    finish_reason VARCHAR NOT NULL, -- stop, length
    seconds DOUBLE NOT NULL,        -- of the verdict
    text VARCHAR                    -- only where no rollout of the group was correct
);

CREATE TABLE reward_parts (         -- one row is a part of an attempt's reward, which is the sum of them; none without parts
    run VARCHAR NOT NULL,
    iteration INTEGER NOT NULL,
    question_id VARCHAR NOT NULL,
    sample INTEGER NOT NULL,
    purpose VARCHAR NOT NULL,       -- as in attempts, like the four before it
    name VARCHAR NOT NULL,
    value DOUBLE NOT NULL
);

CREATE TABLE reward_failures (      -- one row is an attempt whose reward of one's own failed: it was not trained on
    run VARCHAR NOT NULL,
    iteration INTEGER NOT NULL,
    question_id VARCHAR NOT NULL,
    sample INTEGER NOT NULL,
    purpose VARCHAR NOT NULL,       -- as in attempts, like the four before it
    status VARCHAR NOT NULL,        -- timeout, error, not_finite, not_a_number
    reason VARCHAR NOT NULL
);

CREATE TABLE demonstrations (       -- one row is a solution, or a step of one, that was offered
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
    kind VARCHAR NOT NULL,          -- solution; or intervention, a wrong rollout's beginning with a step set right
    PRIMARY KEY (run, demonstration_id)
);

CREATE TABLE teacher_requests (     -- one row is a request to a teacher: the cache that survives a crash
    run VARCHAR NOT NULL,
    request_key VARCHAR NOT NULL,   -- hash of model, prompt and parameters
    question_id VARCHAR NOT NULL,   -- '' for what is asked at the start, whose answer nobody is taught by
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
    flops DOUBLE NOT NULL,          -- of one forward and one backward pass over what was trained on; of a distillation the start model's forward pass too
    mfu DOUBLE,                     -- share of the device's peak that these came to; NULL where no peak is known
    peak_memory_bytes BIGINT NOT NULL, -- of the process, on a GPU of its allocator, until the end of the update
    metrics MAP(VARCHAR, DOUBLE) NOT NULL -- what else its loss measured, by name: means over the trained tokens
);

CREATE TABLE uses (                 -- one row is a demonstration that one update trained on, or on what followed its beginning
    run VARCHAR NOT NULL,
    iteration INTEGER NOT NULL,
    kind VARCHAR NOT NULL,          -- of the update: sft; rl, where it joined a group, stood beside it or guided one, or was in view
    version INTEGER NOT NULL,       -- the policy version after the update
    demonstration_id VARCHAR NOT NULL,
    question_id VARCHAR NOT NULL,
    nll_before DOUBLE,              -- nats per token under the policy before the update, and after; NULL if not measured
    nll_after DOUBLE,
    prefix_tokens INTEGER           -- so many of its tokens were given before what was trained on; NULL where it was that,
                                    -- or was in the start model's view
);

CREATE TABLE entries (              -- one row is a demonstration that came into the buffer and was not turned out at once
    run VARCHAR NOT NULL,
    iteration INTEGER NOT NULL,
    question_id VARCHAR NOT NULL,
    demonstration_id VARCHAR NOT NULL
);

CREATE TABLE leavings (             -- one row is a demonstration that left the buffer without being taught
    run VARCHAR NOT NULL,
    iteration INTEGER NOT NULL,
    question_id VARCHAR NOT NULL,
    demonstration_id VARCHAR NOT NULL,
    reason VARCHAR NOT NULL         -- solved_meanwhile, expired, evicted, retired: taught as often as the run allows
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
    rounds INTEGER NOT NULL,        -- in which its questions were asked: with refill there may be several
    lacking INTEGER NOT NULL,       -- groups with signal that its RL batch is short of, since refill came to its cap
    buffer INTEGER NOT NULL,        -- demonstrations waiting afterwards
    taught INTEGER NOT NULL,        -- demonstrations that its updates trained on
    seconds MAP(VARCHAR, DOUBLE) NOT NULL -- wall seconds by phase
);

CREATE TABLE ingested (             -- one row is a batch already written: what makes writing idempotent
    run VARCHAR NOT NULL,
    key VARCHAR NOT NULL,           -- run/iteration/phase
    written_at TIMESTAMP NOT NULL,
    PRIMARY KEY (run, key)
);

-- VIEWS

-- Nearly all of it reads groups, which has an eighth of the rows of attempts. A rollout is later than an update where
-- the policy that sampled it had the update behind it; of groups sampled under one policy version the one of the higher
-- iteration is the later, and within an iteration the training group.

-- The groups and rollouts of questions as they are, which alone say what the policy can do. What was sampled after a
-- beginning that was given, and what a rule asked beside the batch, counts for no view and no query but guidance.
CREATE VIEW plain_groups AS
SELECT * FROM groups WHERE purpose IN ('train', 'probe', 'evaluation', 'confirm');

CREATE VIEW plain_attempts AS
SELECT * FROM attempts WHERE purpose IN ('train', 'probe', 'evaluation', 'confirm');

-- Questions that are never taught: those that the gate called hardest, and by the hash of their id, as
-- relift.interleave.is_control has it, those that it was never asked about.
CREATE VIEW controls AS
SELECT run, question_id FROM groups WHERE is_control
UNION
SELECT run, question_id
FROM questions JOIN runs USING (run)
WHERE ('0x' || left(sha256('control' || chr(0) || question_id), 16))::UBIGINT < 18446744073709551616
    * try_cast(CASE WHEN json_valid(config_json) THEN config_json ->> '$.teach.control_share' END AS DOUBLE);

-- One row per question sampled in an iteration for a purpose, whatever that is. is_hardest and is_control are NULL where the gate was not
-- asked. The band is its difficulty as relift.evaluation names it, stated for 8 rollouts: easy from 6 correct on,
-- medium from 3, hard from 1, hardest at none.
CREATE VIEW group_results AS
SELECT
    run, iteration, purpose, question_id, policy_version, rollouts, correct, graded,
    correct / rollouts AS accuracy,
    tokens / rollouts AS mean_tokens,
    is_hardest, is_control,
    CASE
        WHEN 8 * correct >= 6 * rollouts THEN 'easy'
        WHEN 8 * correct >= 3 * rollouts THEN 'medium'
        WHEN correct > 0 THEN 'hard'
        ELSE 'hardest'
    END AS band
FROM groups;

-- One row per question and run that the gate ever called hardest, with what became of it, the first that holds of:
--   control               kept from teaching, to compare with
-- and where it was never taught
--   queued                an admitted demonstration waits for a supervised update
--   solved                its latest rollouts hold a correct one: RL alone got there
--   sourcing              a teacher was asked and has not answered
--   no_teacher_solves_it  teachers were asked, and nothing that they answered was admitted
--   open                  none of these: no teacher was asked or answered (one that is down may yet), or its
--                         demonstration left the buffer untaught
-- and where it was taught
--   learned               its latest rollouts since then hold a correct one
--   retired               taught as often as the run allows, and not solved since the last time
--   taught                not solved since, perhaps because it was not sampled since
--   regressed             solved at some time after it was taught, but not by its latest rollouts
-- A demonstration waits (is_waiting, which a taught question can be too, since waits_since) from the iteration in which
-- it came into the buffer until it is trained on or leaves: one that guides waits on. Within an iteration RL updates and
-- leavings are before entries, and supervised updates after them.
CREATE VIEW hard_examples AS
WITH teaching AS (
    SELECT
        run, question_id, count(*) AS times_taught, min(iteration) AS first_taught, max(iteration) AS last_taught,
        min(version) AS first_version, max(version) AS last_version,
        max_by(nll_before, version) AS nll_before, max_by(nll_after, version) AS nll_after
    FROM uses GROUP BY run, question_id
), hard AS (
    SELECT
        g.run, g.question_id,
        count(*) FILTER (g.is_hardest) AS times_hardest,
        min(g.iteration) FILTER (g.is_hardest) AS first_hardest,
        max(g.iteration) FILTER (g.is_hardest) AS last_hardest,
        bool_or(g.is_control) AS is_control,
        count(*) AS times_sampled,
        count(*) FILTER (g.correct = 0) AS times_unsolved,
        max(g.iteration) AS last_sampled,
        max(g.policy_version) AS last_policy_version,
        max_by(g.correct / g.rollouts, (g.policy_version, g.iteration, g.purpose)) AS last_accuracy,
        count(*) FILTER (g.policy_version >= t.first_version) AS sampled_since_taught,
        count(*) FILTER (g.policy_version >= t.first_version AND g.correct > 0) AS solved_since_taught,
        count(*) FILTER (g.policy_version >= t.last_version AND g.correct > 0) AS solved_since_last_taught
    FROM plain_groups g
    LEFT JOIN teaching t USING (run, question_id)
    GROUP BY g.run, g.question_id
    HAVING bool_or(g.is_hardest)
), offered AS (
    SELECT
        run, question_id, count(*) FILTER (refusal IS NULL AND kind = 'solution') AS admitted,
        count(refusal) AS refused
    FROM demonstrations GROUP BY run, question_id
), asked AS (
    SELECT
        run, question_id, count(*) AS requests, count(answer) AS answered,
        count(*) FILTER (answer IS NULL AND failure IS NULL) AS owed
    FROM teacher_requests GROUP BY run, question_id
), gone AS (
    SELECT
        run, question_id, max(iteration) AS last_left, max_by(reason, (iteration, reason)) AS left_as,
        bool_or(reason = 'retired') AS is_retired
    FROM leavings GROUP BY run, question_id
), waiting AS (
    SELECT run, question_id, max(iteration) AS waits_since
    FROM entries e
    WHERE NOT EXISTS (
        FROM leavings l
        WHERE l.run = e.run AND l.demonstration_id = e.demonstration_id AND l.iteration > e.iteration
    ) AND NOT EXISTS (
        FROM uses u
        WHERE u.run = e.run AND u.demonstration_id = e.demonstration_id AND u.prefix_tokens IS NULL
            AND (u.iteration > e.iteration OR (u.iteration = e.iteration AND u.kind = 'sft'))
    )
    GROUP BY run, question_id
), lives AS (
    FROM hard
    LEFT JOIN teaching USING (run, question_id)
    LEFT JOIN offered USING (run, question_id)
    LEFT JOIN asked USING (run, question_id)
    LEFT JOIN gone USING (run, question_id)
    LEFT JOIN waiting USING (run, question_id)
)
SELECT
    l.run, l.question_id,
    CASE
        WHEN is_control THEN 'control'
        WHEN times_taught IS NULL THEN CASE
            WHEN waits_since IS NOT NULL THEN 'queued'
            WHEN last_accuracy > 0 THEN 'solved'
            WHEN owed > 0 THEN 'sourcing'
            WHEN coalesce(admitted, 0) = 0 AND coalesce(answered, refused) > 0 THEN 'no_teacher_solves_it'
            ELSE 'open'
        END
        WHEN last_accuracy > 0 AND last_policy_version >= last_version THEN 'learned'
        WHEN is_retired AND solved_since_last_taught = 0 THEN 'retired'
        WHEN solved_since_taught = 0 OR last_policy_version < last_version THEN 'taught'
        ELSE 'regressed'
    END AS state,
    q.text, q.answer AS gold, q.source,
    times_sampled, times_hardest, times_unsolved, first_hardest, last_hardest, last_sampled, last_accuracy,
    coalesce(requests, 0) AS requests, coalesce(admitted, 0) AS admitted, coalesce(refused, 0) AS refused,
    waits_since IS NOT NULL AS is_waiting, waits_since, last_left, left_as,
    coalesce(times_taught, 0) AS times_taught, first_taught, last_taught, nll_before, nll_after,
    sampled_since_taught, solved_since_taught
FROM lives l
LEFT JOIN questions q USING (run, question_id);

-- How difficulty moved: one row per two evaluations of a run, band at the first and band at the second, over the
-- questions that both asked. share is of the questions that were in from_band. With one sample per question there is no
-- band between easy and hardest.
CREATE VIEW transitions AS
SELECT
    run, from_iteration, to_iteration, from_band, to_band, questions,
    questions / sum(questions) OVER (PARTITION BY run, from_iteration, to_iteration, from_band) AS share
FROM (
    SELECT
        a.run, a.iteration AS from_iteration, b.iteration AS to_iteration, a.band AS from_band, b.band AS to_band,
        count(*) AS questions
    FROM group_results a
    JOIN group_results b USING (run, question_id)
    WHERE a.purpose = 'evaluation' AND b.purpose = 'evaluation' AND a.iteration < b.iteration
    GROUP BY ALL
);

-- What of that is chance: the same matrix between an evaluation and its confirmation, which asks the same questions of
-- the same policy version with other draws. Without it regression to the mean passes for learning.
CREATE VIEW noise AS
SELECT
    run, iteration, from_band, to_band, questions,
    questions / sum(questions) OVER (PARTITION BY run, iteration, from_band) AS share
FROM (
    SELECT a.run, a.iteration, a.band AS from_band, b.band AS to_band, count(*) AS questions
    FROM group_results a
    JOIN group_results b USING (run, question_id, iteration)
    WHERE a.purpose = 'evaluation' AND b.purpose = 'confirm'
    GROUP BY ALL
);

-- One row per probe of a question that was taught or is a control: how far from its anchor it was sampled again, with
-- which accuracy, and with which accuracy the gate first called it hardest. The anchor of a taught question is the
-- iteration of its first use, whether it was taught again later or not; that of a control is the first iteration that
-- taught anything from then on that the gate had called it hardest and a teacher had solved it: the update that would
-- have taught it, were there no queue. is_solved: an admitted demonstration is there. A control without one would not
-- have been taught; runs before teachers were asked for controls have such controls alone. was_hardest: the gate had
-- called it so by its first use, in a warm start too, as it has every control by its anchor. What was taught before
-- that was not chosen as controls are, so there is nothing to compare it with.
CREATE VIEW probes AS
WITH hard AS (
    SELECT
        run, question_id, bool_or(is_control) AS is_control, min(iteration) AS first_hardest,
        min_by(correct / rollouts, iteration) AS accuracy_before
    FROM groups WHERE purpose = 'train' AND is_hardest GROUP BY run, question_id
), solved AS (
    SELECT run, question_id, min(iteration) AS first_admitted
    FROM demonstrations WHERE refusal IS NULL GROUP BY run, question_id
), taught AS (
    SELECT run, question_id, min(iteration) AS first_taught, min(iteration) FILTER (iteration >= 0) AS anchor
    FROM uses GROUP BY run, question_id HAVING anchor IS NOT NULL
), teaching AS (
    SELECT DISTINCT run, iteration FROM uses WHERE iteration >= 0
), teachable AS (
    SELECT run, question_id, accuracy_before, greatest(first_hardest, coalesce(first_admitted, 0)) AS teachable_from
    FROM hard LEFT JOIN solved USING (run, question_id) WHERE is_control
), anchored AS (
    SELECT
        run, question_id, true AS is_taught, anchor, accuracy_before,
        coalesce(first_hardest <= first_taught, false) AS was_hardest
    FROM taught LEFT JOIN hard USING (run, question_id)
    UNION ALL
    SELECT t.run, t.question_id, false, s.iteration, t.accuracy_before, true
    FROM teachable t ASOF JOIN teaching s ON t.run = s.run AND t.teachable_from <= s.iteration
)
SELECT
    g.run, g.question_id, a.is_taught, a.anchor, g.iteration, g.iteration - a.anchor AS distance,
    g.policy_version, g.rollouts, g.correct, g.correct / g.rollouts AS accuracy, a.accuracy_before,
    d.first_admitted IS NOT NULL AS is_solved, a.was_hardest
FROM groups g
JOIN anchored a USING (run, question_id)
LEFT JOIN solved d USING (run, question_id)
WHERE g.purpose = 'probe' AND g.iteration > a.anchor;

-- Did teaching work: taught questions against controls, so many iterations after teaching. Lift is defined where a
-- question was called hardest before it was taught, and NULL, never 0, where none of those compared was. On both sides only
-- what a teacher solves counts, since what none solves is never taught and is harder than what is; and like is compared with
-- like: within a stratum, questions of one source with one anchor, of which there are taught ones and controls. lift is
-- the mean of the strata's differences, each weighted with taught * control / questions, which is the least squares
-- coefficient of teaching beside a constant for each stratum. Its 95 % interval is +- 1.96 standard errors after White
-- (HC1), and NULL where no more questions than strata and teaching are there to tell them apart. Rates are the two
-- sides' means under those weights, so that lift is their difference; *_before is 0 by construction where the gate wants
-- no correct rollout. Their intervals are +- 1.96 standard errors of the weighted mean over questions, NULL below two;
-- greatest and least pass over NULL, hence the cases. Wilson's interval does not fit here, since the rollouts of one
-- question are not independent trials. For fewer than about ten questions all of these are too narrow, and where all
-- questions agree they have no width. left_out: questions that were probed and have nobody to be compared with.
CREATE VIEW lift AS
WITH solvable AS (
    SELECT p.*, coalesce(q.source, '') AS source
    FROM probes p LEFT JOIN questions q USING (run, question_id) WHERE p.is_solved AND p.was_hardest
), strata AS (
    SELECT run, distance, source, anchor, avg(accuracy) AS mean, count(*) FILTER (is_taught) / count(*) AS taught_share
    FROM solvable GROUP BY run, distance, source, anchor
    HAVING bool_or(is_taught) AND NOT bool_and(is_taught)
), compared AS (
    SELECT
        s.run, s.distance, s.source, s.anchor, s.is_taught, s.accuracy, s.accuracy_before,
        s.accuracy - t.mean AS deviation,
        s.is_taught::INTEGER - t.taught_share AS tilt,
        abs(s.is_taught::INTEGER - t.taught_share) AS weight
    FROM solvable s JOIN strata t USING (run, distance, source, anchor)
), rates AS (
    SELECT
        run, distance, count(*) AS questions, count(DISTINCT (source, anchor)) AS strata, sum(tilt ** 2) AS total,
        count(*) FILTER (is_taught) AS taught_questions, count(*) FILTER (NOT is_taught) AS control_questions,
        sum(weight * accuracy) FILTER (is_taught) / sum(weight) FILTER (is_taught) AS taught_rate,
        sum(weight * accuracy) FILTER (NOT is_taught) / sum(weight) FILTER (NOT is_taught) AS control_rate,
        sum(weight * accuracy_before) FILTER (is_taught) / sum(weight) FILTER (is_taught) AS taught_before,
        sum(weight * accuracy_before) FILTER (NOT is_taught) / sum(weight) FILTER (NOT is_taught) AS control_before
    FROM compared GROUP BY run, distance
), spreads AS (
    SELECT
        run, distance,
        sum((weight * (accuracy - taught_rate)) ** 2) FILTER (is_taught) AS taught_spread,
        sum((weight * (accuracy - control_rate)) ** 2) FILTER (NOT is_taught) AS control_spread,
        sum((tilt * (deviation - (taught_rate - control_rate) * tilt)) ** 2) AS lift_spread
    FROM compared JOIN rates USING (run, distance) GROUP BY run, distance
), halves AS (
    SELECT
        run, distance,
        1.959963984540054 / total * CASE WHEN taught_questions > 1
            THEN sqrt(taught_spread * taught_questions / (taught_questions - 1)) END AS taught_half,
        1.959963984540054 / total * CASE WHEN control_questions > 1
            THEN sqrt(control_spread * control_questions / (control_questions - 1)) END AS control_half,
        1.959963984540054 / total * CASE WHEN questions > strata + 1
            THEN sqrt(lift_spread * questions / (questions - strata - 1)) END AS lift_half
    FROM spreads JOIN rates USING (run, distance)
), probed AS (
    SELECT run, distance, count(*) AS questions FROM probes GROUP BY run, distance
)
SELECT
    p.run, p.distance,
    coalesce(taught_questions, 0) AS taught_questions, taught_before, taught_rate,
    CASE WHEN taught_half IS NOT NULL THEN greatest(taught_rate - taught_half, 0) END AS taught_low,
    CASE WHEN taught_half IS NOT NULL THEN least(taught_rate + taught_half, 1) END AS taught_high,
    coalesce(control_questions, 0) AS control_questions, control_before, control_rate,
    CASE WHEN control_half IS NOT NULL THEN greatest(control_rate - control_half, 0) END AS control_low,
    CASE WHEN control_half IS NOT NULL THEN least(control_rate + control_half, 1) END AS control_high,
    taught_rate - control_rate AS lift,
    taught_rate - control_rate - lift_half AS lift_low,
    taught_rate - control_rate + lift_half AS lift_high,
    coalesce(strata, 0) AS strata, p.questions - coalesce(r.questions, 0) AS left_out
FROM probed p
LEFT JOIN rates r USING (run, distance)
LEFT JOIN halves h USING (run, distance);

-- What each source of demonstrations gave for its money. A taught question counts for the source of the demonstration
-- that it was last taught with. cost_usd is what its answers cost, refused ones too, and at most of what was sent and
-- may be billed though its answer never came.
CREATE VIEW teacher_value AS
WITH offered AS (
    SELECT
        run, source, count(*) AS offered, count(*) FILTER (refusal IS NULL) AS admitted,
        count(DISTINCT question_id) FILTER (refusal IS NULL) AS questions_solved, sum(cost_usd) AS cost_usd
    FROM demonstrations GROUP BY run, source
), billed AS (
    SELECT run, 'api/' || model AS source, sum(coalesce(cost_usd, 0) + unanswered_usd) AS cost_usd
    FROM teacher_requests GROUP BY run, model
), last_used AS (
    SELECT run, question_id, max_by(demonstration_id, version) AS demonstration_id
    FROM uses GROUP BY run, question_id
), became AS (
    SELECT
        d.run, d.source, count(*) AS taught,
        count(*) FILTER (h.state = 'learned') AS learned, count(*) FILTER (h.state = 'regressed') AS regressed
    FROM last_used u
    JOIN demonstrations d USING (run, demonstration_id)
    LEFT JOIN hard_examples h ON h.run = u.run AND h.question_id = u.question_id
    GROUP BY d.run, d.source
)
SELECT
    run, source,
    coalesce(offered, 0) AS offered, coalesce(admitted, 0) AS admitted,
    coalesce(questions_solved, 0) AS questions_solved,
    coalesce(taught, 0) AS taught, coalesce(learned, 0) AS learned, coalesce(regressed, 0) AS regressed,
    coalesce(b.cost_usd, o.cost_usd, 0) AS cost_usd,
    coalesce(learned, 0) / nullif(coalesce(b.cost_usd, o.cost_usd, 0), 0) AS learned_per_usd
FROM offered o
FULL JOIN billed b USING (run, source)
LEFT JOIN became USING (run, source);
