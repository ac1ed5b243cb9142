-- What each role may do. Both read everything; each writes what its processes write; history takes inserts only; the
-- balances are written by nobody but the trigger. The roles exist before (migrations/roles.sql).

GRANT SELECT ON ALL TABLES IN SCHEMA public TO tessera_worker, tessera_api;

-- History: appended, never changed.
GRANT INSERT ON receivable_flows, payable_flows, ledger_transfers, order_events, outbox_events, supplier_calls,
    stock_movements, snapshots, operation_log TO tessera_worker;
GRANT INSERT ON stock_movements, snapshots, operation_log TO tessera_api;

-- Orders in motion and at rest: their workflow is the writer, so the API only claims, receives and steers.
GRANT INSERT, UPDATE ON orders, order_lines, bookings, tickets, order_claims, order_exceptions,
    stock, stock_holds, credit_lines, credit_holds, supplier_callbacks, supplier_breakers, node_leases TO tessera_worker;
GRANT INSERT, UPDATE ON order_claims, order_exceptions, supplier_callbacks, supplier_breakers, node_leases TO tessera_api;
GRANT INSERT, UPDATE, DELETE ON idempotency_keys TO tessera_worker, tessera_api;

-- Catalogue, suppliers, stock receipts: imported by the API's people and synchronised by workers.
GRANT INSERT, UPDATE ON categories, brands, products, skus, prices, offers, sessions, suppliers TO tessera_worker, tessera_api;
GRANT DELETE ON sessions TO tessera_worker, tessera_api;
GRANT INSERT, UPDATE ON stock TO tessera_api;

-- Accounts and risk rules: people's, through the API alone.
GRANT INSERT, UPDATE ON distributors, credit_lines, operators, api_keys, grants TO tessera_api;
GRANT INSERT, UPDATE, DELETE ON blocked_buyers, risk_rules, risk_denials TO tessera_api;

-- Credentials that a supplier's callback or an operator brings are kept beside the booking, and nothing else of it.
GRANT UPDATE (answer, supplier_reference) ON bookings TO tessera_api;
