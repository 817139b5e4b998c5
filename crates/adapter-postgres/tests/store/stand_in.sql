-- What of Citus the store asks for, on a PostgreSQL that has none: a table is spread by cutting it into two partitions,
-- `NAME_shard_0` and `NAME_shard_1`.
CREATE FUNCTION citus_version() RETURNS text LANGUAGE sql AS $$ SELECT 'Citus 12.1.0, a stand-in' $$;

CREATE TABLE pg_dist_node (
    nodeid           integer GENERATED ALWAYS AS IDENTITY,
    groupid          integer NOT NULL DEFAULT 1,
    nodename         text    NOT NULL,
    nodeport         integer NOT NULL DEFAULT 5432,
    noderole         text    NOT NULL DEFAULT 'primary',
    isactive         boolean NOT NULL DEFAULT true,
    shouldhaveshards boolean NOT NULL DEFAULT true
);
INSERT INTO pg_dist_node (nodename, groupid, shouldhaveshards)
VALUES ('coordinator', 0, false), ('one', 1, true), ('two', 2, true);

CREATE TABLE pg_dist_local_group (groupid integer NOT NULL);
INSERT INTO pg_dist_local_group VALUES (0);

CREATE TABLE pg_dist_partition (
    logicalrelid regclass NOT NULL,
    partmethod   "char"   NOT NULL,
    partkey      text,
    colocationid integer  NOT NULL,
    repmodel     "char"   NOT NULL
);

CREATE FUNCTION column_to_column_name(of regclass, partkey text) RETURNS text LANGUAGE sql STRICT AS $$ SELECT partkey $$;

CREATE FUNCTION create_reference_table(of regclass) RETURNS void LANGUAGE sql
AS $$ INSERT INTO pg_dist_partition VALUES (of, 'n', NULL, 1, 't') $$;

CREATE FUNCTION create_distributed_table(of regclass, by text, colocate_with text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    name text := of::text;
    definitions text[];
    definition text;
BEGIN
    SELECT array_agg(format('ALTER TABLE %I ADD CONSTRAINT %I %s', name, conname, pg_get_constraintdef(oid)))
        INTO definitions FROM pg_constraint WHERE conrelid = of AND contype IN ('p', 'u');
    SELECT definitions || coalesce(array_agg(pg_get_indexdef(indexrelid)), '{}') INTO definitions
        FROM pg_index WHERE indrelid = of
        AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid);
    EXECUTE format('CREATE TABLE cut (LIKE %I INCLUDING ALL EXCLUDING INDEXES) PARTITION BY HASH (%I)', name, by);
    FOR n IN 0..1 LOOP
        EXECUTE format('CREATE TABLE %I PARTITION OF cut FOR VALUES WITH (MODULUS 2, REMAINDER %s)',
                       name || '_shard_' || n, n);
    END LOOP;
    -- Not what is generated.
    EXECUTE format('INSERT INTO cut (%s) SELECT %1$s FROM %I', (
        SELECT string_agg(quote_ident(attname), ', ') FROM pg_attribute
        WHERE attrelid = of AND attnum > 0 AND NOT attisdropped AND attgenerated = ''
    ), name);
    EXECUTE format('DROP TABLE %I', name);
    EXECUTE format('ALTER TABLE cut RENAME TO %I', name);
    FOREACH definition IN ARRAY definitions LOOP
        EXECUTE definition;
    END LOOP;
    INSERT INTO pg_dist_partition VALUES (name::regclass, 'h', by, CASE colocate_with WHEN 'none' THEN 7 ELSE (
        SELECT colocationid FROM pg_dist_partition WHERE logicalrelid = colocate_with::regclass) END, 's');
END $$;

CREATE FUNCTION truncate_local_data_after_distributing_table(of regclass) RETURNS void LANGUAGE sql AS $$ $$;

CREATE FUNCTION citus_check_cluster_node_health(
    OUT from_nodename text, OUT from_nodeport integer, OUT to_nodename text, OUT to_nodeport integer, OUT result boolean
) RETURNS SETOF record LANGUAGE sql
AS $$ SELECT a.nodename, a.nodeport, b.nodename, b.nodeport, b.isactive FROM pg_dist_node AS a, pg_dist_node AS b $$;

CREATE FUNCTION run_command_on_workers(command text, OUT nodename text, OUT nodeport integer, OUT success boolean, OUT result text)
RETURNS SETOF record LANGUAGE plpgsql AS $$
BEGIN
    FOR nodename, nodeport, success IN SELECT n.nodename, n.nodeport, n.isactive FROM pg_dist_node AS n WHERE shouldhaveshards LOOP
        EXECUTE command INTO result;
        RETURN NEXT;
    END LOOP;
END $$;

CREATE VIEW pg_dist_shard_placement AS SELECT 100 + nodeid AS shardid, nodename, nodeport FROM pg_dist_node WHERE shouldhaveshards;

CREATE FUNCTION run_command_on_shards(of regclass, command text, OUT shardid integer, OUT success boolean, OUT result text)
RETURNS SETOF record LANGUAGE plpgsql AS $$
BEGIN
    FOR n IN 0..1 LOOP
        shardid := 102 + n;
        success := true;
        EXECUTE format(command, of::text || '_shard_' || n) INTO result;
        RETURN NEXT;
    END LOOP;
END $$;
