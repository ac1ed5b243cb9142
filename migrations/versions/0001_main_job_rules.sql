-- What the database itself refuses, whoever connects, the tables' owner included.

-- 1. History never changes: no update, delete or truncate. (`ON CONFLICT DO UPDATE` counts as an update: use DO NOTHING.)

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: % is refused', TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'restrict_violation', HINT = 'Write a correction as a new row.';
END
$$;

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['receivable_flows', 'payable_flows', 'ledger_transfers', 'order_events',
                                'stock_movements', 'operation_log', 'snapshots'] LOOP
        EXECUTE format('CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON %I '
                       'FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()', name);
        EXECUTE format('ALTER TABLE %I ENABLE ALWAYS TRIGGER append_only', name);
    END LOOP;
END
$$;

-- 2. Only accounts that domain/ledger.py knows (ACCOUNT_PATTERN; a test compares the two texts).

CREATE DOMAIN ledger_account AS text CONSTRAINT account_known CHECK (VALUE ~
    '^(distributor:[^:[:space:]]+:(receivable|commission)|supplier:[^:[:space:]]+:(payable)|channel:[^:[:space:]]+:(cash|clearing)|buyer:[^:[:space:]]+:(coins)|insurer:[^:[:space:]]+:(premium|recoverable)|seller:[^:[:space:]]+:(subsidy)|carrier:[^:[:space:]]+:(freight)|revenue:(margin|fee)|(loss|subsidy):[^:[:space:]]+)$');

ALTER TABLE ledger_transfers ADD CONSTRAINT debit_account_known CHECK (debit_account::ledger_account IS NOT NULL);
ALTER TABLE ledger_transfers ADD CONSTRAINT credit_account_known CHECK (credit_account::ledger_account IS NOT NULL);

-- 3. Balances beside the transfers, kept by the database alone (no role may write them). A busy account is spread over 16
-- rows by the backend that writes, so that concurrent orders don't queue at `revenue:margin`; rows are taken in the order
-- of their names, so that two writers of the same slot wait for each other instead of deadlocking.

CREATE FUNCTION keep_ledger_balances() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    fresh text[];
    mixed text;
BEGIN
    WITH entries AS (
        SELECT debit_account AS account, currency, amount_minor AS debit, 0 AS credit FROM added
        UNION ALL
        SELECT credit_account, currency, 0, amount_minor FROM added
    ), kept AS (
        INSERT INTO ledger_balances AS balance (account, currency, slot, debits_minor, credits_minor)
        SELECT account, currency, pg_backend_pid() % 16, sum(debit), sum(credit)
        FROM entries GROUP BY account, currency ORDER BY account, currency
        ON CONFLICT (account, currency, slot) DO UPDATE
        SET debits_minor = balance.debits_minor + excluded.debits_minor,
            credits_minor = balance.credits_minor + excluded.credits_minor
        RETURNING account, xmax = 0 AS is_new  -- xmax is 0 in a row that was inserted, not updated
    )
    SELECT array_agg(DISTINCT account ORDER BY account)
    FROM kept WHERE is_new AND account NOT LIKE 'revenue:%' AND account NOT LIKE 'loss:%' INTO fresh;

    -- A party's account has one currency. Only a new balance row can break that; the lock makes two first entries in two
    -- currencies wait for one another, so that the second sees the first.
    IF fresh IS NOT NULL THEN
        PERFORM pg_advisory_xact_lock(hashtextextended('ledger:' || account, 0)) FROM unnest(fresh) AS account;
        SELECT account FROM ledger_balances WHERE account = ANY (fresh)
        GROUP BY account HAVING min(currency) <> max(currency) LIMIT 1 INTO mixed;
        IF mixed IS NOT NULL THEN
            RAISE EXCEPTION 'the account % has entries in another currency', mixed
                USING ERRCODE = 'check_violation', CONSTRAINT = 'one_currency_per_account';
        END IF;
    END IF;
    RETURN NULL;
END
$$;

REVOKE ALL ON FUNCTION keep_ledger_balances() FROM PUBLIC;

CREATE TRIGGER keep_balances AFTER INSERT ON ledger_transfers
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION keep_ledger_balances();
ALTER TABLE ledger_transfers ENABLE ALWAYS TRIGGER keep_balances;

-- 4. The id generator's nodes: all there are, free from the start (storage/node_leases.py).

INSERT INTO node_leases (node, holder, leased_until, last_ms)
SELECT node, '', 'epoch', 0 FROM generate_series(0, 255) AS node;

-- 5. The place of an event in the feed (storage/event_reading.py says why): its transaction's id, or the place of the
-- subject's event before it if that is higher. The function is volatile, so its look is fresh: it sees what another
-- transaction has committed while the caller's statement waited for the subject's lock.

CREATE FUNCTION place_event() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.position := greatest(
        pg_current_xact_id()::text::bigint,
        (SELECT before.position FROM outbox_events before WHERE before.subject_id = NEW.subject_id
         ORDER BY before.id DESC LIMIT 1));
    RETURN NEW;
END
$$;

CREATE TRIGGER place_event BEFORE INSERT ON outbox_events FOR EACH ROW EXECUTE FUNCTION place_event();
ALTER TABLE outbox_events ENABLE ALWAYS TRIGGER place_event;
