-- Questions that are never asked, since their gold answer could not be read.
-- Group: can the data be trusted.
SELECT run, question_id, split, gold_status, answer AS gold, source, text
FROM questions
WHERE gold_status <> 'ok'
  AND run GLOB coalesce(getvariable('run'), '*')
ORDER BY run, source, question_id;
