"""What processes tell over HTTP: numbers and health, while things are away too."""
