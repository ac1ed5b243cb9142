-- Shoppers, the tokens they come in with, and what they were shown before they placed. Only adds.

CREATE TABLE users (
    id VARCHAR NOT NULL,
    email VARCHAR NOT NULL,
    name VARCHAR NOT NULL,
    password_hash VARCHAR NOT NULL,
    status VARCHAR DEFAULT 'active' NOT NULL,
    failed_logins INTEGER DEFAULT '0' NOT NULL,
    locked_until TIMESTAMP WITH TIME ZONE,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (id),
    UNIQUE (email),
    CONSTRAINT status_known CHECK (status IN ('active', 'blocked')),
    CONSTRAINT email_in_small_letters CHECK (email = lower(email)),
    CONSTRAINT failed_logins_not_negative CHECK (failed_logins >= 0)
);

CREATE TABLE user_sessions (
    id VARCHAR NOT NULL,
    user_id VARCHAR NOT NULL,
    secret_hmac BYTEA NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    revoked_at TIMESTAMP WITH TIME ZONE,
    PRIMARY KEY (id),
    FOREIGN KEY(user_id) REFERENCES users (id)
);
CREATE INDEX user_sessions_user ON user_sessions (user_id, created_at);

CREATE TABLE checkouts (
    id VARCHAR NOT NULL,
    order_no BIGINT NOT NULL,
    user_id VARCHAR NOT NULL,
    request JSONB NOT NULL,
    shown JSONB NOT NULL,
    currency VARCHAR NOT NULL,
    total_minor BIGINT NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (id),
    UNIQUE (order_no),
    CONSTRAINT total_not_negative CHECK (total_minor >= 0),
    FOREIGN KEY(user_id) REFERENCES users (id)
);
CREATE INDEX checkouts_user ON checkouts (user_id, id);

-- Our own storefront sells everything: what is asked of a distributor's grants at placing is asked of its too.
INSERT INTO grants (id, principal_id, action, valid_from)
VALUES ('grt_house_order_create', 'house', 'order:create', '2019-01-01T00:00:00Z') ON CONFLICT DO NOTHING;

-- Only the API knows shoppers' secrets; workers read what was shown, to hold orders to it.
GRANT SELECT, INSERT, UPDATE ON users, user_sessions TO tessera_api;
GRANT SELECT, INSERT ON checkouts TO tessera_api;
GRANT SELECT ON checkouts TO tessera_worker;
