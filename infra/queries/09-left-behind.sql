-- Left behind
-- What was restored and is still there, oldest first: each costs money every hour, and holds production data.
SELECT
  opened_time,
  cleanup,
  resource_type,
  restored_resource_arn,
  restored_instance_id,
  restore_job_id,
  cleanup_reason,
  kept_until,
  validation_id
FROM validations
WHERE cleanup IN ('left_behind', 'kept_until', 'pending') AND restore_job_id IS NOT NULL
ORDER BY opened_time, validation_id
