"""The manifests of k8s/ before a real API server."""
