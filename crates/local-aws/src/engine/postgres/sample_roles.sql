-- The roles a shop's instance would have on Amazon RDS: a master user that is no superuser, an
-- application's user, and one that may only read, for checks of restored copies.
CREATE ROLE shop_admin LOGIN CREATEDB CREATEROLE PASSWORD :'password';
CREATE ROLE shop_app LOGIN PASSWORD :'password';
CREATE ROLE restore_check LOGIN PASSWORD :'password';
-- As on RDS: who is a member of it logs in by a token of IAM.
CREATE ROLE rds_iam;
CREATE ROLE iam_check LOGIN IN ROLE rds_iam;
GRANT pg_write_all_data TO shop_app;
GRANT pg_read_all_data TO shop_app, restore_check, iam_check;
