"""The ways to score a split: name -> module with `TRUTH`, what the truth may be, and `score(images, params, labels)`.

`images` holds those with a truth, and may be gone through once.
"""

from usseg.stages.evaluate.methods import classes, objects, partitions

METHODS = {"classes": classes, "objects": objects, "partitions": partitions}
