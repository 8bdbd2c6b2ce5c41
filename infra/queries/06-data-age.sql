-- Data age
-- How old the newest data was when the backup was made, in minutes, for each resource in the last 30 days: what a recovery would lose.
SELECT
  source_account,
  resource_type,
  source_resource_arn,
  count(data_age) AS measured,
  avg(data_age) AS average,
  max(data_age) AS oldest,
  max(data_age_target) AS target,
  count_if(data_age_objective = 'missed') AS missed,
  max_by(data_age, opened_time) AS latest
FROM validations
WHERE data_age IS NOT NULL AND dt > current_date - INTERVAL '30' DAY
GROUP BY source_account, resource_type, source_resource_arn
ORDER BY missed DESC, source_account, resource_type, source_resource_arn
