-- Latest verdict of each resource
-- One row for each resource that a backup was ever told of: what its newest recovery point was found to be.
SELECT
  source_account,
  resource_type,
  source_resource_arn,
  max_by(verdict, opened_time) AS verdict,
  max_by(verdict_reason, opened_time) AS reason,
  max_by(recovery_point_created, opened_time) AS recovery_point_created,
  max_by(validation_id, opened_time) AS validation_id,
  max(opened_time) AS opened_time
FROM validations
WHERE source_resource_arn IS NOT NULL
GROUP BY source_account, resource_type, source_resource_arn
ORDER BY source_account, resource_type, source_resource_arn
