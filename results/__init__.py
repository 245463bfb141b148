"""What is done with a finished project. `pipeline` and `stages` never import it, so it is in no cache key."""
