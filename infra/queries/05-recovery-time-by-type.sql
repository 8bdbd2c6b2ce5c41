-- Recovery time by type
-- How long recoveries of each type took in the last 90 days, in minutes: the figures for a recovery plan.
SELECT
  resource_type,
  scenario,
  count(*) AS restores,
  avg(recovery_time) AS average,
  approx_percentile(recovery_time, 0.5) AS median,
  approx_percentile(recovery_time, 0.95) AS p95,
  max(recovery_time) AS longest
FROM validations
WHERE verdict = 'passed' AND proof = 'restored' AND recovery_time IS NOT NULL
  AND dt > current_date - INTERVAL '90' DAY
GROUP BY resource_type, scenario
ORDER BY resource_type, scenario
