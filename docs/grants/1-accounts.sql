-- MariaDB or MySQL, as an administrator, before the hub's first start. Put a password of its own in each place of '…'.
-- The hub makes and migrates the tables: it owns the database, and nothing else on the server.
CREATE DATABASE IF NOT EXISTS region_sync CHARACTER SET utf8mb4;
CREATE USER IF NOT EXISTS 'hub'@'%' IDENTIFIED BY '…' REQUIRE SSL;
GRANT ALL PRIVILEGES ON region_sync.* TO 'hub'@'%';
-- A region's worker: each region's may have an account of its own, with the same grants.
CREATE USER IF NOT EXISTS 'worker'@'%' IDENTIFIED BY '…' REQUIRE SSL;
GRANT SELECT ON region_sync.* TO 'worker'@'%';
-- The bridge of a region without a bus (source: eventlog). The bridge of a bus has no business with the database.
CREATE USER IF NOT EXISTS 'bridge'@'%' IDENTIFIED BY '…' REQUIRE SSL;
-- Who only looks: status, history, conflicts, outbox list and show, holds, check. What decides or writes (holds approve,
-- outbox retry, plan, scan, verify, apply, join) is done with the hub's account, or on the pages.
CREATE USER IF NOT EXISTS 'operator'@'%' IDENTIFIED BY '…' REQUIRE SSL;
GRANT SELECT ON region_sync.* TO 'operator'@'%';
