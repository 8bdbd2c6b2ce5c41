-- What could not be told, by kind of fault
-- Validations of the last 30 days that say nothing of the backup, by verdict, kind of fault and type, with the newest reason.
SELECT
  verdict,
  fault_class,
  resource_type,
  count(*) AS validations,
  count(DISTINCT source_resource_arn) AS resources,
  max_by(verdict_reason, opened_time) AS newest_reason,
  max(opened_time) AS newest
FROM validations
WHERE verdict IN ('inconclusive', 'not_tested', 'unchecked')
  AND dt > current_date - INTERVAL '30' DAY
GROUP BY verdict, fault_class, resource_type
ORDER BY validations DESC, verdict, fault_class, resource_type
