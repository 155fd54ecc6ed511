-- The transfers that have not ended, with the moment from which each is to be looked at. One that is being
-- driven has its moment put off by each event.
CREATE TABLE open_transfers (
    transfer_id text   COLLATE "C" PRIMARY KEY,
    due_at      bigint NOT NULL
);

CREATE INDEX open_transfers_by_due ON open_transfers (due_at);
