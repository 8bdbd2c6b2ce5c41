-- All that failed, and why
-- Validations of the last 90 days that speak against a backup, newest first, with the checks that failed.
SELECT
  v.opened_time,
  v.verdict,
  v.resource_type,
  v.source_resource_arn,
  v.recovery_point_arn,
  v.verdict_reason,
  v.fault_class,
  array_join(array_agg(c.name ORDER BY c.check_number) FILTER (WHERE c.outcome = 'failed'), ', ') AS failed_checks,
  v.validation_id
FROM validations v
LEFT JOIN checks c ON c.validation_id = v.validation_id
WHERE v.verdict IN ('failed', 'restore_failed', 'copy_failed')
  AND v.dt > current_date - INTERVAL '90' DAY
GROUP BY v.opened_time, v.verdict, v.resource_type, v.source_resource_arn, v.recovery_point_arn, v.verdict_reason,
  v.fault_class, v.validation_id
ORDER BY v.opened_time DESC, v.validation_id
