-- Every update: what it trained on, its loss, and the NLL of demonstrations before and after.
-- Group: runs.
SELECT
    run, iteration, kind, version, sequences, tokens, loss, nll_before, nll_after, entropy, grad_norm, clip_fraction,
    logprob_gap_mean, logprob_gap_max, lr, steps, skipped, refused, seconds
FROM updates
WHERE run GLOB coalesce(getvariable('run'), '*')
  AND iteration >= coalesce(getvariable('since'), -1)
ORDER BY run, iteration, version, kind;
