"""Plumbing: params, artifacts, the stage declaration and the runner. It has no numerics and never imports stages."""
