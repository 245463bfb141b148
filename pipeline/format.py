"""The part of every cache key that stands for the plumbing: all of `pipeline`, whose code belongs to no key."""

# Raise it when an edit of `pipeline` changes what a stage gets or writes for equal params and inputs: how images, labels or strings are
# decoded, how arrays are cut into chunks, what an artifact records. The next run then makes every artifact anew. An edit that changes
# no byte, such as another message, leaves it. tests/end_to_end/test_format.py fails where it is forgotten.
FORMAT = 3
