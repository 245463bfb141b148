"""Plumbing: params, artifacts, the stage declaration and the runner. No numerics, never imports stages."""
