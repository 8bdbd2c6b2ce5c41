-- What do I restore from?
-- For each resource the newest recovery point that was restored and whose checks all passed. What was only read is not counted.
SELECT
  source_account,
  resource_type,
  source_resource_arn,
  max_by(recovery_point_arn, recovery_point_created) AS recovery_point_arn,
  max_by(backup_vault_name, recovery_point_created) AS backup_vault_name,
  max(recovery_point_created) AS recovery_point_created,
  max_by(recovery_time, recovery_point_created) AS recovery_time,
  max_by(restored_class, recovery_point_created) AS restored_class,
  max_by(validation_id, recovery_point_created) AS validation_id
FROM validations
WHERE verdict = 'passed' AND proof = 'restored'
GROUP BY source_account, resource_type, source_resource_arn
ORDER BY source_account, resource_type, source_resource_arn
