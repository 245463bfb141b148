"""Networks that turn the frozen tokens of an image, and the image itself, into masks.

The stages that train or apply such a network share this package; see `Stage.shares`.
"""
