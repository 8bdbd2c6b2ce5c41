-- The auditor's month
-- For each month and type: how many recovery points were told of, how many were restored and passed, what became of the others, recovery times against targets, and what was left behind.
SELECT
  date_trunc('month', dt) AS month,
  resource_type,
  count(*) AS recovery_points,
  count(DISTINCT source_resource_arn) AS resources,
  count_if(proof = 'restored') AS restored,
  count_if(verdict = 'passed' AND proof = 'restored') AS proved,
  count_if(proof = 'read') AS read_without_restore,
  count_if(verdict = 'failed') AS failed,
  count_if(verdict = 'restore_failed') AS restore_failed,
  count_if(verdict = 'copy_failed') AS copy_failed,
  count_if(verdict = 'inconclusive') AS inconclusive,
  count_if(verdict = 'unchecked') AS unchecked,
  count_if(verdict = 'not_tested') AS not_tested,
  100.0 * count_if(verdict = 'passed' AND proof = 'restored')
    / nullif(count_if(verdict IN ('passed', 'failed', 'restore_failed') AND (proof IS NULL OR proof = 'restored')), 0) AS success_rate,
  avg(CASE WHEN verdict = 'passed' AND proof = 'restored' THEN recovery_time END) AS average_recovery_time,
  count_if(recovery_time_objective = 'missed') AS recovery_time_missed,
  count_if(data_age_objective = 'missed') AS data_age_missed,
  count_if(cleanup = 'left_behind') AS left_behind
FROM validations
GROUP BY date_trunc('month', dt), resource_type
ORDER BY month, resource_type
