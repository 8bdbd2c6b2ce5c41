-- Recovery time by month
-- How long recoveries took, in minutes, for each resource and scenario, month by month. Only what was restored and passed counts; other_class counts those on another class than the source's.
SELECT
  date_trunc('month', dt) AS month,
  resource_type,
  source_resource_arn,
  scenario,
  count(*) AS restores,
  avg(recovery_time) AS average,
  approx_percentile(recovery_time, 0.5) AS median,
  approx_percentile(recovery_time, 0.95) AS p95,
  max(recovery_time) AS longest,
  max(recovery_time_target) AS target,
  count_if(recovery_time_objective = 'missed') AS missed,
  count_if(restored_class <> source_class) AS other_class
FROM validations
WHERE verdict = 'passed' AND proof = 'restored' AND recovery_time IS NOT NULL
GROUP BY date_trunc('month', dt), resource_type, source_resource_arn, scenario
ORDER BY month, resource_type, source_resource_arn, scenario
