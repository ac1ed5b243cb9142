-- Payments: channels and what they tell, pay orders with their parts, charges, refunds; orders that their buyers pay.
-- Leaves the running version working: only adds, and what is added has defaults.

ALTER TABLE distributors ADD COLUMN pays VARCHAR DEFAULT 'on_account' NOT NULL;
ALTER TABLE distributors ADD CONSTRAINT pays_known CHECK (pays IN ('on_account', 'by_channel'));
ALTER TABLE orders ADD COLUMN pays VARCHAR DEFAULT 'on_account' NOT NULL;
ALTER TABLE orders ADD CONSTRAINT pays_known CHECK (pays IN ('on_account', 'by_channel'));
ALTER TABLE orders ADD COLUMN revives BIGINT;
CREATE UNIQUE INDEX orders_revives ON orders (revives) WHERE revives IS NOT NULL;
ALTER TABLE products ADD COLUMN late_payment VARCHAR DEFAULT 'revive_expired' NOT NULL;
ALTER TABLE products ADD CONSTRAINT late_payment_known CHECK (late_payment IN ('revive_expired', 'revive', 'refund'));

-- Our own storefront: shoppers' orders are its.
INSERT INTO distributors (id, name, currency, time_zone, pays, created_at)
VALUES ('house', 'Our own storefront', 'CNY', 'Asia/Shanghai', 'by_channel', now())
ON CONFLICT (id) DO UPDATE SET pays = 'by_channel';
INSERT INTO credit_lines (distributor_id, currency, limit_minor) VALUES ('house', 'CNY', 0)
ON CONFLICT (distributor_id) DO NOTHING;

-- A person's queue is about payments too, and about money that is nobody's yet.
ALTER TABLE order_exceptions ALTER COLUMN order_no DROP NOT NULL;
ALTER TABLE order_exceptions ADD COLUMN pay_id VARCHAR;
ALTER TABLE order_exceptions ADD COLUMN refund_id VARCHAR;
CREATE INDEX order_exceptions_payment ON order_exceptions (pay_id) WHERE pay_id IS NOT NULL;

-- Accounts of money that is not used yet (domain/ledger.py; a test compares the two texts).
ALTER DOMAIN ledger_account DROP CONSTRAINT account_known;
ALTER DOMAIN ledger_account ADD CONSTRAINT account_known CHECK (VALUE ~
    '^(distributor:[^:[:space:]]+:(receivable|commission)|supplier:[^:[:space:]]+:(payable)|channel:[^:[:space:]]+:(cash|clearing|unidentified)|buyer:[^:[:space:]]+:(coins|unapplied)|voucher:[^:[:space:]]+:(balance)|insurer:[^:[:space:]]+:(premium|recoverable)|seller:[^:[:space:]]+:(subsidy)|carrier:[^:[:space:]]+:(freight)|revenue:(margin|fee)|(loss|subsidy):[^:[:space:]]+)$');

CREATE TABLE payment_channels (
    id VARCHAR NOT NULL,
    name VARCHAR NOT NULL,
    protocol VARCHAR NOT NULL,
    base_url VARCHAR NOT NULL,
    credentials JSONB DEFAULT '{}' NOT NULL,
    currency VARCHAR DEFAULT 'CNY' NOT NULL,
    time_zone VARCHAR DEFAULT 'Asia/Shanghai' NOT NULL,
    kinds JSONB DEFAULT '[]' NOT NULL,
    min_minor BIGINT DEFAULT '1' NOT NULL,
    max_minor BIGINT DEFAULT '100000000' NOT NULL,
    fee_bp INTEGER DEFAULT '0' NOT NULL,
    first_interval_s FLOAT DEFAULT '2.0' NOT NULL,
    growth FLOAT DEFAULT '1.7' NOT NULL,
    ceiling_s FLOAT DEFAULT '300.0' NOT NULL,
    pay_s INTEGER DEFAULT '900' NOT NULL,
    alarm_s INTEGER DEFAULT '300' NOT NULL,
    call_timeout_s FLOAT DEFAULT '8.0' NOT NULL,
    max_per_second FLOAT DEFAULT '50.0' NOT NULL,
    max_concurrent INTEGER DEFAULT '20' NOT NULL,
    active BOOLEAN DEFAULT 'True' NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (id),
    CONSTRAINT growth_at_least_one CHECK (growth >= 1),
    CONSTRAINT times_positive CHECK (first_interval_s > 0 AND ceiling_s > 0 AND pay_s > 0 AND alarm_s > 0),
    CONSTRAINT amounts_in_order CHECK (min_minor > 0 AND max_minor >= min_minor),
    CONSTRAINT fee_is_a_share CHECK (fee_bp BETWEEN 0 AND 10000)
);

CREATE TABLE channel_callbacks (
    channel_id VARCHAR NOT NULL,
    event_id VARCHAR NOT NULL,
    pay_id VARCHAR DEFAULT '' NOT NULL,
    event JSONB NOT NULL,
    body VARCHAR NOT NULL,
    state VARCHAR DEFAULT 'waiting' NOT NULL,
    attempts INTEGER DEFAULT '0' NOT NULL,
    received_at TIMESTAMP WITH TIME ZONE NOT NULL,
    handed_over_at TIMESTAMP WITH TIME ZONE,
    PRIMARY KEY (channel_id, event_id),
    CONSTRAINT state_known CHECK (state IN ('waiting', 'handed_over', 'unknown')),
    FOREIGN KEY(channel_id) REFERENCES payment_channels (id)
);
CREATE INDEX channel_callbacks_pay_order ON channel_callbacks (pay_id);
CREATE INDEX channel_callbacks_waiting ON channel_callbacks (received_at) WHERE state = 'waiting';

CREATE TABLE pay_orders (
    id VARCHAR NOT NULL,
    buyer_id VARCHAR NOT NULL,
    distributor_id VARCHAR NOT NULL,
    idempotency_key VARCHAR NOT NULL,
    body_hash VARCHAR NOT NULL,
    channel_id VARCHAR,
    host_workflow_id VARCHAR NOT NULL,
    status VARCHAR DEFAULT 'created' NOT NULL,
    reason VARCHAR DEFAULT '' NOT NULL,
    currency VARCHAR NOT NULL,
    total_minor BIGINT NOT NULL,
    cash_minor BIGINT NOT NULL,
    coins_minor BIGINT DEFAULT '0' NOT NULL,
    voucher_minor BIGINT DEFAULT '0' NOT NULL,
    voucher_ids JSONB DEFAULT '[]' NOT NULL,
    paid_minor BIGINT DEFAULT '0' NOT NULL,
    refunding_minor BIGINT DEFAULT '0' NOT NULL,
    refunded_minor BIGINT DEFAULT '0' NOT NULL,
    fee_minor BIGINT DEFAULT '0' NOT NULL,
    return_url VARCHAR DEFAULT '' NOT NULL,
    channel_reference VARCHAR DEFAULT '' NOT NULL,
    action JSONB,
    at_rest BOOLEAN DEFAULT 'False' NOT NULL,
    looked_at TIMESTAMP WITH TIME ZONE,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE,
    pending_at TIMESTAMP WITH TIME ZONE,
    paid_at TIMESTAMP WITH TIME ZONE,
    closed_at TIMESTAMP WITH TIME ZONE,
    updated_at TIMESTAMP WITH TIME ZONE NOT NULL,
    version INTEGER DEFAULT '1' NOT NULL,
    PRIMARY KEY (id),
    CONSTRAINT status_known CHECK (status IN ('created', 'pending', 'paid', 'failed', 'closed', 'partially_refunded', 'refunded')),
    UNIQUE (buyer_id, idempotency_key),
    CONSTRAINT parts_not_negative CHECK (total_minor > 0 AND cash_minor >= 0 AND coins_minor >= 0 AND voucher_minor >= 0),
    CONSTRAINT parts_add_up CHECK (total_minor = cash_minor + coins_minor + voucher_minor),
    CONSTRAINT cash_has_channel CHECK (cash_minor = 0 OR channel_id IS NOT NULL),
    CONSTRAINT paid_whole CHECK (paid_minor IN (0, total_minor)),
    CONSTRAINT refunds_within_paid CHECK (refunded_minor >= 0 AND refunding_minor >= 0 AND refunded_minor + refunding_minor <= paid_minor),
    FOREIGN KEY(distributor_id) REFERENCES distributors (id),
    FOREIGN KEY(channel_id) REFERENCES payment_channels (id)
);
CREATE INDEX pay_orders_buyer ON pay_orders (buyer_id, id);
CREATE INDEX pay_orders_in_motion ON pay_orders (id) WHERE NOT at_rest;
CREATE INDEX pay_orders_to_look_at ON pay_orders (id)
    WHERE looked_at IS NULL AND at_rest AND channel_id IS NOT NULL;
CREATE INDEX pay_orders_open ON pay_orders (id) WHERE status IN ('created', 'pending');

CREATE TABLE pay_order_parts (
    pay_id VARCHAR NOT NULL,
    order_no BIGINT NOT NULL,
    rank INTEGER NOT NULL,
    state VARCHAR DEFAULT 'open' NOT NULL,
    amount_minor BIGINT NOT NULL,
    cash_minor BIGINT NOT NULL,
    coins_minor BIGINT NOT NULL,
    voucher_minor BIGINT NOT NULL,
    refunding_minor BIGINT DEFAULT '0' NOT NULL,
    refunded_minor BIGINT DEFAULT '0' NOT NULL,
    successor_no BIGINT,
    reason VARCHAR DEFAULT '' NOT NULL,
    PRIMARY KEY (pay_id, order_no),
    CONSTRAINT state_known CHECK (state IN ('open', 'served', 'returned', 'released')),
    CONSTRAINT shares_add_up CHECK (amount_minor = cash_minor + coins_minor + voucher_minor),
    CONSTRAINT shares_not_negative CHECK (cash_minor >= 0 AND coins_minor >= 0 AND voucher_minor >= 0),
    CONSTRAINT refunds_within_share CHECK (refunded_minor >= 0 AND refunding_minor >= 0 AND refunded_minor + refunding_minor <= amount_minor),
    FOREIGN KEY(pay_id) REFERENCES pay_orders (id),
    FOREIGN KEY(order_no) REFERENCES orders (order_no)
);
CREATE UNIQUE INDEX pay_order_parts_open ON pay_order_parts (order_no) WHERE state = 'open';
CREATE INDEX pay_order_parts_order ON pay_order_parts (order_no);
CREATE UNIQUE INDEX pay_order_parts_successor ON pay_order_parts (successor_no);

CREATE TABLE charges (
    channel_id VARCHAR NOT NULL,
    payment_id VARCHAR NOT NULL,
    pay_id VARCHAR,
    reference VARCHAR NOT NULL,
    verdict VARCHAR NOT NULL,
    amount_minor BIGINT NOT NULL,
    currency VARCHAR NOT NULL,
    refunding_minor BIGINT DEFAULT '0' NOT NULL,
    refunded_minor BIGINT DEFAULT '0' NOT NULL,
    settled_otherwise BOOLEAN DEFAULT 'False' NOT NULL,
    paid_at TIMESTAMP WITH TIME ZONE NOT NULL,
    recorded_at TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (channel_id, payment_id),
    CONSTRAINT verdict_known CHECK (verdict IN ('accepted', 'surplus', 'wrong_amount', 'unknown')),
    CONSTRAINT amount_positive CHECK (amount_minor > 0),
    CONSTRAINT refunds_within_charge CHECK (refunded_minor >= 0 AND refunding_minor >= 0 AND refunded_minor + refunding_minor <= amount_minor),
    FOREIGN KEY(channel_id) REFERENCES payment_channels (id),
    FOREIGN KEY(pay_id) REFERENCES pay_orders (id)
);
CREATE UNIQUE INDEX charges_accepted ON charges (pay_id) WHERE verdict = 'accepted';
CREATE INDEX charges_pay_order ON charges (pay_id);

CREATE TABLE refunds (
    id VARCHAR NOT NULL,
    pay_id VARCHAR,
    order_no BIGINT,
    line_no INTEGER,
    channel_id VARCHAR,
    payment_id VARCHAR,
    reason VARCHAR NOT NULL,
    route VARCHAR DEFAULT 'channel' NOT NULL,
    state VARCHAR DEFAULT 'refunding' NOT NULL,
    currency VARCHAR NOT NULL,
    amount_minor BIGINT NOT NULL,
    cash_minor BIGINT NOT NULL,
    coins_minor BIGINT DEFAULT '0' NOT NULL,
    voucher_minor BIGINT DEFAULT '0' NOT NULL,
    tries INTEGER DEFAULT '1' NOT NULL,
    channel_reference VARCHAR DEFAULT '' NOT NULL,
    failure VARCHAR DEFAULT '' NOT NULL,
    evidence JSONB,
    requested_at TIMESTAMP WITH TIME ZONE NOT NULL,
    refunded_at TIMESTAMP WITH TIME ZONE,
    failed_at TIMESTAMP WITH TIME ZONE,
    actor VARCHAR DEFAULT 'system' NOT NULL,
    PRIMARY KEY (id),
    CONSTRAINT state_known CHECK (state IN ('refunding', 'refunded', 'refund_failed')),
    CONSTRAINT route_known CHECK (route IN ('channel', 'coins', 'by_hand')),
    CONSTRAINT parts_add_up CHECK (amount_minor = cash_minor + coins_minor + voucher_minor),
    CONSTRAINT parts_not_negative CHECK (cash_minor >= 0 AND coins_minor >= 0 AND voucher_minor >= 0 AND amount_minor > 0),
    FOREIGN KEY(channel_id, payment_id) REFERENCES charges (channel_id, payment_id),
    FOREIGN KEY(pay_id) REFERENCES pay_orders (id)
);
CREATE INDEX refunds_open ON refunds (id) WHERE state = 'refunding';
CREATE INDEX refunds_order ON refunds (order_no);
CREATE INDEX refunds_pay_order ON refunds (pay_id);

-- Workers write money; the API opens pay orders, keeps callbacks, and what people decide.
GRANT SELECT ON payment_channels, channel_callbacks, pay_orders, pay_order_parts, charges, refunds
    TO tessera_worker, tessera_api;
GRANT INSERT, UPDATE ON pay_orders, pay_order_parts, charges, refunds, channel_callbacks TO tessera_worker;
GRANT INSERT, UPDATE ON payment_channels, channel_callbacks TO tessera_api;
GRANT INSERT ON pay_orders, pay_order_parts TO tessera_api;
