"""Tools that start a project, write its params and show its results.

`pipeline` and `stages` never import this package, so its code is in no cache key.
"""
