-- What the monitor remembers of a book, and what it has found.

-- Where in the log it is, with the command whose events came in last, and what is open of it.
CREATE TABLE places (
    is_place   boolean PRIMARY KEY CHECK (is_place),
    position   bigint  NOT NULL CHECK (position > 0),
    command_id uuid,
    category   text,
    stream_id  text,
    still_open text    NOT NULL
);

CREATE TABLE streams (
    category    text   COLLATE "C" NOT NULL,
    stream_id   text   COLLATE "C" NOT NULL,
    version     bigint NOT NULL,
    recorded_at bigint NOT NULL,
    PRIMARY KEY (category, stream_id)
);

CREATE TABLE commands (
    command_id uuid PRIMARY KEY
);

CREATE TABLE accounts (
    account_id text COLLATE "C" PRIMARY KEY,
    watched    text NOT NULL
);

-- What was placed, of those that are open.
CREATE TABLE holds (
    hold_id text COLLATE "C" PRIMARY KEY,
    placed  text
);

CREATE TABLE undone (
    entry_id text COLLATE "C" PRIMARY KEY
);

-- What is not so after the last event of a batch may be so when all events of the command are there.
CREATE TABLE violations (
    position  bigint  NOT NULL,
    invariant text    NOT NULL,
    what      text    NOT NULL,
    category  text    NOT NULL,
    stream_id text    NOT NULL,
    certain   boolean NOT NULL,
    PRIMARY KEY (position, invariant, what)
);
