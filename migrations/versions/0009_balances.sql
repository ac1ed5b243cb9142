-- Coins and vouchers: what buyers have with us, what pay orders hold of it, and what refunds gave back.
-- Leaves the running version working: only adds.

CREATE TABLE coin_accounts (
    buyer_id VARCHAR NOT NULL,
    currency VARCHAR NOT NULL,
    balance_minor BIGINT DEFAULT '0' NOT NULL,
    held_minor BIGINT DEFAULT '0' NOT NULL,
    PRIMARY KEY (buyer_id),
    CONSTRAINT held_within_balance CHECK (0 <= held_minor AND held_minor <= balance_minor)
);

CREATE TABLE vouchers (
    id VARCHAR NOT NULL,
    code_hmac BYTEA NOT NULL,
    currency VARCHAR NOT NULL,
    buyer_id VARCHAR,
    balance_minor BIGINT NOT NULL,
    held_minor BIGINT DEFAULT '0' NOT NULL,
    face_minor BIGINT NOT NULL,
    campaign VARCHAR NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    state VARCHAR DEFAULT 'active' NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (id),
    CONSTRAINT state_known CHECK (state IN ('active', 'blocked')),
    UNIQUE (code_hmac),
    CONSTRAINT held_within_balance CHECK (0 <= held_minor AND held_minor <= balance_minor),
    CONSTRAINT balance_within_face CHECK (face_minor > 0 AND balance_minor <= face_minor)
);
CREATE INDEX vouchers_buyer ON vouchers (buyer_id, id);

CREATE TABLE balance_holds (
    pay_id VARCHAR NOT NULL,
    kind VARCHAR NOT NULL,
    ref VARCHAR NOT NULL,
    rank INTEGER NOT NULL,
    buyer_id VARCHAR NOT NULL,
    currency VARCHAR NOT NULL,
    amount_minor BIGINT NOT NULL,
    refunded_minor BIGINT DEFAULT '0' NOT NULL,
    state VARCHAR DEFAULT 'held' NOT NULL,
    PRIMARY KEY (pay_id, kind, ref),
    CONSTRAINT kind_known CHECK (kind IN ('coins', 'voucher')),
    CONSTRAINT state_known CHECK (state IN ('held', 'redeemed', 'returned')),
    CONSTRAINT amount_positive CHECK (amount_minor > 0),
    CONSTRAINT refunded_within_amount CHECK (refunded_minor >= 0 AND refunded_minor <= amount_minor),
    CONSTRAINT refunded_of_redeemed CHECK (refunded_minor = 0 OR state = 'redeemed')
);
CREATE INDEX balance_holds_ref ON balance_holds (kind, ref);

CREATE TABLE balance_refunds (
    refund_id VARCHAR NOT NULL,
    kind VARCHAR NOT NULL,
    ref VARCHAR NOT NULL,
    pay_id VARCHAR NOT NULL,
    amount_minor BIGINT NOT NULL,
    given_at TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (refund_id, kind, ref),
    CONSTRAINT kind_known CHECK (kind IN ('coins', 'voucher')),
    CONSTRAINT amount_positive CHECK (amount_minor > 0)
);
CREATE INDEX balance_refunds_pay_order ON balance_refunds (pay_id);

-- Workers hold, redeem and give back. People grant, issue, add and block through the API, which appends a grant's entry.
GRANT SELECT ON coin_accounts, vouchers, balance_holds, balance_refunds TO tessera_worker, tessera_api;
GRANT INSERT, UPDATE ON coin_accounts, balance_holds TO tessera_worker;
GRANT INSERT ON balance_refunds TO tessera_worker;
GRANT UPDATE (balance_minor, held_minor, expires_at) ON vouchers TO tessera_worker;
GRANT INSERT ON coin_accounts, vouchers, ledger_transfers TO tessera_api;
GRANT UPDATE (currency, balance_minor) ON coin_accounts TO tessera_api;
GRANT UPDATE (buyer_id, state) ON vouchers TO tessera_api;
