-- Coverage: what was not proved lately
-- For each resource the days since its newest recovery point that was restored and passed was proved; gaps first, those never proved before all others. It knows only resources of which something has ever landed.
SELECT
  source_account,
  resource_type,
  source_resource_arn,
  max(CASE WHEN verdict = 'passed' AND proof = 'restored' THEN verdict_time END) AS last_proved,
  date_diff('day', CAST(max(CASE WHEN verdict = 'passed' AND proof = 'restored' THEN verdict_time END) AS date), current_date) AS days,
  max_by(verdict, opened_time) AS latest_verdict,
  max(opened_time) AS latest
FROM validations
WHERE source_resource_arn IS NOT NULL
GROUP BY source_account, resource_type, source_resource_arn
ORDER BY days DESC NULLS FIRST, source_account, resource_type, source_resource_arn
