-- Fulfilment of every kind: units, their events, breaches, codes; where a parcel goes.
-- Leaves the running version working: only adds, and what is added has defaults.

ALTER TABLE orders ADD COLUMN ship_to JSONB;
ALTER TABLE order_lines ADD COLUMN account VARCHAR;
ALTER TABLE suppliers ADD COLUMN protocol_settings JSONB NOT NULL DEFAULT '{}';
