"""Tools for a finished project. `pipeline` and `stages` never import this package, so its code is in no cache key."""
