"""Speed, as ratios measured on one machine in one run: `make bench`."""
