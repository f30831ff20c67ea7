"""CloudStack's own table of users: the one thing of a region that its API neither tells nor takes."""
