
SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;

CREATE SCHEMA balances_1;

ALTER SCHEMA balances_1 OWNER TO folio_first_version_models_owner;

CREATE SCHEMA projections;

ALTER SCHEMA projections OWNER TO folio_first_version_models_owner;

SET default_tablespace = '';

SET default_table_access_method = heap;

CREATE TABLE balances_1.accounts (
    account_id text NOT NULL COLLATE pg_catalog."C",
    currency text NOT NULL,
    status text NOT NULL,
    overdraft text NOT NULL,
    overdraft_limit numeric,
    credits_posted numeric NOT NULL,
    debits_posted numeric NOT NULL,
    balance numeric GENERATED ALWAYS AS ((credits_posted - debits_posted)) STORED,
    version bigint NOT NULL,
    "position" bigint NOT NULL,
    opened_at bigint NOT NULL,
    updated_at bigint NOT NULL,
    CONSTRAINT accounts_check CHECK (((overdraft = 'limit'::text) = (overdraft_limit IS NOT NULL))),
    CONSTRAINT accounts_credits_posted_check CHECK ((credits_posted >= (0)::numeric)),
    CONSTRAINT accounts_debits_posted_check CHECK ((debits_posted >= (0)::numeric)),
    CONSTRAINT accounts_overdraft_check CHECK ((overdraft = ANY (ARRAY['none'::text, 'limit'::text, 'unlimited'::text]))),
    CONSTRAINT accounts_overdraft_limit_check CHECK ((overdraft_limit > (0)::numeric)),
    CONSTRAINT accounts_position_check CHECK (("position" > 0)),
    CONSTRAINT accounts_status_check CHECK ((status = ANY (ARRAY['open'::text, 'closed'::text]))),
    CONSTRAINT accounts_version_check CHECK ((version > 0))
);

ALTER TABLE balances_1.accounts OWNER TO folio_first_version_models_owner;

CREATE TABLE balances_1.statement_lines (
    account_id text NOT NULL COLLATE pg_catalog."C",
    version bigint NOT NULL,
    "position" bigint NOT NULL,
    recorded_at bigint NOT NULL,
    effective_date date,
    side text NOT NULL,
    amount numeric NOT NULL,
    balance numeric NOT NULL,
    contra text NOT NULL,
    reference text,
    description text,
    CONSTRAINT statement_lines_amount_check CHECK ((amount > (0)::numeric)),
    CONSTRAINT statement_lines_side_check CHECK ((side = ANY (ARRAY['credit'::text, 'debit'::text])))
);

ALTER TABLE balances_1.statement_lines OWNER TO folio_first_version_models_owner;

CREATE TABLE projections.builds (
    projection text NOT NULL COLLATE pg_catalog."C",
    build integer NOT NULL,
    revision integer NOT NULL,
    state text NOT NULL,
    partitions smallint NOT NULL,
    events_per_second integer,
    effects_done bigint[] DEFAULT '{}'::bigint[] NOT NULL,
    paused_by text,
    pause_reason text,
    paused_at timestamp with time zone,
    resumed bigint DEFAULT 0 NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    live_since timestamp with time zone,
    CONSTRAINT builds_build_check CHECK ((build > 0)),
    CONSTRAINT builds_check CHECK (((paused_by IS NULL) = (paused_at IS NULL))),
    CONSTRAINT builds_check1 CHECK (((paused_by IS NULL) = (pause_reason IS NULL))),
    CONSTRAINT builds_events_per_second_check CHECK ((events_per_second > 0)),
    CONSTRAINT builds_partitions_check CHECK ((partitions > 0)),
    CONSTRAINT builds_pause_reason_check CHECK ((pause_reason <> ''::text)),
    CONSTRAINT builds_revision_check CHECK ((revision > 0)),
    CONSTRAINT builds_state_check CHECK ((state = ANY (ARRAY['building'::text, 'live'::text, 'kept'::text])))
);

ALTER TABLE projections.builds OWNER TO folio_first_version_models_owner;

CREATE TABLE projections.checkpoints (
    projection text NOT NULL COLLATE pg_catalog."C",
    build integer NOT NULL,
    store_id uuid,
    "position" bigint NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    event_hash bytea,
    partition smallint NOT NULL,
    epoch bigint DEFAULT 0 NOT NULL,
    owner text,
    held_until timestamp with time zone DEFAULT '-infinity'::timestamp with time zone NOT NULL,
    CONSTRAINT checkpoints_check CHECK ((("position" = 0) OR ((store_id IS NOT NULL) AND (event_hash IS NOT NULL)))),
    CONSTRAINT checkpoints_event_hash_check CHECK ((length(event_hash) = 32)),
    CONSTRAINT checkpoints_partition_check CHECK ((partition >= 0)),
    CONSTRAINT checkpoints_position_check CHECK (("position" >= 0)),
    CONSTRAINT checkpoints_version_check CHECK ((build > 0))
)
WITH (fillfactor='50');

ALTER TABLE projections.checkpoints OWNER TO folio_first_version_models_owner;

CREATE TABLE projections.dead_letters (
    projection text NOT NULL COLLATE pg_catalog."C",
    build integer NOT NULL,
    "position" bigint NOT NULL,
    category text NOT NULL COLLATE pg_catalog."C",
    stream_id text NOT NULL COLLATE pg_catalog."C",
    error text,
    attempts integer NOT NULL,
    parked_at timestamp with time zone DEFAULT now() NOT NULL,
    resolution text,
    resolved_by text,
    reason text,
    resolved_at timestamp with time zone,
    CONSTRAINT dead_letters_attempts_check CHECK ((attempts >= 0)),
    CONSTRAINT dead_letters_check CHECK (((resolution IS NULL) = (resolved_at IS NULL))),
    CONSTRAINT dead_letters_check1 CHECK (((resolution <> 'skipped'::text) OR (reason <> ''::text))),
    CONSTRAINT dead_letters_position_check CHECK (("position" > 0)),
    CONSTRAINT dead_letters_resolution_check CHECK ((resolution = ANY (ARRAY['projected'::text, 'skipped'::text]))),
    CONSTRAINT dead_letters_version_check CHECK ((build > 0))
);

ALTER TABLE projections.dead_letters OWNER TO folio_first_version_models_owner;

CREATE TABLE projections.operations (
    id bigint NOT NULL,
    at timestamp with time zone DEFAULT now() NOT NULL,
    projection text NOT NULL COLLATE pg_catalog."C",
    build integer NOT NULL,
    operation text NOT NULL,
    actor text NOT NULL,
    detail text NOT NULL
);

ALTER TABLE projections.operations OWNER TO folio_first_version_models_owner;

ALTER TABLE projections.operations ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME projections.operations_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.migrations_ledger_balances (
    version integer NOT NULL,
    name character varying(255),
    applied_on character varying(255),
    checksum character varying(255)
);

ALTER TABLE public.migrations_ledger_balances OWNER TO folio_first_version_models_owner;

CREATE TABLE public.migrations_projections (
    version integer NOT NULL,
    name character varying(255),
    applied_on character varying(255),
    checksum character varying(255)
);

ALTER TABLE public.migrations_projections OWNER TO folio_first_version_models_owner;

INSERT INTO balances_1.accounts VALUES
	('1', 'EUR', 'open', 'limit', 20.00, 50.00, 62.50, DEFAULT, 4, 6, 1795770395527124, 1795770395593183),
	('2', 'EUR', 'closed', 'none', NULL, 11.50, 11.50, DEFAULT, 4, 9, 1795770395542406, 1795770395649784),
	('3', 'EUR', 'open', 'none', NULL, 1.00, 0, DEFAULT, 2, 10, 1795770395555791, 1795770395661663);

INSERT INTO balances_1.statement_lines VALUES
	('1', 2, 4, 1795770395569699, '1993-01-05', 'credit', 40.00, 40.00, 'bank:AB', 'ref-1', 'salary'),
	('1', 3, 5, 1795770395581789, NULL, 'credit', 10.00, 50.00, 'cash', NULL, NULL),
	('1', 4, 6, 1795770395593183, NULL, 'debit', 62.50, -12.50, 'cards', NULL, NULL),
	('2', 2, 7, 1795770395623900, NULL, 'credit', 11.50, 11.50, 'interest', NULL, NULL),
	('2', 3, 8, 1795770395638997, NULL, 'debit', 11.50, 0, 'fees', NULL, NULL),
	('3', 2, 10, 1795770395661663, NULL, 'credit', 1.00, 1.00, 'interest', NULL, NULL);

INSERT INTO projections.builds VALUES
	('balances', 1, 1, 'live', 1, NULL, '{}', NULL, NULL, NULL, 0, '2026-11-27 09:06:35.196956+00', '2026-11-27 09:06:35.196956+00');

INSERT INTO projections.checkpoints VALUES
	('balances', 1, 'cb504434-8bed-4076-9ddf-02f748c338f3', 10, '2026-11-27 09:06:35.66568+00', '\xff45798fb38ce9c0eeed303813cba9c4d15d0cd32d0e81c0fd0686d757e48456', 0, 2, 'process 17212', '2026-11-27 09:11:39.877282+00');

INSERT INTO projections.operations OVERRIDING SYSTEM VALUE VALUES
	(1, '2026-11-27 09:06:35.196956+00', 'balances', 1, 'create', 'program', 'at the start of a program');

INSERT INTO public.migrations_ledger_balances VALUES
	(1, 'balances', '2026-11-27T09:06:35.141774422Z', '2755927694255802866'),
	(2, 'builds_have_their_own', '2026-11-27T09:06:35.153049809Z', '3581280485125995027');

INSERT INTO public.migrations_projections VALUES
	(1, 'checkpoints', '2026-11-27T09:06:35.098113089Z', '8004942113599346496'),
	(2, 'event_hash', '2026-11-27T09:06:35.104665153Z', '17916682067652943152'),
	(3, 'leases', '2026-11-27T09:06:35.105810332Z', '295910380277707675'),
	(4, 'dead_letters', '2026-11-27T09:06:35.109042741Z', '8248043216143344982'),
	(5, 'builds', '2026-11-27T09:06:35.114406335Z', '165408229323213265');

SELECT pg_catalog.setval('projections.operations_id_seq', 1, true);

ALTER TABLE ONLY balances_1.accounts
    ADD CONSTRAINT accounts_pkey PRIMARY KEY (account_id);

ALTER TABLE ONLY balances_1.statement_lines
    ADD CONSTRAINT statement_lines_pkey PRIMARY KEY (account_id, version);

ALTER TABLE ONLY projections.builds
    ADD CONSTRAINT builds_pkey PRIMARY KEY (projection, build);

ALTER TABLE ONLY projections.checkpoints
    ADD CONSTRAINT checkpoints_pkey PRIMARY KEY (projection, build, partition);

ALTER TABLE ONLY projections.dead_letters
    ADD CONSTRAINT dead_letters_pkey PRIMARY KEY (projection, build, "position");

ALTER TABLE ONLY projections.operations
    ADD CONSTRAINT operations_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.migrations_ledger_balances
    ADD CONSTRAINT migrations_ledger_balances_pkey PRIMARY KEY (version);

ALTER TABLE ONLY public.migrations_projections
    ADD CONSTRAINT migrations_projections_pkey PRIMARY KEY (version);

CREATE UNIQUE INDEX builds_live ON projections.builds USING btree (projection) WHERE (state = 'live'::text);

CREATE INDEX dead_letters_open ON projections.dead_letters USING btree (projection, build, category, stream_id, "position") WHERE (resolution IS NULL);

ALTER TABLE ONLY projections.checkpoints
    ADD CONSTRAINT checkpoints_projection_build_fkey FOREIGN KEY (projection, build) REFERENCES projections.builds(projection, build) ON DELETE CASCADE;

ALTER TABLE ONLY projections.dead_letters
    ADD CONSTRAINT dead_letters_projection_build_fkey FOREIGN KEY (projection, build) REFERENCES projections.builds(projection, build) ON DELETE CASCADE;

GRANT USAGE ON SCHEMA balances_1 TO folio_first_version_models_projector;
GRANT USAGE ON SCHEMA balances_1 TO folio_first_version_models_reader;

GRANT USAGE ON SCHEMA projections TO folio_first_version_models_projector;
GRANT USAGE ON SCHEMA projections TO folio_first_version_models_reader;

GRANT SELECT ON TABLE balances_1.accounts TO folio_first_version_models_reader;
GRANT ALL ON TABLE balances_1.accounts TO folio_first_version_models_projector;

GRANT SELECT ON TABLE balances_1.statement_lines TO folio_first_version_models_reader;
GRANT ALL ON TABLE balances_1.statement_lines TO folio_first_version_models_projector;

GRANT SELECT,UPDATE ON TABLE projections.builds TO folio_first_version_models_projector;
GRANT SELECT ON TABLE projections.builds TO folio_first_version_models_reader;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE projections.checkpoints TO folio_first_version_models_projector;
GRANT SELECT ON TABLE projections.checkpoints TO folio_first_version_models_reader;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE projections.dead_letters TO folio_first_version_models_projector;
GRANT SELECT ON TABLE projections.dead_letters TO folio_first_version_models_reader;

GRANT SELECT,INSERT ON TABLE projections.operations TO folio_first_version_models_projector;
GRANT SELECT ON TABLE projections.operations TO folio_first_version_models_reader;

