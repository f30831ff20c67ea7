"""What `regions.yaml` may say and how it is read; the environment is passed in by `pipeline.settings`,
which alone reads it. `source` reads YAML and fills in secrets, `region` describes one region, `roles` tells
which process may hold which secret, `complaints` words what is wrong.
"""
