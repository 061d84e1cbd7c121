-- Hard questions that their latest rollouts do not solve: state, how often they were tried, and the gold answer.
SELECT run, question_id, state, times_sampled, times_unsolved, times_hardest, times_taught, last_sampled, source, gold, text
FROM hard_examples
WHERE last_accuracy = 0
ORDER BY times_unsolved DESC, run, question_id;
