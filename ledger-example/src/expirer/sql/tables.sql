-- The holds that are open, with the moment from which each is to be ended.
CREATE TABLE open_holds (
    hold_id    text   COLLATE "C" PRIMARY KEY,
    account_id text   COLLATE "C" NOT NULL,
    expires_at bigint NOT NULL
);

CREATE INDEX open_holds_by_expiry ON open_holds (expires_at);
