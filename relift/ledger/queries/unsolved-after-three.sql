-- Taught three times or more, sampled since, and still not solved.
-- Group: hard questions.
SELECT
    run, question_id, state, times_taught, last_taught, last_sampled, sampled_since_taught, solved_since_taught,
    nll_after, source, gold, text
FROM hard_examples
WHERE times_taught >= 3
  AND state <> 'learned'
  AND last_sampled > last_taught
  AND run GLOB coalesce(getvariable('run'), '*')
  AND last_sampled >= coalesce(getvariable('since'), 0)
ORDER BY times_taught DESC, run, question_id;
