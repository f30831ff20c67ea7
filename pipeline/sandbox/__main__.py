"""`python -m pipeline.sandbox`: two simulated regions on free ports; `region-sync sandbox` has options."""

from pipeline.sandbox.launch import SandboxOptions, serve

serve(SandboxOptions())
