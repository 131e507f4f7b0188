-- Roles for an index in PostgreSQL: who may do what, and no more. Run it as a superuser, or as a role that may make roles
-- and schemas, in the database of the index: once before the index is made, and once after, when it takes from writers
-- the right to change generations.
--
--   psql -d search -v schema=handbook -f roles.sql
--
-- It makes three roles that cannot log in; grant them to those that can:
--
--   GRANT handbook_reader TO web;      -- query, similar, explain, status, verify, serve without writing
--   GRANT handbook_writer TO indexer;  -- index, rm, watch, serve with writing
--   GRANT handbook_owner TO admin;     -- make the index, reindex, adapt, rollback, prune, repair, copy
--
-- Whoever makes the index does so as the owner, so that what is made later is the owner's, too:
--
--   PGOPTIONS='-c role=handbook_owner' docsim index ~/handbook --index 'postgresql://admin@host/search?schema=handbook'
\set ON_ERROR_STOP on
\set owner :schema '_owner'
\set writer :schema '_writer'
\set reader :schema '_reader'

CREATE EXTENSION IF NOT EXISTS vector;
SELECT format('CREATE ROLE %I NOLOGIN', name) FROM unnest(ARRAY[:'owner', :'writer', :'reader']) AS name
WHERE NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = name) \gexec
CREATE SCHEMA IF NOT EXISTS :"schema" AUTHORIZATION :"owner";
GRANT USAGE ON SCHEMA :"schema" TO :"writer", :"reader";
GRANT SELECT ON ALL TABLES IN SCHEMA :"schema" TO :"reader";
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA :"schema" TO :"writer";
ALTER DEFAULT PRIVILEGES FOR ROLE :"owner" IN SCHEMA :"schema" GRANT SELECT ON TABLES TO :"reader";
ALTER DEFAULT PRIVILEGES FOR ROLE :"owner" IN SCHEMA :"schema"
    GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO :"writer";
SELECT format('REVOKE INSERT, UPDATE, DELETE ON %I.%I FROM %I', :'schema', name, :'writer')
FROM unnest(ARRAY['generations', 'mappings', 'verdicts']) AS name
WHERE to_regclass(format('%I.%I', :'schema', name)) IS NOT NULL \gexec
