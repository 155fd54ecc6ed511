-- The read model of a book: what balances, statements, entries, holds and the trial balance are
-- answered from. Times are microseconds since 1970-01-01 UTC.

-- One row an account, from the account's own events.
CREATE TABLE accounts (
    account_id      text    COLLATE "C" PRIMARY KEY,
    currency        text    NOT NULL,
    kind            text    NOT NULL CHECK (kind IN ('authorising', 'recording')),
    normal_side     text    NOT NULL CHECK (normal_side IN ('credit', 'debit')),
    status          text    NOT NULL CHECK (status IN ('open', 'closing', 'closed')),
    frozen          text    CHECK (frozen IN ('debits', 'credits', 'both')),
    overdraft       text    NOT NULL CHECK (overdraft IN ('none', 'limit', 'unlimited')),
    overdraft_limit numeric CHECK (overdraft_limit > 0),
    velocity        text    NOT NULL,
    metadata        text    NOT NULL,
    -- Four sums, none ever negative. Of a recording account the posted ones are in "totals".
    debits_posted   numeric NOT NULL CHECK (debits_posted >= 0),
    credits_posted  numeric NOT NULL CHECK (credits_posted >= 0),
    debits_pending  numeric NOT NULL CHECK (debits_pending >= 0),
    credits_pending numeric NOT NULL CHECK (credits_pending >= 0),
    balance         numeric NOT NULL,
    -- The account's last event that is in this row: its version and its position.
    version         bigint  NOT NULL CHECK (version > 0),
    position        bigint  NOT NULL CHECK (position > 0),
    opened_at       bigint  NOT NULL,
    updated_at      bigint  NOT NULL,
    CHECK ((overdraft = 'limit') = (overdraft_limit IS NOT NULL)),
    CHECK (balance = CASE normal_side WHEN 'credit' THEN credits_posted - debits_posted
                                      ELSE debits_posted - credits_posted END),
    -- No account goes below its limit, with all that is held to go out.
    CONSTRAINT within_limit CHECK (
        kind = 'recording' OR overdraft = 'unlimited'
        OR balance - CASE normal_side WHEN 'credit' THEN debits_pending ELSE credits_pending END
           + coalesce(overdraft_limit, 0) >= 0),
    CONSTRAINT closed_is_empty CHECK (
        status <> 'closed' OR (balance = 0 AND debits_pending = 0 AND credits_pending = 0))
);

CREATE INDEX accounts_by_metadata ON accounts USING gin ((metadata::jsonb) jsonb_path_ops);

-- One row a change of an account's metadata.
CREATE TABLE metadata_changes (
    account_id  text   COLLATE "C" NOT NULL,
    version     bigint NOT NULL,
    recorded_at bigint NOT NULL,
    actor       text   NOT NULL,
    changes     text   NOT NULL,
    PRIMARY KEY (account_id, version)
);

-- One row an entry, named by its place in the store. What the first version of the ledger recorded has
-- no id of its own.
CREATE TABLE entries (
    position          bigint PRIMARY KEY,
    entry_id          text   COLLATE "C" UNIQUE,
    recorded_at       bigint NOT NULL,
    effective_date    date   NOT NULL,
    reference         text,
    description       text,
    exchange          text,
    reverses          text,
    captures          text,
    actor             text   NOT NULL,
    correlation_id    text   NOT NULL,
    reversed_by       text,
    -- Where the store has the reversal: not known before.
    reversed_position bigint
);

-- One row a leg. Written once, with all others of its entry in the same statement.
CREATE TABLE legs (
    position       bigint   NOT NULL,
    leg            smallint NOT NULL,
    account_id     text     COLLATE "C" NOT NULL,
    side           text     NOT NULL CHECK (side IN ('credit', 'debit')),
    amount         numeric  NOT NULL CHECK (amount > 0),
    currency       text     NOT NULL,
    effective_date date     NOT NULL,
    PRIMARY KEY (position, leg)
);

CREATE INDEX legs_by_account ON legs (account_id, effective_date, position, leg);

-- What was posted to each account, by whatever entry. In stripes, so that partitions that are filled
-- side by side do not wait for each other at the accounts that all entries have a leg on.
CREATE TABLE totals (
    account_id text     COLLATE "C" NOT NULL,
    stripe     smallint NOT NULL,
    currency   text     NOT NULL,
    debits     numeric  NOT NULL CHECK (debits >= 0),
    credits    numeric  NOT NULL CHECK (credits >= 0),
    PRIMARY KEY (account_id, stripe)
);

-- One row a hold.
CREATE TABLE holds (
    hold_id     text    COLLATE "C" PRIMARY KEY,
    -- None where it was given up before it was placed.
    account_id  text    COLLATE "C",
    side        text    CHECK (side IN ('credit', 'debit')),
    amount      numeric CHECK (amount > 0),
    currency    text,
    placed_at   bigint,
    expires_at  bigint,
    reference   text,
    state       text    NOT NULL
                CHECK (state IN ('open', 'captured', 'released', 'expired', 'ruled_out')),
    captured    numeric CHECK (captured > 0 AND captured <= amount),
    entry_id    text,
    resolved_at bigint,
    version     bigint  NOT NULL,
    CHECK ((state = 'open') = (resolved_at IS NULL)),
    CHECK ((state = 'captured') = (captured IS NOT NULL)),
    CHECK ((state = 'ruled_out') = (account_id IS NULL))
);

CREATE INDEX holds_by_account ON holds (account_id, hold_id);

-- Whatever the program that fills the model believes: the legs of an entry add up to nothing in each
-- currency, or the batch is not written.
CREATE FUNCTION check_legs_balance() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    wrong record;
BEGIN
    SELECT position, currency INTO wrong
    FROM added
    GROUP BY position, currency
    HAVING sum(CASE side WHEN 'debit' THEN amount ELSE -amount END) <> 0
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'the legs of the entry at position % do not add up to zero in %',
            wrong.position, wrong.currency USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END;
$$;

CREATE TRIGGER legs_balance AFTER INSERT ON legs
    REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION check_legs_balance();

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a leg is never changed' USING ERRCODE = 'restrict_violation';
END;
$$;

CREATE TRIGGER legs_stay BEFORE UPDATE ON legs
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
