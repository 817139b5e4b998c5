-- What happened to accounts: who logged in, who changed what, from where. Of the server itself under the nil id, so there is
-- no foreign key; none either, so that the table can be distributed by user.
CREATE TABLE activity (
    user_id     uuid   NOT NULL,
    kind        text   NOT NULL,
    -- Of version 7: later ones are greater, and the newest of a kind stay.
    event_id    uuid   NOT NULL,
    happened_at bigint NOT NULL,
    -- Who did it: user (doer_id), command_line, server, stranger.
    doer        text   NOT NULL,
    doer_id     uuid,
    address     text,
    client_id   text,
    agent       text,
    detail      text,
    PRIMARY KEY (user_id, kind, event_id)
);
