-- What teachers were asked and what came of it, by model: questions, requests, answers, money.
-- Group: teachers and money.
SELECT
    r.run, r.model,
    count(DISTINCT nullif(r.question_id, '')) AS questions,
    count(nullif(r.question_id, '')) AS requests,
    sum(r.attempts) AS times_sent,
    count(r.answer) AS answered,
    count(r.answer) FILTER (r.attempts = 0) AS answered_by_another_run,
    count(*) FILTER (r.answer IS NULL AND r.failure IS NOT NULL AND r.question_id <> '') AS failed,
    count(DISTINCT d.question_id) AS questions_solved,
    sum(r.input_tokens) AS input_tokens,
    sum(r.output_tokens) AS output_tokens,
    sum(r.cost_usd) AS cost_usd,
    sum(r.unanswered_usd) AS unanswered_usd,
    avg(r.latency_seconds) AS mean_seconds
FROM teacher_requests r
LEFT JOIN (
    SELECT DISTINCT run, question_id, source FROM demonstrations WHERE refusal IS NULL
) d ON d.run = r.run AND d.question_id = r.question_id AND d.source = 'api/' || r.model
WHERE r.run GLOB coalesce(getvariable('run'), '*')
GROUP BY r.run, r.model
ORDER BY r.run, r.model;
