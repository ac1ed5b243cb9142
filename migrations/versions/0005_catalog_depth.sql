-- Catalogue depth: attributes, bulk imports, full-text search.
-- Leaves the running version working: only adds, and what is added has defaults.

ALTER TABLE categories ADD COLUMN version INTEGER NOT NULL DEFAULT 1;
ALTER TABLE brands ADD COLUMN version INTEGER NOT NULL DEFAULT 1;

CREATE TABLE attribute_definitions (
    category_id VARCHAR NOT NULL,
    attribute_id BIGINT NOT NULL,
    name VARCHAR NOT NULL,
    scope VARCHAR NOT NULL,
    value_kind VARCHAR NOT NULL,
    required BOOLEAN DEFAULT 'False' NOT NULL,
    allowed JSONB DEFAULT '[]' NOT NULL,
    PRIMARY KEY (category_id, attribute_id),
    CONSTRAINT scope_known CHECK (scope IN ('sales', 'basic')),
    CONSTRAINT value_kind_known CHECK (value_kind IN ('text', 'number')),
    FOREIGN KEY(category_id) REFERENCES categories (id)
);

-- Search: the words of a product stand beside it. Products that are there already are indexed by the API's upkeep.
CREATE TABLE product_search (
    product_id VARCHAR NOT NULL,
    words TSVECTOR NOT NULL,
    PRIMARY KEY (product_id),
    FOREIGN KEY(product_id) REFERENCES products (id)
);
CREATE INDEX product_search_words ON product_search USING gin (words);
CREATE INDEX prices_amount ON prices (currency, amount_minor);

-- The feed of changes: a product's place is the transaction that changed it last. Who was on the shelf may be known to
-- buyers, who then have to learn that it is gone.
ALTER TABLE products ADD COLUMN position BIGINT NOT NULL DEFAULT 0;
ALTER TABLE products ADD COLUMN was_on_shelf BOOLEAN NOT NULL DEFAULT 'False';

CREATE FUNCTION place_product() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- on INSERT there is no OLD: its fields are NULL, which greatest and coalesce pass over
    NEW.position := greatest(pg_current_xact_id()::text::bigint, OLD.position);
    NEW.was_on_shelf := NEW.status = 'on_shelf' OR NEW.was_on_shelf OR coalesce(OLD.was_on_shelf, false);
    RETURN NEW;
END
$$;

CREATE TRIGGER place_product BEFORE INSERT OR UPDATE ON products FOR EACH ROW EXECUTE FUNCTION place_product();
ALTER TABLE products ENABLE ALWAYS TRIGGER place_product;

UPDATE products SET was_on_shelf = status IN ('on_shelf', 'off_shelf', 'frozen', 'deleted');
CREATE INDEX products_feed ON products (position, id);

-- Bulk imports.
CREATE TABLE catalog_imports (
    id VARCHAR NOT NULL,
    actor VARCHAR NOT NULL,
    state VARCHAR NOT NULL,
    turn VARCHAR NOT NULL,
    body_hash VARCHAR DEFAULT '' NOT NULL,
    lines BIGINT DEFAULT 0 NOT NULL,
    created BIGINT DEFAULT 0 NOT NULL,
    refused BIGINT DEFAULT 0 NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    touched_at TIMESTAMP WITH TIME ZONE NOT NULL,
    finished_at TIMESTAMP WITH TIME ZONE,
    PRIMARY KEY (id),
    CONSTRAINT state_known CHECK (state IN ('uploading', 'incomplete', 'received', 'done')),
    CONSTRAINT outcomes_within_lines CHECK (created + refused <= lines)
);
CREATE INDEX catalog_imports_created ON catalog_imports (created_at, id);
CREATE INDEX catalog_imports_unfinished ON catalog_imports (state, touched_at);

CREATE TABLE catalog_import_lines (
    import_id VARCHAR NOT NULL,
    line_no BIGINT NOT NULL,
    state VARCHAR DEFAULT 'waiting' NOT NULL,
    body BYTEA,
    product_id VARCHAR,
    faults JSONB,
    PRIMARY KEY (import_id, line_no),
    CONSTRAINT state_known CHECK (state IN ('waiting', 'created', 'refused')),
    FOREIGN KEY(import_id) REFERENCES catalog_imports (id)
);
CREATE INDEX catalog_import_lines_state ON catalog_import_lines (import_id, state, line_no);

GRANT SELECT ON attribute_definitions, product_search, catalog_imports, catalog_import_lines
    TO tessera_worker, tessera_api;
GRANT INSERT, UPDATE ON attribute_definitions TO tessera_api;
GRANT INSERT, UPDATE ON product_search TO tessera_worker, tessera_api;
GRANT UPDATE ON catalog_imports, catalog_import_lines TO tessera_worker;
GRANT INSERT, UPDATE, DELETE ON catalog_imports, catalog_import_lines TO tessera_api;
