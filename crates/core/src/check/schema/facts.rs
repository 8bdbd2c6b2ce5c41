//! The statements that ask each engine for the facts of its schema, one line a row.
//!
//! What belongs to the engine, to RDS (roles that begin with `rds`) or to an extension is none of the database's own.

use super::super::Engine;

/// The statements of an engine.
pub(super) fn statements(engine: Engine) -> &'static [&'static str] {
    match engine {
        Engine::Postgres => &POSTGRES,
        Engine::MySql => &MYSQL,
    }
}

/// PostgreSQL's manual, "System Catalogs". Objects of extensions are left out by their dependency on one (`pg_depend`).
static POSTGRES: [&str; 11] = [
    // Tables, views and sequences, and what row-level security they have.
    "select case c.relkind when 'v' then 'view ' when 'm' then 'materialized view ' when 'S' then 'sequence ' \
       when 'f' then 'foreign table ' else 'table ' end || n.nspname || '.' || c.relname \
     from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace \
     where c.relkind in ('r', 'p', 'v', 'm', 'S', 'f') and n.nspname not like 'pg\\_%' and n.nspname <> 'information_schema' \
       and not exists (select 1 from pg_catalog.pg_depend d where d.classid = 'pg_catalog.pg_class'::regclass \
         and d.objid = c.oid and d.deptype = 'e')",
    "select 'row security ' || n.nspname || '.' || c.relname || case when c.relforcerowsecurity then ' forced' else ' enabled' end \
     from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace \
     where c.relrowsecurity and n.nspname not like 'pg\\_%' and n.nspname <> 'information_schema'",
    "select 'column ' || n.nspname || '.' || c.relname || '.' || a.attname || ' ' || \
       pg_catalog.format_type(a.atttypid, a.atttypmod) || case when a.attnotnull then ' not null' else '' end || \
       case when a.attcollation <> 0 and a.attcollation <> t.typcollation then ' collate ' || co.collname else '' end || \
       coalesce(' default ' || pg_catalog.pg_get_expr(ad.adbin, ad.adrelid), '') \
     from pg_catalog.pg_attribute a join pg_catalog.pg_class c on c.oid = a.attrelid \
       join pg_catalog.pg_namespace n on n.oid = c.relnamespace join pg_catalog.pg_type t on t.oid = a.atttypid \
       left join pg_catalog.pg_collation co on co.oid = a.attcollation \
       left join pg_catalog.pg_attrdef ad on ad.adrelid = c.oid and ad.adnum = a.attnum \
     where c.relkind in ('r', 'p', 'v', 'm', 'f') and a.attnum > 0 and not a.attisdropped \
       and n.nspname not like 'pg\\_%' and n.nspname <> 'information_schema' \
       and not exists (select 1 from pg_catalog.pg_depend d where d.classid = 'pg_catalog.pg_class'::regclass \
         and d.objid = c.oid and d.deptype = 'e')",
    "select 'index ' || n.nspname || '.' || c.relname || '.' || x.relname || \
       case when i.indisvalid then ' valid ' else ' invalid ' end || pg_catalog.pg_get_indexdef(i.indexrelid) \
     from pg_catalog.pg_index i join pg_catalog.pg_class c on c.oid = i.indrelid \
       join pg_catalog.pg_class x on x.oid = i.indexrelid join pg_catalog.pg_namespace n on n.oid = c.relnamespace \
     where n.nspname not like 'pg\\_%' and n.nspname <> 'information_schema'",
    "select 'constraint ' || n.nspname || '.' || c.relname || '.' || o.conname || ' ' || pg_catalog.pg_get_constraintdef(o.oid) \
     from pg_catalog.pg_constraint o join pg_catalog.pg_class c on c.oid = o.conrelid \
       join pg_catalog.pg_namespace n on n.oid = c.relnamespace \
     where n.nspname not like 'pg\\_%' and n.nspname <> 'information_schema'",
    "select 'extension ' || extname || ' ' || extversion from pg_catalog.pg_extension",
    "select 'policy ' || schemaname || '.' || tablename || '.' || policyname || ' ' || lower(permissive) || ' for ' || lower(cmd) || \
       ' to ' || pg_catalog.array_to_string(roles, ', ') || coalesce(' using ' || qual, '') || \
       coalesce(' with check ' || with_check, '') \
     from pg_catalog.pg_policies",
    // What PUBLIC may is a grant to role 0. Without a list of grants only the owner may anything.
    "select 'grant ' || n.nspname || '.' || c.relname || ' to ' || coalesce(r.rolname, 'PUBLIC') || ' ' || g.privilege_type || \
       case when g.is_grantable then ' with grant option' else '' end \
     from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace \
       cross join lateral pg_catalog.aclexplode(c.relacl) g left join pg_catalog.pg_roles r on r.oid = g.grantee \
     where n.nspname not like 'pg\\_%' and n.nspname <> 'information_schema' and g.grantee <> c.relowner \
       and not exists (select 1 from pg_catalog.pg_depend d where d.classid = 'pg_catalog.pg_class'::regclass \
         and d.objid = c.oid and d.deptype = 'e') \
     union all \
     select 'grant schema ' || n.nspname || ' to ' || coalesce(r.rolname, 'PUBLIC') || ' ' || g.privilege_type || \
       case when g.is_grantable then ' with grant option' else '' end \
     from pg_catalog.pg_namespace n cross join lateral pg_catalog.aclexplode(n.nspacl) g \
       left join pg_catalog.pg_roles r on r.oid = g.grantee \
     where n.nspname not like 'pg\\_%' and n.nspname <> 'information_schema' and g.grantee <> n.nspowner",
    "select 'role ' || rolname || case when rolcanlogin then ' login' else '' end || \
       case when rolsuper then ' superuser' else '' end || case when rolbypassrls then ' bypassrls' else '' end || \
       case when rolcreaterole then ' createrole' else '' end || case when rolcreatedb then ' createdb' else '' end \
     from pg_catalog.pg_roles where rolname not like 'pg\\_%' and rolname not like 'rds%' \
     union all \
     select 'member ' || m.rolname || ' of ' || r.rolname from pg_catalog.pg_auth_members a \
       join pg_catalog.pg_roles m on m.oid = a.member join pg_catalog.pg_roles r on r.oid = a.roleid \
     where m.rolname not like 'pg\\_%' and m.rolname not like 'rds%'",
    "select 'trigger ' || n.nspname || '.' || c.relname || '.' || t.tgname || \
       case t.tgenabled when 'D' then ' disabled ' else ' enabled ' end || pg_catalog.pg_get_triggerdef(t.oid) \
     from pg_catalog.pg_trigger t join pg_catalog.pg_class c on c.oid = t.tgrelid \
       join pg_catalog.pg_namespace n on n.oid = c.relnamespace where not t.tgisinternal \
     union all \
     select 'function ' || n.nspname || '.' || p.proname || '(' || pg_catalog.pg_get_function_identity_arguments(p.oid) || ') ' || \
       pg_catalog.md5(p.prosrc) \
     from pg_catalog.pg_proc p join pg_catalog.pg_namespace n on n.oid = p.pronamespace \
     where n.nspname not like 'pg\\_%' and n.nspname <> 'information_schema' \
       and not exists (select 1 from pg_catalog.pg_depend d where d.classid = 'pg_catalog.pg_proc'::regclass \
         and d.objid = p.oid and d.deptype = 'e')",
    "select 'database encoding ' || pg_catalog.pg_encoding_to_char(encoding) || ' collation ' || datcollate || ' ctype ' || datctype \
     from pg_catalog.pg_database where datname = pg_catalog.current_database()",
];

/// MySQL's manual, "INFORMATION_SCHEMA Tables"; MariaDB has the same. Only the database that is connected to, whose name is in no
/// fact.
static MYSQL: [&str; 8] = [
    "select concat(case table_type when 'VIEW' then 'view ' else 'table ' end, table_name, \
       coalesce(concat(' ', lower(engine)), ''), coalesce(concat(' collate ', table_collation), '')) \
     from information_schema.tables where table_schema = database()",
    "select concat('column ', table_name, '.', column_name, ' ', column_type, \
       case is_nullable when 'NO' then ' not null' else '' end, coalesce(concat(' collate ', collation_name), ''), \
       coalesce(concat(' default ', column_default), ''), case extra when '' then '' else concat(' ', lower(extra)) end) \
     from information_schema.columns where table_schema = database()",
    "select concat('index ', table_name, '.', index_name, ' valid ', \
       case non_unique when 0 then 'unique ' else '' end, lower(index_type), ' ', seq_in_index, ' ', \
       coalesce(column_name, 'expression')) \
     from information_schema.statistics where table_schema = database()",
    "select concat('constraint ', table_name, '.', constraint_name, ' ', lower(constraint_type)) \
     from information_schema.table_constraints where table_schema = database() \
     union all \
     select concat('reference ', table_name, '.', column_name, ' to ', referenced_table_name, '.', referenced_column_name, \
       case referenced_table_schema when table_schema then '' else concat(' of ', referenced_table_schema) end) \
     from information_schema.key_column_usage where table_schema = database() and referenced_table_name is not null",
    "select concat('trigger ', event_object_table, '.', trigger_name, ' ', lower(action_timing), ' ', \
       lower(event_manipulation), ' ', md5(action_statement)) \
     from information_schema.triggers where event_object_schema = database()",
    // Without the right to see it a routine has no definition.
    "select concat(lower(routine_type), ' ', routine_name, coalesce(concat(' ', md5(routine_definition)), '')) \
     from information_schema.routines where routine_schema = database()",
    "select concat('grant ', table_name, ' to ', grantee, ' ', privilege_type, \
       case is_grantable when 'YES' then ' with grant option' else '' end) \
     from information_schema.table_privileges where table_schema = database() \
     union all \
     select concat('grant database to ', grantee, ' ', privilege_type, \
       case is_grantable when 'YES' then ' with grant option' else '' end) \
     from information_schema.schema_privileges where table_schema = database()",
    "select concat('database encoding ', default_character_set_name, ' collation ', default_collation_name) \
     from information_schema.schemata where schema_name = database()",
];
