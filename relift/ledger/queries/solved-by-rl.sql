-- Hard questions that were never taught and that the latest rollouts solve: RL alone got there.
-- Group: hard questions.
SELECT run, question_id, times_hardest, first_hardest, last_hardest, last_sampled, last_accuracy, source, gold, text
FROM hard_examples
WHERE (state = 'solved' OR state = 'control' AND last_accuracy > 0)
  AND run GLOB coalesce(getvariable('run'), '*')
  AND last_sampled >= coalesce(getvariable('since'), 0)
ORDER BY last_accuracy DESC, times_hardest DESC, run, question_id;
