-- How far each saga is. One that has not ended has a moment from which it is to be looked at; while it is driven,
-- each event puts that moment off.
CREATE TABLE sagas (
    kind        text   COLLATE "C" NOT NULL,
    saga_id     text   COLLATE "C" NOT NULL,
    state       text   NOT NULL,
    due_at      bigint,
    stuck_since bigint,
    progress    text   NOT NULL,
    PRIMARY KEY (kind, saga_id)
);

CREATE INDEX sagas_by_due ON sagas (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX sagas_open ON sagas (kind, saga_id) WHERE due_at IS NOT NULL;
CREATE INDEX sagas_stuck ON sagas (kind, saga_id) WHERE stuck_since IS NOT NULL;
