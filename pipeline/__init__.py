"""Region Sync: one identity in every CloudStack region. The walk of a change is drawn in the README."""
