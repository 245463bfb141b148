"""Token grids and the pixels under them.

The stages that bring numbers from one to the other share this package; see `Stage.shares`.
"""
