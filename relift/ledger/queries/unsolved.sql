-- Hard questions that their latest rollouts do not solve, most often unsolved first.
-- Group: hard questions.
SELECT
    run, question_id, state, times_sampled, times_unsolved, times_hardest, times_taught, last_sampled, source, gold,
    text
FROM hard_examples
WHERE last_accuracy = 0
  AND run GLOB coalesce(getvariable('run'), '*')
  AND last_sampled >= coalesce(getvariable('since'), 0)
ORDER BY times_unsolved DESC, run, question_id;
