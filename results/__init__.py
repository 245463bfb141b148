"""What is done with a finished project: above the stages, and in no cache key. Nothing in `pipeline` or `stages` imports it."""
