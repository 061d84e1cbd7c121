-- Hard questions that nobody has a demonstration for, in no run, most often unsolved first: what a harvest asks teachers.
SELECT
    question_id,
    min(text) AS text,
    min(gold) AS gold,
    min(source) AS source,
    count(*) AS runs,
    sum(times_unsolved) AS times_unsolved,
    max(last_sampled) AS last_sampled
FROM hard_examples
WHERE state = 'open'
  AND question_id NOT IN (SELECT question_id FROM demonstrations WHERE refusal IS NULL)
GROUP BY question_id
ORDER BY times_unsolved DESC, question_id;
