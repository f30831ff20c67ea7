-- MariaDB or MySQL of a region's own CloudStack, as an administrator, where the region has a `user_database`: its worker
-- reads how users log in, and writes that and nothing else.
CREATE USER IF NOT EXISTS 'region-sync'@'%' IDENTIFIED BY '…' REQUIRE SSL;
GRANT SELECT (uuid, password, source, external_entity, removed) ON cloud.user TO 'region-sync'@'%';
GRANT UPDATE (password, source, external_entity) ON cloud.user TO 'region-sync'@'%';
