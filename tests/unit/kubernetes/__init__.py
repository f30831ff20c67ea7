"""The manifests of k8s/, as kustomize builds them, against the program and against what they promise."""
