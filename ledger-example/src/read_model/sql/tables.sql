-- The read model of accounts: what a balance and a statement are answered from.

CREATE TABLE accounts (
    account_id      text    COLLATE "C" PRIMARY KEY,
    currency        text    NOT NULL,
    status          text    NOT NULL CHECK (status IN ('open', 'closed')),
    overdraft       text    NOT NULL CHECK (overdraft IN ('none', 'limit', 'unlimited')),
    overdraft_limit numeric CHECK (overdraft_limit > 0),
    -- Two sums that never fall; the balance is derived from them.
    credits_posted  numeric NOT NULL CHECK (credits_posted >= 0),
    debits_posted   numeric NOT NULL CHECK (debits_posted >= 0),
    balance         numeric GENERATED ALWAYS AS (credits_posted - debits_posted) STORED,
    -- The account's last event that is in this row: its version and its position.
    version         bigint  NOT NULL CHECK (version > 0),
    position        bigint  NOT NULL CHECK (position > 0),
    -- Microseconds since 1970-01-01 UTC.
    opened_at       bigint  NOT NULL,
    updated_at      bigint  NOT NULL,
    CHECK ((overdraft = 'limit') = (overdraft_limit IS NOT NULL))
);

-- One row a posting, with the balance after it. Written once, never changed.
CREATE TABLE statement_lines (
    account_id     text    COLLATE "C" NOT NULL,
    version        bigint  NOT NULL,
    position       bigint  NOT NULL,
    recorded_at    bigint  NOT NULL,
    effective_date date,
    side           text    NOT NULL CHECK (side IN ('credit', 'debit')),
    amount         numeric NOT NULL CHECK (amount > 0),
    balance        numeric NOT NULL,
    contra         text    NOT NULL,
    reference      text,
    description    text,
    PRIMARY KEY (account_id, version)
);
