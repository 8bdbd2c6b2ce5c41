-- Usage by month
-- What validations used that is billed, by class or type, month by month.
SELECT
  date_trunc('month', u.dt) AS month,
  u.what,
  u.resource_type,
  v.restored_class,
  u.unit,
  count(*) AS times,
  sum(u.amount) AS amount
FROM usage u
JOIN validations v ON v.validation_id = u.validation_id
GROUP BY date_trunc('month', u.dt), u.what, u.resource_type, v.restored_class, u.unit
ORDER BY month, u.what, u.resource_type, v.restored_class
