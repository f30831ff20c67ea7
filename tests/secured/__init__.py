"""Real services with TLS, log-ins and least privilege, and the pipeline on them."""
