-- The roles a shop's instance would have on Amazon RDS: a master user that is no superuser, an
-- application's user, and one for reports.
CREATE ROLE shop_admin LOGIN CREATEDB CREATEROLE PASSWORD :'password';
CREATE ROLE shop_app LOGIN PASSWORD :'password';
CREATE ROLE shop_reports NOLOGIN;
GRANT pg_read_all_data TO shop_reports;
GRANT shop_reports TO shop_app;
