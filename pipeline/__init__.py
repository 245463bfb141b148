"""Plumbing: params, artifacts, the stage declaration and the runner. No numerics, no torch, never imports stages."""
