-- 0008_users: filled by its capability; leaves the running version working.
SELECT 1;
