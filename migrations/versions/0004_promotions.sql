-- Promotions and coupons, held with an order.
-- Leaves the running version working: only adds, and what is added has defaults.

CREATE TABLE promotions (
    id VARCHAR NOT NULL,
    name VARCHAR NOT NULL,
    kind VARCHAR NOT NULL,
    terms JSONB NOT NULL,
    scope JSONB NOT NULL,
    currency VARCHAR NOT NULL,
    state VARCHAR DEFAULT 'active' NOT NULL,
    valid_from TIMESTAMP WITH TIME ZONE NOT NULL,
    valid_to TIMESTAMP WITH TIME ZONE,
    stock BIGINT,
    per_buyer_limit BIGINT,
    stack_group VARCHAR,
    priority BIGINT DEFAULT '100' NOT NULL,
    needs_coupon BOOLEAN DEFAULT 'False' NOT NULL,
    returns_on_refund BOOLEAN DEFAULT 'False' NOT NULL,
    held BIGINT DEFAULT '0' NOT NULL,
    used BIGINT DEFAULT '0' NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE NOT NULL,
    version INTEGER DEFAULT '1' NOT NULL,
    PRIMARY KEY (id),
    CONSTRAINT kind_known CHECK (kind IN ('percent_off', 'amount_off', 'fixed_price', 'n_for_m')),
    CONSTRAINT state_known CHECK (state IN ('active', 'paused', 'ended')),
    CONSTRAINT uses_not_negative CHECK (held >= 0 AND used >= 0),
    CONSTRAINT uses_within_stock CHECK (stock IS NULL OR held + used <= stock),
    CONSTRAINT per_buyer_limit_positive CHECK (per_buyer_limit IS NULL OR per_buyer_limit > 0),
    CONSTRAINT window_not_empty CHECK (valid_to IS NULL OR valid_to > valid_from)
);

CREATE INDEX promotions_running ON promotions (currency) WHERE state = 'active' AND NOT needs_coupon;

CREATE TABLE coupons (
    id VARCHAR NOT NULL,
    code VARCHAR NOT NULL,
    promotion_id VARCHAR NOT NULL,
    state VARCHAR DEFAULT 'issued' NOT NULL,
    distributor_id VARCHAR,
    buyer_ref VARCHAR,
    most_uses BIGINT DEFAULT '1' NOT NULL,
    held BIGINT DEFAULT '0' NOT NULL,
    used BIGINT DEFAULT '0' NOT NULL,
    valid_to TIMESTAMP WITH TIME ZONE,
    issued_at TIMESTAMP WITH TIME ZONE NOT NULL,
    claimed_at TIMESTAMP WITH TIME ZONE,
    PRIMARY KEY (id),
    CONSTRAINT state_known CHECK (state IN ('issued', 'claimed', 'held', 'used', 'returned', 'expired')),
    CONSTRAINT uses_within_most CHECK (held >= 0 AND used >= 0 AND held + used <= most_uses),
    CONSTRAINT owner_whole CHECK ((distributor_id IS NULL) = (buyer_ref IS NULL)),
    UNIQUE (code),
    FOREIGN KEY(promotion_id) REFERENCES promotions (id),
    FOREIGN KEY(distributor_id) REFERENCES distributors (id)
);

CREATE INDEX coupons_owner ON coupons (distributor_id, buyer_ref, id);

CREATE INDEX coupons_promotion ON coupons (promotion_id, id);

CREATE TABLE promotion_buyers (
    promotion_id VARCHAR NOT NULL,
    distributor_id VARCHAR NOT NULL,
    buyer_ref VARCHAR NOT NULL,
    taken BIGINT DEFAULT '0' NOT NULL,
    PRIMARY KEY (promotion_id, distributor_id, buyer_ref),
    CONSTRAINT taken_not_negative CHECK (taken >= 0),
    FOREIGN KEY(promotion_id) REFERENCES promotions (id),
    FOREIGN KEY(distributor_id) REFERENCES distributors (id)
);

CREATE TABLE promotion_uses (
    order_no BIGINT NOT NULL,
    promotion_id VARCHAR NOT NULL,
    distributor_id VARCHAR NOT NULL,
    buyer_ref VARCHAR,
    coupon_id VARCHAR,
    discount_minor BIGINT NOT NULL,
    state VARCHAR DEFAULT 'wanted' NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (order_no, promotion_id),
    CONSTRAINT state_known CHECK (state IN ('wanted', 'held', 'confirmed', 'released', 'returned')),
    FOREIGN KEY(order_no) REFERENCES orders (order_no),
    FOREIGN KEY(promotion_id) REFERENCES promotions (id),
    FOREIGN KEY(distributor_id) REFERENCES distributors (id),
    FOREIGN KEY(coupon_id) REFERENCES coupons (id)
);

CREATE INDEX promotion_uses_coupon ON promotion_uses (coupon_id) WHERE coupon_id IS NOT NULL;

CREATE INDEX promotion_uses_promotion ON promotion_uses (promotion_id, state);

CREATE TABLE order_discounts (
    order_no BIGINT NOT NULL,
    line_no INTEGER NOT NULL,
    promotion_id VARCHAR NOT NULL,
    rank INTEGER NOT NULL,
    name VARCHAR NOT NULL,
    amount_minor BIGINT NOT NULL,
    explanation VARCHAR NOT NULL,
    PRIMARY KEY (order_no, line_no, promotion_id),
    FOREIGN KEY(order_no, line_no) REFERENCES order_lines (order_no, line_no),
    FOREIGN KEY(order_no, promotion_id) REFERENCES promotion_uses (order_no, promotion_id),
    CONSTRAINT amount_positive CHECK (amount_minor > 0)
);

-- Both read everything. Counters and uses are the orders' workflows', rules and codes are people's through the API.
GRANT SELECT ON promotions, coupons, promotion_buyers, promotion_uses, order_discounts TO tessera_worker, tessera_api;
GRANT UPDATE (held, used) ON promotions TO tessera_worker;
GRANT UPDATE (held, used, state) ON coupons TO tessera_worker;
GRANT INSERT, UPDATE ON promotion_buyers, promotion_uses TO tessera_worker;
GRANT INSERT ON order_discounts TO tessera_worker;
GRANT INSERT ON promotions, coupons TO tessera_api;
GRANT UPDATE (name, kind, terms, scope, currency, state, valid_from, valid_to, stock, per_buyer_limit, stack_group, priority,
    needs_coupon, returns_on_refund, updated_at, version) ON promotions TO tessera_api;
GRANT UPDATE (state, distributor_id, buyer_ref, valid_to, claimed_at) ON coupons TO tessera_api;

-- What a new distributor is granted, those have that were there before.
INSERT INTO grants (id, principal_id, action, valid_from)
SELECT 'grt_0004_' || d.id || '_' || a.action, d.id, a.action, now()
FROM distributors AS d CROSS JOIN (VALUES ('promotion:read'), ('coupon:claim')) AS a (action);
